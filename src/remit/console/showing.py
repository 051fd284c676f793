"""Values as text for people. Whatever an agent can influence goes through here or is a number.

Templates escape everything. What this adds: characters that would move, hide or reorder text are
shown by their code, so nothing reads other than it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

SHORT = 160
"""Characters of a preview."""
LONG = 2_000
"""Characters of a text from which on only its beginning is shown at first."""

# Controls, soft hyphens, joiners, marks and overrides of direction, separators, tags, lone halves
# of surrogate pairs. Line feeds and tabs stay.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_NS = 1_000_000_000
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_MEASURES = {"tokens": "tokens", "input_tokens": "tokens in", "output_tokens": "tokens out"}


class Cut(Struct, frozen=True):
    """A text whose rest is only shown when somebody asks for it."""

    head: str
    rest: str
    length: int


def plain(text: object) -> str:
    """A text in which every character can be seen."""
    return _HIDDEN.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", str(text))


def line(text: object, width: int = SHORT) -> str:
    """The same on one line, shortened."""
    given = str(text)
    shown = plain(given[: width + 1]).replace("\n", "\u23ce").replace("\t", " ")
    return shown if len(given) <= width else shown[:width] + "\u2026"


def cut(text: str, width: int = LONG) -> Cut:
    """A text in two parts, the second one often empty."""
    shown = plain(text)
    return Cut(shown[:width], shown[width:], len(text))


def pretty(value: Any) -> str:
    """A JSON value on several lines, every character to be seen."""
    return plain(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, default=str))


def preview(value: Any, width: int = SHORT) -> str:
    """A JSON value on one line, shortened."""
    if isinstance(value, Mapping):
        parts = []
        for name, each in value.items():
            shown = each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
            parts.append(f"{name}: {shown[:width]}")
            if sum(map(len, parts)) > width:
                break
        return line(", ".join(parts), width)
    return line(json.dumps(value, ensure_ascii=False), width)


def moment(ns: int) -> str:
    """A time of UTC, to the second: ``2026-05-01 12:00:00``."""
    return datetime.fromtimestamp(ns // _NS, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def clock(ns: int) -> str:
    """The time of the day, to the millisecond: ``12:00:00.000``."""
    at = datetime.fromtimestamp(ns // _NS, tz=UTC).strftime("%H:%M:%S")
    return f"{at}.{ns // 1_000_000 % 1000:03d}"


def iso(ns: int) -> str:
    """A time as HTML wants it."""
    return datetime.fromtimestamp(ns // _NS, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(ns: float) -> str:
    """A length of time in its two largest units: ``2 h 5 min``, or in ms where it is short."""
    seconds = abs(ns) / _NS
    if seconds < 1:
        return f"{abs(ns) / 1_000_000:.3g} ms"
    left, found = int(seconds), []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            found.append(f"{count} {unit}")
    return " ".join(found[:2])


def dollars(nano: int) -> str:
    """Money, as exactly as it matters: ``$12.50``, ``$0.0004``."""
    amount = nano / _NS
    if nano and abs(amount) < 0.01:
        return f"${amount:.6f}".rstrip("0")
    return f"${amount:,.2f}"


def amount(number: int, measure: str) -> str:
    """An amount of a budget's measure, from the ledger's integers."""
    if measure == "usd":
        return dollars(number)
    if measure == "seconds":
        return f"{number / 1_000_000:,.1f} s"
    if number == 1 and measure == "calls":
        return "1 call"
    return f"{number:,} {_MEASURES.get(measure, measure)}"


def revision(text: str | None) -> str:
    """The part of a revision by which people tell it from others."""
    return (text or "").removeprefix("sha256:")[:12]
