"""Durations as policy documents write them."""

from __future__ import annotations

_NANOSECONDS = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_PERIODS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d"}


def nanoseconds(written: str) -> int:
    """Nanoseconds of ``30m``, ``12h``, ``minute`` and the like, as the document schema lets by."""
    amount = _PERIODS.get(written, written)
    digits = amount.rstrip("dhms")
    return int(digits) * _NANOSECONDS[amount[len(digits) :]]
