"""Budgets as people look at them: what is used, what is held, and what is coming.

Joins the ledger's cells with the tallies of what was spent before. Reads only; no I/O of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from remit.backtests import Trial, backtest
from remit.budgets.cells import Balance, Cell, balance
from remit.budgets.limits import Budget, Period
from remit.budgets.periods import FOREVER, window
from remit.forecasts import MAX_HISTORY, Forecast, Quantiles, Series, forecast
from remit.forecasts import Period as Stretch
from remit.model import Measure
from remit.storage import Snapshot, Transaction
from remit.tallying import HOUR, SPEND

MOST = 200
"""Cells of the ledger that one look shows at most."""
FORECAST_FROM: tuple[Period, ...] = ("day", "week", "month", "quarter", "year")
"""Periods that are long enough for the hours of the tallies to say something of them."""


Change: TypeAlias = Callable[[Transaction, Cell], Cell]
"""Something that is done to a cell."""


class BudgetView(Struct, frozen=True, kw_only=True):
    """One measure of one budget for one scope, as it stands.

    Amounts are in the ledger's integers:
    nano-dollars, tokens, calls, microseconds; times in ns since the Unix epoch.
    """

    cell: str
    """Key in the ledger, by which it is changed."""
    budget: str
    measure: Measure
    scope: Mapping[str, str]
    """Who or what it is counted for, by kind."""
    per: Period
    limit: int
    """As it is now, raised or lowered if somebody did that."""
    stated: int
    """As policy says it."""
    changed_until: int | None
    """Until when the limit is another than policy says."""
    spent: int
    held: int
    """By calls that run."""
    remaining: int
    blocked: bool
    """Whether a call took more than was held for it, so that nothing more is let through."""
    starts: int | None
    ends: int | None
    """None where the period does not end, or moves on."""
    forecast: Forecast


class BudgetPage(Struct, frozen=True, kw_only=True):
    """Some of the budgets that are in use, and where the next page begins."""

    budgets: tuple[BudgetView, ...]
    next: str | None = None


def standing(
    view: Snapshot,
    budgets: Sequence[Budget],
    now: int,
    *,
    budget: str | None = None,
    after: str = "",
    limit: int = MOST,
) -> BudgetPage:
    """The cells that count now, by key, each with its forecast.

    Args:
        view: the store.
        budgets: of the policy in force; cells of others are not shown.
        now: nanoseconds since the Unix epoch.
        budget: only those of this one.
        after: from behind this key.
        limit: how many.
    """
    stated = {each.id: each for each in budgets}
    found: list[BudgetView] = []
    for cell in view.live_cells(budget, now, limit + 1, after):
        if len(found) == limit:
            return BudgetPage(budgets=tuple(found), next=found[-1].cell)
        known = stated.get(cell.budget)
        if known is not None and stated_limit(known, cell) is not None:
            found.append(shown(view, known, cell, now))
    return BudgetPage(budgets=tuple(found))


def shown(view: Snapshot, budget: Budget, cell: Cell, now: int) -> BudgetView:
    """One cell with its forecast, under the limit as the policy in force states it."""
    cell = replace(cell, limit=stated_limit(budget, cell) or cell.limit)
    stands = balance(cell, now)
    return BudgetView(
        cell=cell.key,
        budget=cell.budget,
        measure=cell.measure,
        scope=dict(zip(cell.by, cell.scope, strict=True)),
        per=budget.per,
        limit=stands.limit,
        stated=cell.limit,
        changed_until=cell.raised_until if now < cell.raised_until else None,
        spent=stands.spent,
        held=stands.held,
        remaining=stands.remaining,
        blocked=stands.blocked,
        starts=cell.starts or None,
        ends=None if cell.length or cell.ends >= FOREVER else cell.ends,
        forecast=_forecast(view, budget, cell, stands, now),
    )


def stated_limit(budget: Budget, cell: Cell) -> int | None:
    """What a budget allows of the measure of a cell; None: it does not count that."""
    return next((each.amount for each in budget.limits if each.measure == cell.measure), None)


def history(view: Snapshot, series: str, now: int) -> Series:
    """What was spent in a series of the ledger, hour by hour, as far back as it is kept."""
    since = now - MAX_HISTORY
    amounts: dict[int, int] = {}
    for tally in view.tallies(SPEND, since - since % HOUR, now + 1, series):
        amounts[tally.at // HOUR] = tally.amounts[0]
    first = min(amounts, default=now // HOUR)
    filled = tuple(amounts.get(hour, 0) for hour in range(first, now // HOUR + 1))
    return Series(start=first * HOUR, width=HOUR, amounts=filled, until=now)


def back_tested(view: Snapshot, budget: Budget, now: int) -> Iterator[tuple[str, list[Trial]]]:
    """How forecasts of a budget would have been in the periods that are over, by series.

    Periods that are shorter than a day, and those that do not end, are not forecast.
    """
    if budget.per not in FORECAST_FROM:
        return
    prefix = f"{budget.id}/"
    known = {tally.key for tally in view.tallies(SPEND, now - MAX_HISTORY, now + 1)}
    for series in sorted(key for key in known if key.startswith(prefix)):
        past = history(view, series, now)
        trials = backtest(past, _periods(budget, past.start, now))
        if trials:
            yield series, trials


def _periods(budget: Budget, since: int, now: int) -> list[Stretch]:
    """The periods of a budget that begin after ``since`` and are over, oldest first."""
    found: list[Stretch] = []
    start = window(now, budget.per, budget.timezone).start
    while start > since:
        before = window(start - 1, budget.per, budget.timezone)
        found.append(Stretch(before.start, before.end))
        start = before.start
    return found[::-1]


def _forecast(view: Snapshot, budget: Budget, cell: Cell, stands: Balance, now: int) -> Forecast:
    if cell.length:
        # What was spent before leaves a rolling window by its end, and all of the next is new.
        past = history(view, _series(cell), now)
        return forecast(past, Stretch(now, now + cell.length), now, 0)
    if cell.ends >= FOREVER:
        reached = now if stands.spent + stands.held >= stands.limit else None
        at = Quantiles(p10=reached, p50=reached, p90=reached)
        return Forecast(spent=Quantiles(p10=stands.spent), exhausted=at, basis="none")
    period = Stretch(cell.starts, cell.ends)
    if budget.per in FORECAST_FROM:
        past = history(view, _series(cell), now)
    else:
        past = Series(start=now, width=HOUR, amounts=(), until=now)
    return forecast(past, period, now, stands.spent, stands.limit)


def _series(cell: Cell) -> str:
    return cell.key.rpartition("@")[0]
