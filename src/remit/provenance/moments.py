"""Dates, times of day and durations in a text, in one form each.

No clock: a date without a year stays one.
"""

from __future__ import annotations

import re

from msgspec import Struct

_MONTHS = {
    name: index
    for index, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sep sept",
            "october oct",
            "november nov",
            "december dec",
        ),
        1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_WRITTEN = re.compile(
    rf"\b({_MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (\d{{4}})\b)?"
    rf"|\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})\b(?:,? (\d{{4}})\b)?",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(\d{1,2}):(\d{2})(?::\d{2})?\s?(am|pm)?\b|\b(\d{1,2})\s?(am|pm)\b", re.I)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::\d\d)?)?")
_DIGIT = re.compile(r"\d")
LONGEST = 64
"""Most characters of a date with a time."""
_SMALL = {
    word: count
    for count, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
}
_SMALL |= {"a": 1, "an": 1, "half": 0}
_UNITS = {"minute": 1, "min": 1, "hour": 60, "hr": 60, "day": 1440, "week": 10080, "night": 1440}
_LONG = re.compile(rf"\b(\d{{1,4}}|{'|'.join(_SMALL)})[ -]({'|'.join(_UNITS)})s?\b", re.IGNORECASE)


class Moments(Struct, frozen=True):
    """What a text says about time."""

    dates: frozenset[str]
    """As ``2024-05-15``, or ``05-15`` where no year is given."""
    times: frozenset[str]
    """As ``13:00``."""
    minutes: frozenset[int]
    """Durations."""
    rest: str
    """The text without them."""


def moments(text: str) -> Moments:
    """Everything that a text says about time, and the text without it."""
    dates: set[str] = set()
    times: set[str] = set()
    lengths: set[int] = set()

    def iso(match: re.Match[str]) -> str:
        dates.add(_date(match[1], int(match[2]), int(match[3])))
        return " \n "

    def written(match: re.Match[str]) -> str:
        month = _MONTHS[(match[1] or match[5]).lower()]
        dates.add(_date(match[3] or match[6], month, int(match[2] or match[4])))
        return " \n "

    def clock(match: re.Match[str]) -> str:
        times.add(_time(match))
        return " \n "

    def length(match: re.Match[str]) -> str:
        count = match[1].lower()
        amount = _SMALL[count] if count in _SMALL else int(count)
        lengths.add(amount * _UNITS[match[2].lower()])
        return " \n "

    rest = _LONG.sub(length, text)
    rest = _CLOCK.sub(clock, _WRITTEN.sub(written, _ISO.sub(iso, rest)))
    return Moments(frozenset(dates), frozenset(times), frozenset(lengths), rest)


def _date(year: str | None, month: int, day: int) -> str:
    short = f"{month:02}-{day:02}"
    return f"{int(year):04}-{short}" if year else short


def _time(match: re.Match[str]) -> str:
    hour, half = int(match[1] or match[4]), (match[3] or match[5] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return f"{hour:02}:{match[2] or '00'}"


def instant(text: str) -> tuple[str, str | None] | None:
    """Date and time of a string that is nothing but those; the time may be missing."""
    if (stamp := _STAMP.fullmatch(text)) is not None:
        return stamp[1], stamp[2]
    if len(text) > LONGEST or _DIGIT.search(text) is None:
        return None
    found = moments(text)
    if found.rest.replace("T", "").strip() or len(found.dates) != 1 or len(found.times) > 1:
        return None
    return next(iter(found.dates)), next(iter(found.times), None)
