"""Costs: who spends how much, how budgets stand, and what is coming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from remit import outlook
from remit.api.budgets import caught_up
from remit.api.frame import Call, Reply, Route
from remit.chargeback import SPLITS, Split, UsageRow, usage_rows
from remit.console import pages, showing
from remit.console.pages import ADMINS, PREFIX, READERS
from remit.outlook import BudgetView
from remit.storage import Snapshot
from remit.tallying import DAY, USE

MOST = 6
"""Consumers that a chart tells apart; the others are one."""
WEEK = 7
_SCANNED = 6_000
_CEILING = b'"prices":"ceiling"'

Counted = Literal["usd", "tokens", "calls"]


class CostQuery(Struct, frozen=True, kw_only=True):
    """What to look at."""

    by: Split = "agent"
    what: Counted = "usd"
    days: Annotated[int, Meta(ge=2, le=366)] = 30


class Spent(Struct, frozen=True, kw_only=True):
    """What one consumer used in all, and in each of the last two weeks."""

    name: str
    total: int
    now: int
    before: int

    @property
    def change(self) -> float | None:
        """By how much the week is more than the one before; None where that had nothing."""
        return None if not self.before else self.now / self.before - 1


class ChartData(Struct, frozen=True, kw_only=True):
    """What the chart draws: a value for each name and day."""

    days: tuple[int, ...]
    """Seconds since the epoch."""
    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    unit: str


class BudgetBar(Struct, frozen=True, kw_only=True):
    """A budget as a bar: where things are, in percent of the limit."""

    budget: BudgetView
    scope: str
    spent: float
    held: float
    low: float | None
    high: float | None


class UnpricedModel(Struct, frozen=True, kw_only=True):
    """A model whose price nobody knows, so that the ceiling is charged."""

    model: str
    calls: int


async def costs(call: Call) -> Reply:
    """The page."""
    asked: CostQuery = call.query
    parts, now = call.parts, call.parts.clock()
    await caught_up(parts)
    budgets = parts.policies.current.budgets

    def read(view: Snapshot) -> tuple[list[Spent], list[BudgetBar], list[UnpricedModel]]:
        spent = _spent(_rows(view, asked, now), asked, now)
        standing = [_standing(each) for each in outlook.standing(view, budgets, now).budgets]
        return spent, standing, _unpriced(view)

    spent, standing, unpriced = await parts.read(read)
    return await pages.page(
        call,
        "costs.html",
        asked=asked,
        spent=spent,
        movers=_movers(spent),
        standing=standing,
        unpriced=unpriced,
        splits=SPLITS,
        measure="tokens" if asked.what == "tokens" else asked.what,
    )


async def chart(call: Call) -> Reply:
    """What the chart draws."""
    asked: CostQuery = call.query
    now = call.parts.clock()
    await caught_up(call.parts)
    rows = await call.parts.read(lambda view: _rows(view, asked, now))
    return Reply(body=chart_of(rows, asked, now))


def chart_of(rows: Sequence[UsageRow], asked: CostQuery, now: int) -> ChartData:
    """A value for each day and each of the largest consumers; the rest as one."""
    spent = _spent(rows, asked, now)
    names = [each.name for each in spent[:MOST]]
    today = now // DAY
    days = [today - asked.days + 1 + offset for offset in range(asked.days)]
    sums: dict[tuple[str, int], int] = {}
    for row in rows:
        name = _name(row, asked.by)
        shown = name if name in names else "others"
        place = (shown, _day(row.period))
        sums[place] = sums.get(place, 0) + _amount(row, asked.what)
    if len(spent) > MOST:
        names.append("others")
    scale = 1_000_000_000 if asked.what == "usd" else 1
    return ChartData(
        days=tuple(day * 86_400 for day in days),
        names=tuple(showing.line(name, 40) for name in names),
        values=tuple(tuple(sums.get((name, day), 0) / scale for day in days) for name in names),
        unit=asked.what,
    )


def _rows(view: Snapshot, asked: CostQuery, now: int) -> list[UsageRow]:
    since = (now // DAY - asked.days + 1) * DAY
    return usage_rows(view.tallies(USE, since, now + 1), (asked.by,), "day")


def _spent(rows: Sequence[UsageRow], asked: CostQuery, now: int) -> list[Spent]:
    """Every consumer, the largest first."""
    today = now // DAY
    sums: dict[str, list[int]] = {}
    for row in rows:
        amount, age = _amount(row, asked.what), today - _day(row.period)
        held = sums.setdefault(_name(row, asked.by), [0, 0, 0])
        held[0] += amount
        if age < 2 * WEEK:
            held[1 if age < WEEK else 2] += amount
    found = [
        Spent(name=name, total=total, now=week, before=before)
        for name, (total, week, before) in sums.items()
    ]
    return sorted(found, key=lambda each: (-each.total, each.name))


def _movers(spent: Sequence[Spent]) -> list[Spent]:
    """Whose week differs most from the one before."""
    moved = [each for each in spent if each.before or each.now]
    return sorted(moved, key=lambda each: -abs(each.now - each.before))[:5]


def _standing(budget: BudgetView) -> BudgetBar:
    limit = max(1, budget.limit)
    coming = budget.forecast.spent
    return BudgetBar(
        budget=budget,
        scope=", ".join(f"{kind} {value}" for kind, value in budget.scope.items()),
        spent=min(100.0, 100 * budget.spent / limit),
        held=min(100.0, 100 * budget.held / limit),
        low=None if coming.p10 is None else min(100.0, 100 * coming.p10 / limit),
        high=None if coming.p90 is None else min(100.0, 100 * coming.p90 / limit),
    )


def _unpriced(view: Snapshot) -> list[UnpricedModel]:
    counts: dict[str, int] = {}
    size = view.log_size()
    for kept in view.records(max(0, size - _SCANNED), size):
        if _CEILING in kept.body:
            model: Mapping[str, object] = msgspec.json.decode(kept.body)
            name = str(model.get("model", "?"))
            counts[name] = counts.get(name, 0) + 1
    return [UnpricedModel(model=name, calls=count) for name, count in sorted(counts.items())]


def _amount(row: UsageRow, what: Counted) -> int:
    if what == "usd":
        return row.nano_usd
    return row.calls if what == "calls" else row.input_tokens + row.output_tokens


def _name(row: UsageRow, by: Split) -> str:
    return getattr(row, by) or "(none)"


def _day(period: str) -> int:
    moment = datetime.strptime(period, "%Y-%m-%d").replace(tzinfo=UTC)
    return int(moment.timestamp()) // 86_400


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/costs",
        handler=costs,
        rights=READERS | ADMINS,
        summary="Who spends how much, and how budgets stand",
        query=CostQuery,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/costs/chart",
        handler=chart,
        rights=READERS | ADMINS,
        summary="What the chart draws",
        query=CostQuery,
    ),
)
