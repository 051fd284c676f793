"""How fast a budget is used up, over several windows at a time: multi-window burn rates.

A rate of 1 uses up the limit exactly by the end of its period. An alert needs its rate over a long
window, so that one dear call does not raise it, and over a short one, so that it is over as soon
as the cause is. Windows are those of the practice for service level objectives of 30 days, scaled
to the period. What was spent lately is kept as two marks for each window, so it costs the same
however many calls there are. Pure: the time is an argument, in nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

_MINUTE = 60_000_000_000
_PERIOD = 30 * 24 * 60 * _MINUTE


class BurnAlert(NamedTuple):
    """A rate that is too fast in both of two windows, in nanoseconds of a period of 30 days."""

    tenths: int
    """The rate, in tenths."""
    long: int
    short: int


ALERTS = (
    BurnAlert(144, 60 * _MINUTE, 5 * _MINUTE),
    BurnAlert(60, 6 * 60 * _MINUTE, 30 * _MINUTE),
    BurnAlert(10, 3 * 24 * 60 * _MINUTE, 120 * _MINUTE),
)
"""The fastest first: they use up 2 %, 5 % and 10 % of the limit within their long window."""


class BurnMark(Struct, frozen=True, array_like=True):
    """What had been spent when two stretches, each as long as a window, began."""

    stretch: int
    """Number of the later stretch since the epoch."""
    first: int = 0
    """Spent when it began."""
    before: int = 0
    """Spent when the one before began."""


class Burn(NamedTuple):
    """An alert that holds."""

    tenths: int
    """The rate over the long window, in tenths."""
    alert: BurnAlert
    long: int
    """Nanoseconds, scaled to the period."""
    short: int


def marked(marks: Sequence[BurnMark], spent: int, period: int, now: int) -> tuple[BurnMark, ...]:
    """The marks at ``now``, for every window.

    Args:
        marks: as kept; none for a period in which nothing was spent before.
        spent: in the period so far.
        period: its length, nanoseconds.
        now: not before the time of the marks.
    """
    widths = [width for alert in ALERTS for width in _widths(alert, period)]
    kept: Sequence[BurnMark] = marks or [BurnMark(now // width) for width in widths]
    return tuple(
        _moved(mark, spent, now // width) for mark, width in zip(kept, widths, strict=True)
    )


def burning(
    marks: Sequence[BurnMark], spent: int, limit: int, period: int, now: int
) -> Burn | None:
    """The fastest alert that holds at ``now``, or None.

    Args:
        marks: from ``marked``, at the same time.
        spent: in the period so far.
        limit: of the period.
        period: its length, nanoseconds.
        now: nanoseconds since the Unix epoch.
    """
    if limit <= 0:
        return None
    pairs = zip(marks[::2], marks[1::2], ALERTS, strict=True)
    for long_mark, short_mark, alert in pairs:
        long, short = _widths(alert, period)
        rate = _tenths(long_mark, spent, limit, period, long, now)
        if min(rate, _tenths(short_mark, spent, limit, period, short, now)) >= alert.tenths:
            return Burn(rate, alert, long, short)
    return None


def _widths(alert: BurnAlert, period: int) -> tuple[int, int]:
    return max(1, alert.long * period // _PERIOD), max(1, alert.short * period // _PERIOD)


def _moved(mark: BurnMark, spent: int, stretch: int) -> BurnMark:
    if stretch == mark.stretch:
        if spent >= mark.first:
            return mark
        return BurnMark(stretch, spent, min(spent, mark.before))  # a credit, or a reset
    if stretch == mark.stretch + 1:
        return BurnMark(stretch, spent, min(spent, mark.first))
    return BurnMark(stretch, spent, spent)


def _tenths(mark: BurnMark, spent: int, limit: int, period: int, width: int, now: int) -> int:
    """The rate over the last ``width``, in tenths."""
    into = now - mark.stretch * width
    ago = mark.before + (mark.first - mark.before) * into // width
    return 10 * (spent - ago) * period // (limit * width)
