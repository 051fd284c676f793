"""Made-up spending of four shapes, always the same for the same number: what forecasts are held to.

``steady`` goes on with some noise, ``weekly`` rests at weekends, ``growing`` grows by some percent
a week, ``bursty`` has rare days that cost many times the usual one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from remit.forecasts import DAY, Period, Series

SHAPES = ("steady", "weekly", "growing", "bursty")
MONTH = 30
"""Days of a period."""
UNIT = 1_000_000_000
"""Nano-dollars of a dollar."""


def series(shape: str, number: int, days: int) -> Series:
    """The spend of ``days`` days in nano-dollars. ``number`` is the seed."""
    rolls = random.Random(f"{shape}/{number}")
    amount = _SHAPES[shape](rolls)
    amounts = tuple(round(UNIT * max(0.0, amount(day))) for day in range(days))
    return Series(start=0, width=DAY, amounts=amounts, until=days * DAY)


def months(days: int, skip: int) -> Sequence[Period]:
    """The periods of a history, without the first ``skip``, which are what is known before."""
    return [
        Period(number * MONTH * DAY, (number + 1) * MONTH * DAY)
        for number in range(skip, days // MONTH)
    ]


def _steady(rolls: random.Random) -> Callable[[int], float]:
    usual, noise = rolls.uniform(20, 400), rolls.uniform(0.1, 0.5)
    return lambda _: usual * rolls.gauss(1, noise)


def _weekly(rolls: random.Random) -> Callable[[int], float]:
    usual, rest = rolls.uniform(20, 400), rolls.uniform(0.05, 0.4)
    return lambda day: usual * rolls.gauss(1, 0.25) * (rest if day % 7 >= 5 else 1)


def _growing(rolls: random.Random) -> Callable[[int], float]:
    usual, growth = rolls.uniform(20, 100), rolls.uniform(1.003, 1.015)
    return lambda day: usual * rolls.gauss(1, 0.25) * growth**day


def _bursty(rolls: random.Random) -> Callable[[int], float]:
    usual, often = rolls.uniform(20, 100), rolls.uniform(0.03, 0.15)

    def amount(_: int) -> float:
        burst = rolls.paretovariate(1.8) * 5 if rolls.random() < often else 0
        return usual * (rolls.gauss(1, 0.3) + burst)

    return amount


_SHAPES: dict[str, Callable[[random.Random], Callable[[int], float]]] = {
    "steady": _steady,
    "weekly": _weekly,
    "growing": _growing,
    "bursty": _bursty,
}
