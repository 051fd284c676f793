"""Amounts of money, time and tokens as documents write them and expressions give them: exact.

A decimal is read from its text, never through a binary fraction; what an expression gives in
binary is rounded up to the next nano-dollar or microsecond.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation, localcontext
from typing import Any

from remit.budgets.limits import UNITS
from remit.model import Measure

MOST = 9_000_000_000_000_000
"""The largest amount of the ledger: records hold integers below 2^53."""


class AmountError(ValueError):
    """What was written or worked out is no amount; the message says why."""


def from_text(text: str, unit: int) -> int:
    """The amount that a decimal spells, in units of which one is ``unit`` of the ledger's.

    Raises:
        AmountError: it is no number, below zero, too large, or finer than the ledger counts.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise AmountError(f"{text[:60]!r} is no number") from None
    amount = _scaled(number, unit)
    if amount != amount.to_integral_value():
        digits = len(str(unit)) - 1
        raise AmountError(f"it has more than {digits} decimals")
    return int(amount)


def from_value(value: Any, measure: Measure) -> int:
    """The amount that an expression gave, rounded up.

    Raises:
        AmountError: it is no number, not finite, below zero or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AmountError("it is no number")
    with localcontext() as context:
        context.prec = 60
        return int(_scaled(Decimal(repr(value)), UNITS[measure]).to_integral_value(ROUND_CEILING))


def _scaled(number: Decimal, unit: int) -> Decimal:
    if not number.is_finite():
        raise AmountError("it is no finite number")
    if number < 0:
        raise AmountError("it is less than 0")
    if number * unit > MOST:
        raise AmountError(f"it is more than {MOST // unit:,}")
    return number * unit
