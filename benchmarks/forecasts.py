"""How far forecasts of spend are off, and how often their intervals hold, beside the pace alone.

240 series of four shapes with fixed seeds; each month of a year is forecast at three points of its
course from what was known by then, from the third month on.
"""

from __future__ import annotations

from benchmarks.spending import SHAPES, months, series
from remit.backtests import Score, Trial, backtest, score

EACH = 60
"""Series of each shape."""
DAYS = 360


def trials(shape: str, each: int = EACH, days: int = DAYS, skip: int = 2) -> list[Trial]:
    """All forecasts of one shape."""
    return [
        trial
        for number in range(each)
        for trial in backtest(series(shape, number, days), months(days, skip))
    ]


def line(name: str, found: Score) -> str:
    """One line of the table."""
    assert found.error is not None
    assert found.naive_error is not None
    assert found.covered is not None
    return (
        f"  {name:10} median error {found.error:6.1%}   pace alone {found.naive_error:6.1%}   "
        f"80% interval holds {found.covered:4.0%}   of {found.intervals}"
    )


def run() -> None:
    """Print the table."""
    print(f"\nforecasts of the month's spend: {EACH * len(SHAPES)} series, fixed seeds")
    together = []
    for shape in SHAPES:
        found = trials(shape)
        together += found
        print(line(shape, score(found)))
    print(line("all", score(together)))
