"""The section ``budgets:`` of documents: what each entry limits, by what it counts, for how long.

An entry that only limits calls in a short period, or states a ``burst``, smooths their frequency
(``RateLimit``). Every other entry counts in a window (``Budget``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

from msgspec import Struct

from remit import text
from remit.budgets.limits import MEASURES, UNITS, Budget, Limit, OnExceed, Period
from remit.budgets.periods import zone
from remit.model import ApprovalTerms, Fault, Location, RateLimit
from remit.policy import patterns
from remit.policy.amounts import AmountError, from_text
from remit.policy.document import BudgetEntry, ExceedEntry, words
from remit.policy.durations import nanoseconds
from remit.policy.meaning import Surroundings, check_tools, is_taken
from remit.policy.reading import ReadDocument, closest
from remit.policy.yaml import YamlScalar

Note = Callable[[Fault], None]

_CALENDAR = frozenset({"minute", "hour", "day", "week", "month", "quarter", "year", "session"})
_ZONED = frozenset({"day", "week", "month", "quarter", "year"})
_PER_MILLION = 1_000_000_000
"""Prices are US dollars for a million tokens, kept as nano-dollars for a million tokens."""


class ReadLimits(Struct, frozen=True):
    """What the documents limit."""

    rates: tuple[RateLimit, ...]
    budgets: tuple[Budget, ...]


class ModelPrice(Struct, frozen=True, kw_only=True):
    """What a document says that models take. ``*`` is the ceiling for models without a price."""

    pattern: str
    """Of model names, in the form of ``text.name``."""
    input: int
    """Nano-dollars for a million tokens."""
    output: int


def read_limits(
    documents: Iterable[ReadDocument], around: Surroundings, note: Note, warn: Note
) -> ReadLimits:
    """The limits of all documents, in the order of files and lines."""
    first: dict[str, Location] = {}
    rates: list[RateLimit] = []
    budgets: list[Budget] = []
    for read in documents:
        for entry in read.document.budgets:
            if is_taken(read, entry, first, note):
                continue
            check_tools(read, entry, around, note, warn)
            reader = _BudgetReader(read, entry, around, note)
            found = reader.rate() if reader.is_rate else reader.budget()
            if isinstance(found, RateLimit):
                rates.append(found)
            else:
                budgets.append(found)
    return ReadLimits(tuple(rates), tuple(budgets))


def read_prices(documents: Iterable[ReadDocument], note: Note) -> tuple[ModelPrice, ...]:
    """What the documents say that models take, the most exact patterns first."""
    found: dict[str, ModelPrice] = {}
    for read in documents:
        document = read.document
        for pattern, entry in document.prices.items():
            name = text.name(pattern)
            if name in found:
                message = f"the price of {pattern!r} is stated already"
                key = read.key(document, "prices", pattern)
                note(read.source.fault(key, message, "Keep one of them."))
                continue
            amounts = {}
            for side in ("input", "output"):
                node = read.node(entry, side)
                assert isinstance(node, YamlScalar)
                try:
                    amounts[side] = from_text(node.text, _PER_MILLION)
                except AmountError as problem:
                    note(read.fault(entry, (side,), str(problem), "Dollars for a million tokens."))
            found[name] = ModelPrice(pattern=name, **{"input": 0, "output": 0, **amounts})
    return tuple(
        sorted(found.values(), key=lambda each: patterns.specificity(each.pattern), reverse=True)
    )


class _BudgetReader:
    """Reads one entry."""

    def __init__(
        self, read: ReadDocument, entry: BudgetEntry, around: Surroundings, note: Note
    ) -> None:
        self._read = read
        self._entry = entry
        self._around = around
        self._note = note

    @property
    def is_rate(self) -> bool:
        """Whether the entry smooths the frequency of calls."""
        entry = self._entry
        if entry.limit.calls is None or entry.rolling is not None:
            return False
        only = all(getattr(entry.limit, each) is None for each in MEASURES if each != "calls")
        short = entry.per is not None and (entry.per == "minute" or entry.per not in _CALENDAR)
        return only and (entry.burst is not None or short)

    def rate(self) -> RateLimit:
        """The entry as a limit on call frequency."""
        entry, calls = self._entry, self._entry.limit.calls or 1
        self._without("on_exceed", "notify", "models", "timezone")
        by = tuple(dict.fromkeys(words(entry.by)))
        for index, word in enumerate(by):
            if word in ("task", "model"):
                message = f"the frequency of calls is not counted by {word}"
                hint = "Leave burst out and count per hour or longer, or in a rolling window."
                self._fault(("by", index), message, hint)
        per = entry.per or "minute"
        if entry.per is None or per in ("session", "week", "month", "quarter", "year"):
            place = ("per",) if entry.per else ("id",)
            self._fault(place, "burst goes with a period up to a day", "Write per: minute")
            per = "minute"
        return RateLimit(
            id=entry.id,
            by=by,  # type: ignore[arg-type]
            calls=calls,
            period=nanoseconds(per),
            burst=entry.burst or calls,
            tools=self._tools(),
            at=self._read.location(entry),
        )

    def budget(self) -> Budget:
        """The entry as a budget that counts in a window."""
        entry = self._entry
        per, length = self._window()
        by = tuple(dict.fromkeys(words(entry.by)))
        if per == "session" and not {"session", "task"} & set(by):
            by = (*by, "session")
        if entry.burst is not None:
            message = "burst goes with a limit on calls alone"
            self._fault(("burst",), message, "Remove it, or make it an entry of its own.")
        return Budget(
            id=entry.id,
            by=by,  # type: ignore[arg-type]
            limits=tuple(self._limits()),
            per=per,
            length=length,
            timezone=self._timezone(per),
            on_exceed=self._on_exceed(),
            notify=(50, 80, 100) if entry.notify is None else tuple(sorted(set(entry.notify))),
            tools=self._tools(),
            models=tuple(text.name(word) for word in words(entry.models)) or None,
            at=self._read.location(entry),
        )

    def _tools(self) -> tuple[str, ...]:
        return tuple(text.name(word) for word in words(self._entry.tools)) or ("*",)

    def _limits(self) -> Iterator[Limit]:
        written = self._entry.limit
        for measure in MEASURES:
            if getattr(written, measure) is None:
                continue
            node = self._read.node(written, measure)
            assert isinstance(node, YamlScalar)
            try:
                amount = from_text(node.text, UNITS[measure])
            except AmountError as problem:
                hint = "Money has at most nine decimals, time six."
                self._note(self._read.fault(written, (measure,), str(problem), hint))
                continue
            if amount == 0:
                message = "a limit of 0 never lets anything through"
                hint = "Use a rule with effect: deny, or raise it."
                self._note(self._read.fault(written, (measure,), message, hint))
            yield Limit(measure, amount)
        if all(getattr(written, measure) is None for measure in MEASURES):
            hint = f"Name at least one of: {', '.join(MEASURES)}."
            self._fault(("limit",), "it limits nothing", hint)

    def _window(self) -> tuple[Period, int]:
        entry = self._entry
        if (entry.per is None) == (entry.rolling is None):
            message = "a budget has either per or rolling"
            hint = "Write per: day, or rolling: 24h"
            self._fault(("id",) if entry.per is None else ("rolling",), message, hint)
        if entry.per is None:
            return "rolling", nanoseconds(entry.rolling or "1d")
        if entry.per not in _CALENDAR:
            hint = f"Write rolling: {entry.per}" if entry.per != "second" else "Write per: minute"
            self._fault(("per",), f"{entry.per} is no period of a calendar", hint)
            return "day", 0
        return cast(Period, entry.per), 0

    def _timezone(self, per: Period) -> str:
        name = self._entry.timezone
        if name is None:
            return "UTC"
        if per not in _ZONED:
            message = f"timezone has no meaning for {per} windows"
            hint = "It goes with per: day, week, month, quarter, year."
            self._key_fault("timezone", message, hint)
        try:
            zone(name)
        except ValueError as problem:
            hint = "Write a name such as Europe/Berlin; if that is one, pip install tzdata"
            self._fault(("timezone",), str(problem), hint)
        return name

    def _on_exceed(self) -> OnExceed:
        written = self._entry.on_exceed
        if written is None or isinstance(written, str):
            terms = ApprovalTerms() if written == "ask" else None
            return OnExceed(kind="deny" if written is None else written, terms=terms)
        if (written.ask is None) == (written.downgrade is None):
            self._fault(("on_exceed",), "it is one of ask and downgrade", "Keep one of them.")
            return OnExceed()
        if written.downgrade is not None:
            for name, key in (("percent", "raise"), ("lasts", "for")):
                if getattr(written, name) is not None:
                    message = f"{key} has no meaning with downgrade"
                    fault = self._read.fault_of_key(written, (key,), message, "It goes with ask.")
                    self._note(fault)
            return OnExceed(kind="downgrade", model=written.downgrade)
        return self._ask(written)

    def _ask(self, written: ExceedEntry) -> OnExceed:
        known = self._around.directory.approvers
        for index, word in enumerate(words(written.ask)):
            if word not in known and self._around.complete:
                message = f"there is no person, and no role or team of a person, {word!r}"
                hint = closest(word, known) or "Declare it under people:"
                self._note(self._read.fault(written, ("ask", index), message, hint))
        return OnExceed(
            kind="ask",
            terms=ApprovalTerms(approvers=words(written.ask)),
            percent=written.percent or 10,
            lasts=nanoseconds(written.lasts or "1h"),
        )

    def _without(self, *names: str) -> None:
        for name in names:
            if getattr(self._entry, name) is not None:
                message = f"{name} has no meaning for a limit on the frequency of calls"
                hint = "Count per hour or longer without burst, or in a rolling window."
                self._key_fault(name, message, hint)

    def _key_fault(self, name: str, message: str, hint: str) -> None:
        self._note(self._read.fault_of_key(self._entry, (name,), message, hint))

    def _fault(self, path: tuple[str | int, ...], message: str, hint: str) -> None:
        self._note(self._read.fault(self._entry, path, message, hint))


def paced(budgets: Iterable[Budget]) -> frozenset[str]:
    """Ids of the budgets whose windows are those of a calendar, from ``day`` on."""
    return frozenset(budget.id for budget in budgets if budget.per in _ZONED)


def price_of(prices: Iterable[ModelPrice], model: str) -> ModelPrice | None:
    """What the documents say that a model takes; None where they do not name it."""
    name = text.name(model)
    for price in prices:
        if price.pattern != "*" and patterns.matches(price.pattern, name):
            return price
    return None


__all__ = ["ModelPrice", "ReadLimits", "paced", "price_of", "read_limits", "read_prices"]
