"""``inspect:``: what is looked for in which tools' arguments and results. Off unless it is written.

What is found are facts for rules (``findings``, ``found("secret")``). No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from remit import text
from remit.inspection.inspector import TextInspector, inspector
from remit.inspection.signs import INSPECTABLE
from remit.inspection.words import KIND_OF
from remit.model import Fault, Phase
from remit.policy import patterns
from remit.policy.document import InspectEntry, words
from remit.policy.meaning import Surroundings, check_tools
from remit.policy.reading import ReadDocument
from remit.policy.rules import Rule
from remit.policy.syntax import Constant, FunctionCall, walk

Note = Callable[[Fault], None]


class Inspection(Struct, frozen=True):
    """One entry of ``inspect:``."""

    tools: tuple[str, ...]
    """Patterns in the form of ``text.name``."""
    arguments: frozenset[str]
    results: frozenset[str]
    hosts: tuple[str, ...]

    def kinds(self, phase: Phase) -> frozenset[str]:
        """What is looked for in that phase; what is seen in a call is known with its result."""
        return self.arguments if phase is Phase.CALL else self.arguments | self.results


class Inspections:
    """All entries. A tool that several fit is inspected for all that they name. Read-only."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[Inspection] = ()) -> None:
        self._entries = tuple(entries)

    @property
    def entries(self) -> tuple[Inspection, ...]:
        """The entries, in the order of the documents."""
        return self._entries

    def arguments(self, tool: str) -> TextInspector | None:
        """What looks into the arguments of a tool; None: nothing does."""
        return self._inspector(tool, "arguments")

    def results(self, tool: str) -> TextInspector | None:
        """What looks into the results of a tool; None: nothing does."""
        return self._inspector(tool, "results")

    def _inspector(self, tool: str, part: str) -> TextInspector | None:
        name = text.name(tool)
        fit = [
            entry
            for entry in self._entries
            if any(patterns.matches(pattern, name) for pattern in entry.tools)
        ]
        kinds = frozenset[str]().union(*(getattr(entry, part) for entry in fit))
        hosts = sorted({host for entry in fit for host in entry.hosts})
        return inspector(kinds, tuple(hosts)) if kinds else None


def read_inspections(
    documents: Iterable[ReadDocument], around: Surroundings, note: Note, warn: Note
) -> Inspections:
    """The ``inspect:`` sections of all documents."""
    entries = []
    for read in documents:
        for entry in read.document.inspect:
            check_tools(read, entry, around, note, warn)
            if not entry.arguments and not entry.results:
                hint = f"Add arguments: or results:, with some of {', '.join(INSPECTABLE)}."
                note(read.fault(entry, (), "this entry looks for nothing", hint))
            entries.append(_inspection(entry))
    return Inspections(entries)


def _inspection(entry: InspectEntry) -> Inspection:
    return Inspection(
        tools=tuple(text.name(word) for word in words(entry.tools)),
        arguments=frozenset(words(entry.arguments)),
        results=frozenset(words(entry.results)),
        hosts=words(entry.hosts),
    )


def warn_of_blind_rules(
    rules: Iterable[Rule], inspections: Inspections, warn: Callable[[Rule, str, str], None]
) -> None:
    """Report each rule that asks for what nothing looks for in its tools.

    It is only a warning, because enforcement points may bring findings of their own.
    """
    for rule in rules:
        for word in _asked(rule):
            kind = KIND_OF[word]
            if kind in INSPECTABLE and not _looked_for(kind, rule, inspections):
                place = "arguments" if rule.phase is Phase.CALL else "results"
                warn(
                    rule,
                    f"nothing looks for {kind} in the {place} of its tools, so found({word!r}) "
                    "holds only for what enforcement points find by themselves",
                    f"Add to inspect: an entry with these tools and {place}: [{kind}].",
                )


def _looked_for(kind: str, rule: Rule, inspections: Inspections) -> bool:
    return any(
        kind in entry.kinds(rule.phase)
        and any(patterns.overlap(mine, theirs) for mine in entry.tools for theirs in rule.tools)
        for entry in inspections.entries
    )


def _asked(rule: Rule) -> Iterator[str]:
    for condition in rule.conditions():
        for node in walk(condition.node):
            match node:
                case FunctionCall(name="found", arguments=[Constant(value=str() as word)]):
                    yield word
