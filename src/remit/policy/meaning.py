"""What a document means: entries become rules and limits, and every name must exist.

A rule that can never match is as dangerous as a wrong one, because it looks like protection. So a
word that nothing in the documents declares is a fault, with the word that was probably meant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from msgspec import Struct, structs

from remit import text
from remit.model import ApprovalTerms, Does, Effect, Fault, Location, Phase
from remit.policy import patterns
from remit.policy.catalogue import Catalogue
from remit.policy.conditions import ConditionReader
from remit.policy.directory import Directory
from remit.policy.document import (
    BreakerEntry,
    BudgetEntry,
    InspectEntry,
    ObligationEntry,
    RemitEntry,
    RuleEntry,
    words,
)
from remit.policy.durations import nanoseconds
from remit.policy.reading import ReadDocument, closest
from remit.policy.rules import Duty, Rule

Note = Callable[[Fault], None]
Path = tuple[str | int, ...]

BUILT_IN_LABELS = frozenset({"untrusted", "confidential"})
"""Labels that have a meaning without being declared."""
BUILT_IN_REASONS = frozenset(
    {
        "approval-rejected",
        "bad-arguments",
        "budget",
        "default",
        "governor-unavailable",
        "look-alike-name",
        "missing-fact",
        "narrowed",
        "not-inspected",
        "obligation",
        "outcome-missing",
        "pins-changed",
        "rate-limit",
        "record-too-large",
        "rule-error",
        "session-ended",
        "session-principal",
        "session-unknown",
        "stopped",
        "task-remit",
        "unknown-agent",
    }
)
"""Ids that decisions and records use for what is not a rule of a document."""

_APPROVAL_KEYS = {
    "approvers": "approvers",
    "quorum": "quorum",
    "expires": "expires",
    "self_approval": "self-approval",
}


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the entries of all documents may refer to."""

    directory: Directory
    catalogue: Catalogue
    tool_names: frozenset[str]
    """Normalised names of tools that the application has, beside those in the catalogue."""
    labels: frozenset[str]
    conditions: ConditionReader
    complete: bool
    """Whether all of that could be read; if not, names that are not found may still exist."""

    @property
    def known_tools(self) -> frozenset[str]:
        """Names and patterns of all known tools; none means that any name goes."""
        return self.tool_names | {tool.pattern for tool in self.catalogue.tools}


def read_rules(
    documents: Iterable[ReadDocument], around: Surroundings, note: Note, warn: Note
) -> tuple[Rule, ...]:
    """The rules of all documents, in the order of files and lines, without the faulty ones."""
    first: dict[str, Location] = {}
    rules: list[Rule] = []
    for read in documents:
        for entry in read.document.rules:
            if is_taken(read, entry, first, note):
                continue
            rule = _RuleReader(read, entry, around, note, warn).rule(len(rules))
            if rule is not None:
                rules.append(rule)
    return tuple(rules)


def is_taken(
    read: ReadDocument, entry: RuleEntry | BudgetEntry, first: dict[str, Location], note: Note
) -> bool:
    """Whether another entry has the id of this one; if not, this one has it from now on."""
    form = entry.id.casefold()
    if form in first:
        message = f"the id {entry.id!r} is taken at {first[form]}"
        note(
            read.fault(entry, ("id",), message, "Records name rules and budgets by id: change it.")
        )
        return True
    if form in BUILT_IN_REASONS:
        message = f"the id {entry.id!r} is one of Remit's own"
        note(read.fault(entry, ("id",), message, "Choose another id."))
        return True
    first[form] = read.location(entry)
    return False


