"""The window that a moment is in: by the calendar of a time zone, or rolling.

Windows of a calendar follow each other without gap or overlap, whatever the clocks do: a day
starts with its first midnight, or with the jump that skips it. Minutes and hours are those of UTC,
where they never repeat. Pure: rules of time zones are loaded when a policy is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from remit.budgets.limits import Period

FOREVER = 1 << 62
"""End of a window that does not end, in nanoseconds."""

SLOTS = 60
"""Parts that a rolling window moves on by."""

_SECOND = 1_000_000_000
_SECONDS = {"minute": 60, "hour": 3600}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


class Window(NamedTuple):
    """From ``start`` up to, and without, ``end``: nanoseconds since the Unix epoch."""

    start: int
    end: int


@cache
def zone(name: str) -> tzinfo:
    """The time zone with an IANA name.

    Raises:
        ValueError: there is no such zone, or this machine does not know it.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as problem:
        raise ValueError(f"no time zone {name!r} is known here") from problem


def window(now: int, per: Period, timezone: str = "UTC") -> Window:
    """The window of a calendar that ``now`` (nanoseconds since the Unix epoch) is in."""
    return _window_at(now // _SECOND, per, timezone)


@lru_cache(maxsize=64)
def _window_at(second: int, per: Period, timezone: str) -> Window:
    if per == "session":
        return Window(0, FOREVER)
    length = _SECONDS.get(per)
    if length is not None:
        start = second - second % length
        return Window(start * _SECOND, (start + length) * _SECOND)
    where = zone(timezone)
    first = _first_day(datetime.fromtimestamp(second, where), per)
    return Window(_midnight(first, where), _midnight(_following(first, per), where))


def slot(now: int, length: int) -> int:
    """Start of the part of a rolling window of that length which ``now`` is in."""
    width = slot_width(length)
    return now - now % width


def slot_width(length: int) -> int:
    """Nanoseconds by which a rolling window of that length moves on: whole microseconds."""
    return -(-length // (SLOTS * 1000)) * 1000


def _first_day(local: datetime, per: Period) -> datetime:
    """The first day of the period that a local time is in, without zone."""
    day = datetime(local.year, local.month, local.day)
    if per == "day":
        return day
    if per == "week":
        return day - timedelta(days=day.weekday())
    months = _MONTHS[per]
    return day.replace(month=(day.month - 1) // months * months + 1, day=1)


def _following(first: datetime, per: Period) -> datetime:
    """The first day of the period after the one that starts with ``first``."""
    if per == "day":
        return first + timedelta(days=1)
    if per == "week":
        return first + timedelta(days=7)
    month = first.month - 1 + _MONTHS[per]
    return first.replace(year=first.year + month // 12, month=month % 12 + 1)


def _midnight(day: datetime, where: tzinfo) -> int:
    """When a day starts: its first midnight; where clocks skip it, the moment of the jump."""
    return int(day.replace(tzinfo=where, fold=0).timestamp()) * _SECOND
