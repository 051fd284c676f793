"""What tools cost as documents declare it: constants, and expressions over arguments and result.

What is held before a call looks only at its arguments; what is charged may look at the result. An
expression that fails, or gives something that is no amount, frees nothing: before the call it
refuses, after it what was held is charged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from remit import text
from remit.budgets.limits import UNITS
from remit.model import Fault, Measure, Usage
from remit.policy.amounts import AmountError, from_text, from_value
from remit.policy.catalogue import Tool
from remit.policy.comparison import ConditionError, MissingFact
from remit.policy.conditions import ConditionReader
from remit.policy.document import Cost, CostRange, ToolEntry, words
from remit.policy.evaluate import Scope, value_of
from remit.policy.reading import ReadDocument
from remit.policy.rules import Condition
from remit.policy.types import NUMERIC
from remit.policy.yaml import YamlScalar

Note = Callable[[Fault], None]
Path = tuple[str | int, ...]

COSTED: tuple[Measure, ...] = ("usd", "input_tokens", "output_tokens", "seconds")


class CostPart(Struct, frozen=True, kw_only=True):
    """One measure of what a tool costs: fixed, or worked out."""

    measure: Measure
    fixed: int = 0
    most: Condition | None = None
    """Gives what is held, where that is not fixed."""
    charge: Condition | None = None
    """Gives what is charged once there is a result; None: what was held."""


ToolCost = tuple[CostPart, ...]


class DeclaredUse(Struct, frozen=True):
    """What a declaration says that a call takes."""

    usage: Usage = Usage()
    microseconds: int | None = None
    """None where it says nothing of time."""


def most(cost: ToolCost, scope: Scope) -> DeclaredUse:
    """The most that a call takes.

    Raises:
        AmountError: an expression gives no amount.
        ConditionError: an expression cannot be evaluated.
        MissingFact: a fact is missing.
    """
    return _use({part.measure: _amount(part, part.most, scope) for part in cost})


def charged(cost: ToolCost, scope: Scope, held: Usage) -> DeclaredUse:
    """What a call took. ``held`` counts for what cannot be worked out."""
    before = {"usd": held.nano_usd, "input_tokens": held.input_tokens}
    before["output_tokens"] = held.output_tokens
    found: dict[Measure, int] = {}
    for part in cost:
        if part.measure == "seconds":
            continue  # time is measured
        try:
            found[part.measure] = _amount(part, part.charge or part.most, scope)
        except (AmountError, ConditionError, MissingFact):
            found[part.measure] = before[part.measure]
    return _use(found)


def _amount(part: CostPart, expression: Condition | None, scope: Scope) -> int:
    if expression is None:
        return part.fixed
    return from_value(value_of(expression.node, scope), part.measure)


def _use(found: Mapping[Measure, int]) -> DeclaredUse:
    usage = Usage(
        nano_usd=found.get("usd", 0),
        input_tokens=found.get("input_tokens", 0),
        output_tokens=found.get("output_tokens", 0),
    )
    return DeclaredUse(usage, found.get("seconds"))


def read_costs(
    documents: Iterable[ReadDocument], conditions: ConditionReader, note: Note
) -> Mapping[str, ToolCost]:
    """What each declared tool pattern costs; those that cost nothing are left out."""
    found: dict[str, ToolCost] = {}
    for read in documents:
        for entry in read.document.tools:
            if entry.cost is None:
                continue
            tools = tuple(text.name(word) for word in words(entry.match))
            cost = tuple(_parts(_CostReader(read, entry, tools, conditions, note), entry.cost))
            for pattern in tools:
                found.setdefault(pattern, cost)
    return found


def cost_of(costs: Mapping[str, ToolCost], tool: Tool) -> ToolCost:
    """What a declared tool costs."""
    return costs.get(tool.pattern, ()) if tool.declared else ()


def _parts(reader: _CostReader, cost: Cost) -> Iterator[CostPart]:
    for measure in COSTED:
        written = getattr(cost, measure)
        if written is not None:
            yield reader.part(measure, written)


class _CostReader:
    """Reads the cost of one tool entry."""

    def __init__(
        self,
        read: ReadDocument,
        entry: ToolEntry,
        tools: tuple[str, ...],
        conditions: ConditionReader,
        note: Note,
    ) -> None:
        self._read = read
        self._entry = entry
        self._tools = tools
        self._conditions = conditions
        self._note = note

    def part(self, measure: Measure, written: Any) -> CostPart:
        """One measure, as written."""
        path: Path = ("cost", measure)
        if not isinstance(written, CostRange):
            fixed, expression = self._either(path, measure, written)
            return CostPart(measure=measure, fixed=fixed, most=expression)
        fixed, expression = self._either((*path, "at-most"), measure, written.at_most)
        charge = self._expression((*path, "charge"), on_result=True)
        return CostPart(measure=measure, fixed=fixed, most=expression, charge=charge)

    def _either(self, path: Path, measure: Measure, written: Any) -> tuple[int, Condition | None]:
        if isinstance(written, str):
            return 0, self._expression(path, on_result=False)
        node = self._read.node(self._entry, *path)
        assert isinstance(node, YamlScalar)
        try:
            return from_text(node.text, UNITS[measure]), None
        except AmountError as problem:
            hint = "Money has at most nine decimals, time six; tokens are whole."
            self._note(self._read.fault(self._entry, path, str(problem), hint))
            return 0, None

    def _expression(self, path: Path, *, on_result: bool) -> Condition | None:
        place = self._read.node(self._entry, *path)
        found = self._conditions.value(
            self._read.source, place, self._tools, on_result=on_result, note=self._note
        )
        if found is not None:
            kind = self._conditions.kind(found, self._tools, on_result=on_result)
            if kind not in ("dyn", *NUMERIC):
                message = f"a cost is a number, this is {kind}"
                self._note(self._read.fault(self._entry, path, message, "Write 0.01 or args.NAME"))
        return found


__all__ = ["CostPart", "DeclaredUse", "ToolCost", "charged", "cost_of", "most", "read_costs"]