class _RuleReader:
    """Checks one entry; everything that it refers to is in ``around``."""

    def __init__(
        self, read: ReadDocument, entry: RuleEntry, around: Surroundings, note: Note, warn: Note
    ) -> None:
        self._read = read
        self._entry = entry
        self._around = around
        self._report = note
        self._warn = warn
        self._faulty = False

    def rule(self, order: int) -> Rule | None:
        """The rule, or None if a fault was found."""
        entry = self._entry
        effect = Effect(entry.effect)
        tools = tuple(dict.fromkeys(text.name(word) for word in words(entry.tools)))
        self._check_names()
        check_tools(self._read, entry, self._around, self._note, self._warn)
        if entry.on == "result" and effect in (Effect.ASK, Effect.DEFER):
            message = f"a result cannot wait: {effect.value} is for calls"
            self._fault(("effect",), message, "Use deny to withhold it, or ask before the call.")
        terms = self._terms(effect)
        condition = None
        if entry.when is not None:
            place = self._read.node(entry, "when")
            condition = self._around.conditions.condition(
                self._read.source, place, tools, on_result=entry.on == "result", note=self._note
            )
        duties = tuple(self._duties(effect, tools))
        if self._faulty:
            return None
        return Rule(
            order=order,
            id=entry.id,
            effect=effect,
            phase=Phase(entry.on),
            at=self._read.location(entry),
            tools=tools,
            agents=_selector(entry.agents),
            roles=_selector(entry.roles),
            teams=_selector(entry.teams),
            users=_selector(entry.users),
            does=None if entry.does is None else tuple(Does(word) for word in words(entry.does)),
            after=words(entry.after),
            condition=condition,
            because=entry.because,
            instead=entry.instead,
            terms=terms,
            duties=duties,
        )

    def _note(self, fault: Fault) -> None:
        self._faulty = True
        self._report(fault)

    def _fault(self, path: Path, message: str, hint: str | None = None) -> None:
        self._note(self._read.fault(self._entry, path, message, hint))

    def _check_names(self) -> None:
        directory, entry = self._around.directory, self._entry
        check = self._check_words
        check("agents", entry.agents, directory.agents, "agent", "Declare it under agents:")
        check("users", entry.users, directory.people, "person", "Declare it under people:")
        check(
            "roles",
            entry.roles,
            directory.roles,
            "role",
            "Give it to one of agents:, or name it under issued:",
        )
        check(
            "teams",
            entry.teams,
            directory.teams,
            "team",
            "Put one of agents: into it, or name it under issued:",
        )
        what = "person, and no role or team of a person,"
        check("approvers", entry.approvers, directory.approvers, what, "Declare it under people:")
        check("after", entry.after, self._around.labels, "label", "Let a tool return it.")

    def _check_words(
        self,
        key: str,
        given: str | tuple[str, ...] | None,
        known: Collection[str],
        kind: str,
        hint: str,
    ) -> None:
        for index, word in enumerate(words(given)):
            if word not in known and self._around.complete:
                message = f"there is no {kind} {word!r}; this would never match"
                self._fault((key, index), message, closest(word, known) or hint)

    def _terms(self, effect: Effect) -> ApprovalTerms | None:
        entry = self._entry
        if effect not in (Effect.ASK, Effect.DEFER):
            for name, key in _APPROVAL_KEYS.items():
                if getattr(entry, name) is not None:
                    message = f"{key} has no meaning with effect {effect.value}"
                    hint = "It goes with ask or defer."
                    self._note(self._read.fault_of_key(entry, (key,), message, hint))
            return None
        terms = ApprovalTerms(
            approvers=words(entry.approvers),
            quorum=entry.quorum or 1,
            self_approval=bool(entry.self_approval),
        )
        if entry.quorum is not None:
            self._check_quorum(terms)
        if entry.expires is None:
            return terms
        return structs.replace(terms, expires_after=nanoseconds(entry.expires))

    def _check_quorum(self, terms: ApprovalTerms) -> None:
        if not self._around.directory.issued.isdisjoint(terms.approvers):
            return  # how many people have it is known elsewhere
        able = [
            person
            for person in self._around.directory.people.values()
            if not terms.approvers
            or not {person.id, person.team, *person.roles}.isdisjoint(terms.approvers)
        ]
        if len(able) < terms.quorum and self._around.complete:
            message = f"{terms.quorum} must approve, and {len(able)} of the people declared may"
            self._fault(("quorum",), message, "Lower it, or name more approvers.")

    def _duties(self, effect: Effect, tools: tuple[str, ...]) -> Iterator[Duty]:
        entry = self._entry
        if entry.obligations and effect is Effect.DENY:
            message = "obligations have no meaning with effect deny"
            hint = "They are what must be done for an allow to hold."
            self._note(self._read.fault_of_key(entry, ("obligations",), message, hint))
        for index, obligation in enumerate(entry.obligations):
            yield from self._duty(obligation, ("obligations", index), tools)

    def _duty(self, entry: ObligationEntry, path: Path, tools: tuple[str, ...]) -> Iterator[Duty]:
        written = (entry.rewrite, entry.cap, entry.redact, entry.label)
        if sum(bool(each) for each in written) != 1:
            hint = "Make each a list item of its own, such as: - label: confidential"
            self._fault(path, "an obligation is one of rewrite, cap, redact, label", hint)
            return
        for target in entry.rewrite or ():
            place = (*path, "rewrite", target)
            self._check_target(place, target, ("args",), of_key=True)
            value = self._around.conditions.value(
                self._read.source,
                self._read.node(self._entry, *place),
                tools,
                note=self._note,
            )
            yield Duty(kind="rewrite", target=target, expression=value)
        for target, number in (entry.cap or {}).items():
            self._check_target((*path, "cap", target), target, ("args",), of_key=True)
            yield Duty(kind="cap", target=target, value=number)
        for index, target in enumerate(words(entry.redact)):
            self._check_target((*path, "redact", index), target, ("args", "result"))
            yield Duty(kind="redact", target=target)
        for label in words(entry.label):
            yield Duty(kind="label", value=label)

    def _check_target(
        self, path: Path, target: str, roots: tuple[str, ...], *, of_key: bool = False
    ) -> None:
        root, _, rest = target.partition(".")
        if root not in roots or (root == "args" and not rest) or not all(target.split(".")):
            problem = f"{target!r} is no place in {' or '.join(roots)}"
        elif self._entry.on == "result" and root == "args":
            problem = "the call is over when its result is decided on"
        else:
            return
        hint = f"Write {roots[-1]}.NAME"
        pointer = self._read.fault_of_key if of_key else self._read.fault
        self._note(pointer(self._entry, path, problem, hint))


