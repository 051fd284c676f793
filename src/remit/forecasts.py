"""What is coming: the spend at the end of a period and when a limit will be reached. Pure.

A forecast blends the pace of the period with that of the last seven days, and takes how far such
forecasts have been off before from the scope's own past: windows as long as the period are laid
over the history, each is forecast at the same point of its course from what was known by then, and
the quantiles of those errors are what is said here (split conformal prediction). Windows overlap,
so the rank that is taken counts only as many as stand apart.

Where the past does not say, the answer is ``None``: nothing is made up. Amounts are integers in
the unit of the limit, times are nanoseconds since the Unix epoch; floats occur only in between.
The same input always gives the same forecast.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

DAY = 86_400_000_000_000
"""Nanoseconds."""
WEEK = 7 * DAY
MAX_HISTORY = 400 * DAY
"""How far back a forecast looks: what is older says little of now."""
MAX_WINDOWS = 400
"""How many windows of the past a forecast is held against, the newest ones."""
ENOUGH = 4.0
"""Windows that stand apart, from which on the worst of them bounds an 80 % interval. With fewer
the interval is widened, and the forecast says ``thin``."""

_FEWEST = 5
_SETTLED = 12.0
_STEADY = 56 * DAY
_FLOOR = 0.1

Basis: TypeAlias = Literal["history", "thin", "pace", "none"]


class Series(Struct, frozen=True, kw_only=True):
    """What was spent, in cells of equal width, without gaps."""

    start: int
    """Of the first cell."""
    width: int
    """Nanoseconds."""
    amounts: tuple[int, ...]
    until: int
    """The last cell is filled up to here."""


class Period(NamedTuple):
    """The period that a limit is for. ``end`` is the first moment after it."""

    start: int
    end: int


class Quantiles(Struct, frozen=True, kw_only=True):
    """Three values: 10 %, 50 % and 90 % of what may come lies at or below them."""

    p10: int | None = None
    p50: int | None = None
    p90: int | None = None


UNKNOWN = Quantiles()


class Forecast(Struct, frozen=True, kw_only=True):
    """What one scope of a limit will have used at the end of its period."""

    spent: Quantiles
    """At the end of the period. None: not known."""
    exhausted: Quantiles
    """When the limit is reached: ``p10`` is the early end. None: not in this period, or where
    the spend is not known either, not known."""
    basis: Basis
    """``history``: intervals have held before; ``thin``: few windows, the interval is widened;
    ``pace``: nothing to hold it against, so the upper end is not known; ``none``: nothing known."""
    windows: int = 0
    """Windows of the past that it was held against."""


def forecast(
    history: Series, period: Period, now: int, spent: int, limit: int | None = None
) -> Forecast:
    """What will have been spent at the end of ``period``, and when ``limit`` is reached.

    Args:
        history: of the same scope, up to ``now``; it may reach back before the period.
        period: contains ``now``, or has ended.
        now: nanoseconds since the Unix epoch.
        spent: so far in the period; what is held counts, if that is to count.
        limit: in the same unit; None: no limit to reach.
    """
    now = min(now, period.end)
    if now >= period.end:
        return _joined(Quantiles(p10=spent, p50=spent, p90=spent), "history", 0)
    past = _Past(history, now, period.end - period.start)
    rest = past.rest(period, now, spent)
    if rest is None:
        reached = now if limit is not None and spent >= limit else None
        at = Quantiles(p10=reached, p50=reached, p90=reached)
        return Forecast(spent=Quantiles(p10=spent), exhausted=at, basis="none")
    errors = sorted(past.errors(period, now))
    scale = past.scale(rest, now, period.end - now)
    if len(errors) < _FEWEST:
        more = Quantiles(p10=spent, p50=spent + round(rest), p90=None)
        return _with_limit(more, "pace", len(errors), past, period, now, spent, limit)
    apart = min(len(errors), 1 + (len(errors) - 1) * _step(period) / (period.end - now))
    low, middle, high = _offsets(errors, apart)
    ends = [spent + round(max(0.0, rest + each * scale)) for each in (low, middle, high)]
    basis: Basis = "history" if apart >= ENOUGH else "thin"
    more = Quantiles(p10=ends[0], p50=ends[1], p90=ends[2])
    return _with_limit(more, basis, len(errors), past, period, now, spent, limit)


def naive(period: Period, now: int, spent: int) -> int:
    """The pace of the period alone, drawn out to its end: what forecasts are measured against."""
    elapsed = min(now, period.end) - period.start
    return spent if elapsed <= 0 else spent * (period.end - period.start) // elapsed


def _joined(spent: Quantiles, basis: Basis, windows: int) -> Forecast:
    return Forecast(spent=spent, exhausted=UNKNOWN, basis=basis, windows=windows)


def _with_limit(
    ends: Quantiles,
    basis: Basis,
    windows: int,
    past: _Past,
    period: Period,
    now: int,
    spent: int,
    limit: int | None,
) -> Forecast:
    """The forecast with the moments at which the limit is reached: a high spend is an early one."""
    if limit is None:
        return _joined(ends, basis, windows)

    def reached(end: int | None) -> int | None:
        if spent >= limit:
            return now
        return (
            None
            if end is None or end < limit
            else past.crossing(now, period.end, spent, end, limit)
        )

    at = Quantiles(p10=reached(ends.p90), p50=reached(ends.p50), p90=reached(ends.p10))
    return Forecast(spent=ends, exhausted=at, basis=basis, windows=windows)


def _step(period: Period) -> int:
    """From one window to the next: a day, so that they begin at the same time of day."""
    return min(DAY, period.end - period.start)


def _offsets(errors: Sequence[float], apart: float) -> tuple[float, float, float]:
    """Errors at 10 %, 50 % and 90 %, corrected for how few windows stand ``apart``."""
    level = min(1.0, (0.9 * (apart + 1) - 0.5) / apart)
    low, high = _quantile(errors, 1 - level), _quantile(errors, level)
    widened = (high - low) * max(0.0, ENOUGH - apart) / (2 * ENOUGH)
    middle = _quantile(errors, 0.5) * min(1.0, apart / _SETTLED)
    low, high = low - widened, high + widened
    return low, min(max(middle, low), high), high


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie, drawn out between two neighbours."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


class _Past:
    """A history that can be asked for the spend between any two moments."""

    def __init__(self, history: Series, now: int, length: int) -> None:
        self._daily = length <= DAY
        amounts, width = history.amounts, history.width
        first = next((index for index, amount in enumerate(amounts) if amount), len(amounts))
        oldest = -(-(now - MAX_HISTORY - history.start) // width)
        first = max(first, min(oldest, len(amounts)))
        self._width = width
        self._until = min(history.until, now)
        # A credit that comes late cannot make a stretch of the past take less than nothing.
        self._sums = list(itertools.accumulate((max(0, a) for a in amounts[first:]), initial=0))
        self.start = history.start + first * width if first < len(amounts) else now
        """When spending began, as far as it is looked at."""

    def total(self, moment: int) -> float:
        """Spent from the beginning up to ``moment``."""
        place = min(moment, self._until) - self.start
        if place <= 0:
            return 0.0
        index, into = divmod(place, self._width)
        if index >= len(self._sums) - 1:
            return float(self._sums[-1])
        if not into:
            return float(self._sums[index])
        cell = self._sums[index + 1] - self._sums[index]
        # The last cell is not full yet: what is in it came before ``until``.
        full = min(self._width, self._until - self.start - index * self._width)
        return self._sums[index] + cell * into / full

    def between(self, start: int, end: int) -> float:
        """Spent from ``start`` up to ``end``."""
        return self.total(end) - self.total(start)

    def lately(self, start: int, end: int, known: int) -> float | None:
        """What would be spent in a stretch, if it went as in the seven days before ``known``.

        In periods of at most a day that is the mean of the same times of those days, in longer
        ones the same days of the week; where fewer than seven days are known, it is their mean.
        ``known`` is at one end of the stretch. None: nothing is known.
        """
        seen = known - self.start
        if seen <= 0:
            return None
        if seen < WEEK:
            return self.between(self.start, known) * (end - start) / seen
        if self._daily:
            back = -(-(end - known) // DAY) * DAY
            days = (back + day * DAY for day in range(7))
            return sum(self.between(start - day, end - day) for day in days) / 7
        whole, rest = divmod(end - start, WEEK)
        begin = known - WEEK + (start - known) % WEEK
        odd = self.between(begin, begin + rest)
        return whole * self.between(known - WEEK, known) + odd

    def rest(self, period: Period, now: int, spent: float) -> float | None:
        """What is still to come, at the pace of the period and of the last seven days."""
        elapsed, left = now - period.start, period.end - now
        recent = self.lately(now, period.end, now)
        if elapsed <= 0:
            return recent
        pace = spent * left / elapsed
        if recent is None:
            return pace if spent else None
        length = period.end - period.start
        so_far = self.lately(period.start, now, period.start if self._daily else now)
        pace = spent * recent / so_far if so_far else pace
        share = elapsed / (elapsed + min(WEEK, length))
        return share * pace + (1 - share) * recent

    def scale(self, rest: float, now: int, left: int) -> float:
        """What an error is measured in: the forecast, and a little of what is usual."""
        seen = min(_STEADY, now - self.start)
        usual = self.between(now - seen, now) * left / seen if seen > 0 else rest
        return (1 - _FLOOR) * rest + _FLOOR * usual

    def errors(self, period: Period, now: int) -> Iterator[float]:
        """How far forecasts were off in windows of the past, newest first, in their scale."""
        length, elapsed = period.end - period.start, now - period.start
        step, left = _step(period), period.end - now
        first = -(-(period.end - now) // step)
        for shift in range(first, first + MAX_WINDOWS):
            start = period.start - shift * step
            if start - min(WEEK, 7 * length) < self.start:
                return
            window, known = Period(start, start + length), start + elapsed
            rest = self.rest(window, known, self.between(start, known))
            assert rest is not None
            scale = self.scale(rest, known, left)
            if scale > 0:
                yield (self.between(known, window.end) - rest) / scale

    def crossing(self, now: int, end: int, spent: int, total: int, limit: int) -> int:
        """When a spend that goes from ``spent`` to ``total`` reaches ``limit``.

        It is taken to grow as in the last seven days, and evenly where that is not known.
        """
        share = (limit - spent) / (total - spent)
        expected = self.lately(now, end, now)

        def grown(moment: int) -> float:
            if not expected:
                return (moment - now) / (end - now)
            return (self.lately(now, moment, now) or 0.0) / expected

        return _first(now, end, lambda moment: grown(moment) >= share)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first moment from which on something holds; ``high``, where it is not before."""
    while high - low > 1_000_000_000:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
