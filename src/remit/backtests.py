"""How good forecasts would have been: made again for periods that are over, with what was known.

Each past period is forecast at a few points of its course from the history up to there, and held
against what it came to. The pace of the period alone, drawn out, is judged beside it. Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from msgspec import Struct

from remit.forecasts import Basis, Period, Series, forecast, naive

CUTS = (0.25, 0.5, 0.75)
"""At which parts of a period it is forecast."""


class Trial(Struct, frozen=True, kw_only=True):
    """One forecast of a period that is over."""

    period: Period
    at: int
    """When it would have been made, nanoseconds since the Unix epoch."""
    actual: int
    """What the period came to."""
    expected: int
    """The median of the forecast."""
    naive: int
    """The pace of the period alone, drawn out."""
    low: int | None
    high: int | None
    """The ends of the interval that 80 % should fall into. None: the forecast knew none."""
    basis: Basis

    @property
    def error(self) -> float:
        """How far the forecast was off, as a share of what it came to."""
        return abs(self.expected - self.actual) / self.actual

    @property
    def naive_error(self) -> float:
        """How far the pace alone was off, as a share of what it came to."""
        return abs(self.naive - self.actual) / self.actual

    @property
    def covered(self) -> bool | None:
        """Whether the interval held what it came to. None: there was none."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.actual <= self.high


class Score(Struct, frozen=True, kw_only=True):
    """How a number of trials came out. Shares, 1 is all; None: there was nothing to judge."""

    trials: int
    error: float | None
    """Median of the absolute errors."""
    naive_error: float | None
    """The same of the pace alone."""
    intervals: int
    """Trials in which the forecast gave an interval."""
    covered: float | None
    """Share of those intervals that held what it came to."""


def backtest(
    history: Series, periods: Iterable[Period], cuts: Sequence[float] = CUTS
) -> list[Trial]:
    """Forecast every period that is over, as it would have been done then.

    Periods in which nothing was spent, and moments at which nothing was known, are left out.

    Args:
        history: of one scope.
        periods: those of its limit; the ones that the history does not cover are left out.
        cuts: at which parts of its course each is forecast, above 0 and below 1.
    """
    return [
        trial
        for period in periods
        if history.start <= period.start and period.end <= history.until
        for cut in cuts
        for trial in _trial(history, period, cut)
    ]


def score(trials: Sequence[Trial]) -> Score:
    """What trials of one or of many scopes come to together."""
    held = [trial.covered for trial in trials if trial.covered is not None]
    return Score(
        trials=len(trials),
        error=statistics.median(trial.error for trial in trials) if trials else None,
        naive_error=statistics.median(trial.naive_error for trial in trials) if trials else None,
        intervals=len(held),
        covered=sum(held) / len(held) if held else None,
    )


def _trial(history: Series, period: Period, cut: float) -> Iterable[Trial]:
    cells = (period.start + int((period.end - period.start) * cut) - history.start) // history.width
    now = history.start + cells * history.width  # on a cell's edge, so that nothing later leaks in
    begin = -(-(period.start - history.start) // history.width)
    end = -(-(period.end - history.start) // history.width)
    spent, actual = sum(history.amounts[begin:cells]), sum(history.amounts[begin:end])
    if actual <= 0 or now <= period.start:
        return
    known = Series(
        start=history.start, width=history.width, amounts=history.amounts[:cells], until=now
    )
    made = forecast(known, period, now, spent)
    if made.spent.p50 is not None:
        yield Trial(
            period=period,
            at=now,
            actual=actual,
            expected=made.spent.p50,
            naive=naive(period, now, spent),
            low=made.spent.p10 if made.spent.p90 is not None else None,
            high=made.spent.p90,
            basis=made.basis,
        )