def _selector(written: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if written is None else words(written)


def check_tools(
    read: ReadDocument,
    entry: RuleEntry | BudgetEntry | BreakerEntry | InspectEntry | RemitEntry,
    around: Surroundings,
    note: Note,
    warn: Note,
    *,
    exempt: bool = False,
) -> None:
    """A plain name must be a known tool; a pattern that fits none is only a warning."""
    known = around.known_tools if around.complete else frozenset()
    key = "except" if exempt else "tools"
    written = entry.exempt if isinstance(entry, BreakerEntry) and exempt else entry.tools
    for index, word in enumerate(words(written)):
        pattern = text.name(word)
        if not known or any(patterns.overlap(pattern, each) for each in known):
            continue
        message = f"no declared tool fits {word!r}"
        if "*" in pattern:
            warn(read.fault(entry, (key, index), message, closest(word, known)))
        else:
            hint = closest(word, known) or "Declare it under tools:"
            note(read.fault(entry, (key, index), message, hint))


def declared_labels(documents: Iterable[ReadDocument], catalogue: Catalogue) -> frozenset[str]:
    """Every label that something can put on a session."""
    labels = set(BUILT_IN_LABELS)
    for tool in catalogue.tools:
        labels.update(tool.returns)
    for read in documents:
        for entry in read.document.rules:
            for obligation in entry.obligations:
                labels.update(words(obligation.label))
    return frozenset(labels)
