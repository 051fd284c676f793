"""Values that are computed from others by a stated computation, and by no other.

Numbers: a sum or difference of two, a percentage of one, one increased or decreased by a
percentage (also with a second one added or taken away), an equal share, a multiple by a number
that was given. Moments: a date written otherwise; one that lies a stated duration after a given
one. At least one of the values must come from the user or from what the user pointed at.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal

MAX_OPERANDS = 64
_CENT = Decimal("0.01")


def computes(
    wanted: str, given: Iterable[str], known: Iterable[str], percents: Iterable[str]
) -> str | None:
    """How a number comes of others, in words; None if it does not.

    Args:
        wanted: a canonical decimal.
        given: numbers from the user, or from texts that the user pointed at.
        known: further trusted numbers.
        percents: percentages from the user.
    """
    asked = _numbers([wanted])
    if not asked:
        return None
    target = _cents(asked[0])
    mine = _numbers(given)
    others = _numbers(known)
    rates = _numbers(percents)
    first = _scaled(mine, others, rates)
    for value, how, counts in first:
        if counts and _cents(value) == target:
            return how
    plain = {_cents(value): (how, counts) for value, how, counts in reversed(first)}
    for value, how, counts in first:
        for rest, sign in ((target - _cents(value), "+"), (_cents(value) - target, "-")):
            found = plain.get(rest)
            if found is not None and (counts or found[1]) and rest:
                return f"{how} {sign} {found[0]}"
    return None


def _numbers(values: Iterable[str]) -> list[Decimal]:
    found: dict[Decimal, None] = {}
    for value in values:
        if value.replace(".", "", 1).lstrip("-").isdigit() and len(value) < 24:
            found[Decimal(value)] = None
    return list(found)[-MAX_OPERANDS:]


def _scaled(
    mine: list[Decimal], others: list[Decimal], rates: list[Decimal]
) -> list[tuple[Decimal, str, bool]]:
    """Each number, its percentages and shares; how it came about; whether the user had a part."""
    found = []
    counts = [each for each in mine if each == each.to_integral() and 1 < each <= 100]
    shares = list(dict.fromkeys([Decimal(2), *counts]))
    for value in dict.fromkeys([*mine, *others]):
        own = value in mine
        found.append((value, f"{value}", own))
        for rate in rates:
            part = value * rate / 100
            found.append((part, f"{rate} % of {value}", True))
            found.append((value + part, f"{value} + {rate} %", True))
            found.append((value - part, f"{value} - {rate} %", True))
        for share in shares:
            if share == value:
                continue
            found.append((value / share, f"{value} / {share}", own))
            if share in counts:
                found.append((value * share, f"{value} * {share}", True))
    return found


def _cents(value: Decimal) -> Decimal:
    return value.quantize(_CENT) if abs(value) < 10**15 else value


def later(day: str, time: str | None, minutes: Iterable[int]) -> list[tuple[str, str | None]]:
    """The moments that lie a duration before the given one: those that it may be computed from."""
    try:
        start = date.fromisoformat(day)
    except ValueError:
        return []
    if time is None:
        days = [each // 1440 for each in minutes if each % 1440 == 0]
        return [((start - timedelta(days=each)).isoformat(), None) for each in days if each < 4000]
    hour, _, minute = time.partition(":")
    at = int(hour) * 60 + int(minute)
    found: list[tuple[str, str | None]] = []
    for length in minutes:
        before_days, rest = divmod(at - length, 1440)
        if before_days > -4000:
            before = (start + timedelta(days=before_days)).isoformat()
            found.append((before, f"{rest // 60:02}:{rest % 60:02}"))
    return found
