"""Budgets as policy states them, and what of an action counts against them."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from remit.model import ApprovalTerms, Location, Measure, Usage

BudgetScope: TypeAlias = Literal["org", "team", "agent", "user", "session", "task", "tool", "model"]
"""What a budget counts by. A task is a session with all those that were delegated from it."""

Period: TypeAlias = Literal[
    "minute", "hour", "day", "week", "month", "quarter", "year", "rolling", "session"
]
"""When a budget starts anew: with the calendar, bit by bit (``rolling``), or never."""

MEASURES: tuple[Measure, ...] = (
    "usd",
    "tokens",
    "input_tokens",
    "output_tokens",
    "calls",
    "seconds",
)
UNITS: dict[Measure, int] = {
    "usd": 1_000_000_000,
    "tokens": 1,
    "input_tokens": 1,
    "output_tokens": 1,
    "calls": 1,
    "seconds": 1_000_000,
}
"""How many of the ledger's integers are one of what people write."""


class Limit(Struct, frozen=True):
    """How much of one measure a budget allows."""

    measure: Measure
    amount: int
    """In the integers of the measure: nano-dollars, tokens, calls, microseconds."""


class OnExceed(Struct, frozen=True, kw_only=True):
    """What happens to a call that a budget cannot pay."""

    kind: Literal["deny", "ask", "downgrade"] = "deny"
    model: str = ""
    """``downgrade``: the model to call instead."""
    terms: ApprovalTerms | None = None
    """``ask``: who may approve."""
    percent: int = 10
    """``ask``: by how much of it an approval raises the limit, at least by what the call takes."""
    lasts: int = 3_600_000_000_000
    """``ask``: for how many nanoseconds it is raised."""


class Budget(Struct, frozen=True, kw_only=True):
    """One entry of ``budgets:`` that counts in a window (``RateLimit`` is the other kind)."""

    id: str
    by: tuple[BudgetScope, ...]
    limits: tuple[Limit, ...]
    """At most one of each measure."""
    per: Period
    length: int = 0
    """Nanoseconds, of a rolling window."""
    timezone: str = "UTC"
    """IANA name of the zone whose calendar counts, from ``day`` on."""
    on_exceed: OnExceed = OnExceed()
    notify: tuple[int, ...] = (50, 80, 100)
    """Percent of the limit at which people are told, ascending."""
    tools: tuple[str, ...] = ("*",)
    """Tool name patterns that it counts."""
    models: tuple[str, ...] | None = None
    """Patterns of model names that it counts; None: calls without a model too."""
    at: Location | None = None


class Takes(NamedTuple):
    """What one action takes, or may take at most."""

    usage: Usage
    calls: int = 1
    microseconds: int = 0
    timed: bool = True
    """Whether it is known how long it takes at most."""

    def of(self, measure: Measure) -> int:
        """The amount in the integers of a measure, never below zero."""
        usage = self.usage
        match measure:
            case "usd":
                amount = usage.nano_usd
            case "tokens":
                amount = usage.input_tokens + usage.output_tokens
            case "input_tokens":
                amount = usage.input_tokens
            case "output_tokens":
                amount = usage.output_tokens
            case "calls":
                amount = self.calls
            case _:
                amount = self.microseconds
        return max(0, amount)


class Line(NamedTuple):
    """One measure of one budget for one scope: what a request counts against."""

    budget: Budget
    limit: Limit
    scope: tuple[str, ...]
    """Values of ``budget.by``, in that order."""
    series: str
    """What stays the same from window to window."""


def line(budget: Budget, limit: Limit, scope: tuple[str, ...]) -> Line:
    """The line of one measure of a budget for a scope."""
    values = "/".join(escaped(value) for value in scope)
    return Line(budget, limit, scope, f"{budget.id}/{limit.measure}/{values}")


def escaped(word: str) -> str:
    """A word that can be joined to others by ``/``, and a window by ``@``."""
    return word.replace("%", "%25").replace("/", "%2F").replace("@", "%40")


def written(measure: Measure, amount: int) -> str:
    """An amount as people read it: ``4.50 USD``, ``1,200 tokens``, ``90 s``."""
    if measure == "usd":
        dollars, nano = divmod(amount, UNITS["usd"])
        decimals = f"{nano:09d}".rstrip("0").ljust(2, "0")
        return f"{dollars:,}.{decimals} USD"
    if measure == "seconds":
        return f"{amount / UNITS['seconds']:,.15g} s"
    return f"{amount:,} {measure.replace('_', ' ')}"
