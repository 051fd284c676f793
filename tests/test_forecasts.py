"""Forecasts: what they promise for any history, what little of it allows, how good they are."""

from __future__ import annotations

import random

import pytest
from benchmarks import forecasts as benchmark
from benchmarks.spending import SHAPES, months, series
from hypothesis import given
from hypothesis import strategies as st

from remit.backtests import Trial, backtest, score
from remit.forecasts import (
    DAY,
    UNKNOWN,
    WEEK,
    Forecast,
    Period,
    Quantiles,
    Series,
    forecast,
    naive,
)

HOUR = DAY // 24
MONTH = Period(100 * DAY, 130 * DAY)
DOLLAR = 1_000_000_000


def steady(days: int, amount: int = DOLLAR, *, width: int = DAY, start: int = 0) -> Series:
    cells = days * DAY // width
    return Series(start=start, width=width, amounts=(amount,) * cells, until=start + cells * width)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Series, Period, int, int, int]:
    """A history of any length and shape, and a moment in a period at its end."""
    width = draw(st.sampled_from([HOUR, DAY]))
    length = draw(st.sampled_from([HOUR, DAY, WEEK, 28 * DAY, 31 * DAY + HOUR]))
    begin = draw(st.integers(0, 120)) * width
    elapsed = draw(st.integers(-10, length + 10))
    now = begin + elapsed
    cells = max(0, -(-now // width)) + draw(st.integers(0, 1))
    rolls = random.Random(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["any", "rare", "none", "credit"]))
    most = {"any": 10**12, "rare": 10**12, "none": 0, "credit": 10**9}[kind]
    least = -(10**9) if kind == "credit" else 0
    amounts = tuple(
        rolls.randint(least, most) if kind != "rare" or rolls.random() < 0.05 else 0
        for _ in range(cells)
    )
    history = Series(start=0, width=width, amounts=amounts, until=max(0, now))
    spent = draw(st.integers(0, 10**13))
    return history, Period(begin, begin + length), now, spent, draw(st.integers(0, 10**14))


def in_order(values: Quantiles) -> bool:
    known = [value for value in (values.p10, values.p50, values.p90) if value is not None]
    return known == sorted(known)


@given(situations())
def test_what_a_forecast_promises(situation: tuple[Series, Period, int, int, int]) -> None:
    history, period, now, spent, limit = situation
    found = forecast(history, period, now, spent, limit)
    assert found == forecast(history, period, now, spent, limit)
    assert in_order(found.spent)
    assert in_order(found.exhausted)
    ends = (found.spent.p10, found.spent.p50, found.spent.p90)
    assert all(end is None or end >= spent for end in ends)
    # The early end of the exhaustion belongs to the high end of the spend.
    moments = (found.exhausted.p90, found.exhausted.p50, found.exhausted.p10)
    for end, moment in zip(ends, moments, strict=True):
        if moment is not None:
            assert spent >= limit or (end is not None and end >= limit)
            assert min(now, period.end) <= moment <= period.end
        elif end is not None and now < period.end:
            assert end < limit
    assert (found.basis in ("history", "thin")) == (found.spent.p90 is not None)


def test_a_steady_scope_is_forecast_exactly() -> None:
    found = forecast(steady(115), MONTH, 115 * DAY, 15 * DOLLAR, 25 * DOLLAR)
    assert found.spent == Quantiles(p10=30 * DOLLAR, p50=30 * DOLLAR, p90=30 * DOLLAR)
    moment = found.exhausted.p50
    assert moment is not None
    assert abs(moment - 125 * DAY) < 2_000_000_000
    assert found.basis == "history"
    assert found.windows == 79


def test_a_limit_that_holds_is_not_reached() -> None:
    found = forecast(steady(115), MONTH, 115 * DAY, 15 * DOLLAR, 31 * DOLLAR)
    assert found.exhausted == UNKNOWN


def test_a_limit_that_is_reached_is_reached_now() -> None:
    now = 115 * DAY
    found = forecast(steady(115), MONTH, now, 25 * DOLLAR, 25 * DOLLAR)
    assert found.exhausted == Quantiles(p10=now, p50=now, p90=now)


def test_nothing_known_says_nothing() -> None:
    empty = Series(start=0, width=DAY, amounts=(), until=0)
    found = forecast(empty, MONTH, 115 * DAY, 0, 25)
    assert found == Forecast(spent=Quantiles(p10=0), exhausted=UNKNOWN, basis="none")
    assert forecast(empty, MONTH, MONTH.start, 0).basis == "none"
    used_up = forecast(empty, MONTH, 115 * DAY, 0, 0)
    assert used_up.exhausted == Quantiles(p10=115 * DAY, p50=115 * DAY, p90=115 * DAY)


def test_without_a_past_the_upper_end_is_not_known() -> None:
    young = steady(15, start=100 * DAY)
    found = forecast(young, MONTH, 115 * DAY, 15 * DOLLAR, 20 * DOLLAR)
    assert found.basis == "pace"
    assert found.spent == Quantiles(p10=15 * DOLLAR, p50=30 * DOLLAR)
    assert found.exhausted.p10 is None
    assert found.exhausted.p50 is not None
    assert found.exhausted.p90 is None
    # What was spent but is not in the history counts as well.
    late = forecast(steady(0, start=115 * DAY), MONTH, 115 * DAY, 15 * DOLLAR)
    assert late.spent.p50 == 30 * DOLLAR


def test_few_windows_give_a_wider_interval() -> None:
    rolls = random.Random(6)
    amounts = tuple(rolls.randint(0, 2 * DOLLAR) for _ in range(400))
    widths = {}
    for known in (55, 390):
        history = Series(start=0, width=DAY, amounts=amounts[-known:], until=known * DAY)
        period = Period((known - 10) * DAY, (known + 20) * DAY)
        found = forecast(history, period, known * DAY, sum(amounts[-10:]))
        assert found.spent.p10 is not None
        assert found.spent.p90 is not None
        widths[found.basis] = found.spent.p90 - found.spent.p10
    assert widths["thin"] > widths["history"]


def test_a_period_that_is_over_is_what_it_is() -> None:
    found = forecast(steady(200), MONTH, 140 * DAY, 17, 10)
    assert found.spent == Quantiles(p10=17, p50=17, p90=17)
    assert found.exhausted == UNKNOWN


def test_before_a_period_begins_the_last_week_counts() -> None:
    found = forecast(steady(100), MONTH, 100 * DAY, 0)
    assert found.spent.p50 == 30 * DOLLAR


def test_a_day_follows_the_hours_of_the_days_before() -> None:
    """Nobody works at night: what is spent by noon is most of it."""
    day = (0,) * 8 + (DOLLAR,) * 10 + (0,) * 6
    now = 30 * DAY + 12 * HOUR
    history = Series(start=0, width=HOUR, amounts=day * 30 + day[:12], until=now)
    period = Period(30 * DAY, 31 * DAY)
    found = forecast(history, period, now, 4 * DOLLAR, 7 * DOLLAR)
    assert found.spent.p50 == 10 * DOLLAR
    assert naive(period, now, 4 * DOLLAR) == 8 * DOLLAR
    moment = found.exhausted.p50
    assert moment is not None
    assert abs(moment - (30 * DAY + 15 * HOUR)) < 2_000_000_000
    evening = 30 * DAY + 20 * HOUR
    late = Series(start=0, width=HOUR, amounts=day * 30 + day[:20], until=evening)
    assert forecast(late, period, evening, 10 * DOLLAR).spent.p50 == 10 * DOLLAR


def test_a_day_after_days_of_rest_goes_by_its_own_pace() -> None:
    amounts = (DOLLAR,) * 24 + (0,) * (24 * 9) + (DOLLAR,) * 6
    now = 10 * DAY + 6 * HOUR
    history = Series(start=0, width=HOUR, amounts=amounts, until=now)
    found = forecast(history, Period(10 * DAY, 11 * DAY), now, 6 * DOLLAR)
    assert found.spent.p50 is not None
    assert 6 * DOLLAR < found.spent.p50 <= 24 * DOLLAR


def test_weekends_are_foreseen() -> None:
    """The month ends on a weekend: the pace alone would go on as on work days."""
    week = (DOLLAR,) * 5 + (0,) * 2
    now = 140 * DAY + 26 * DAY
    history = Series(start=0, width=DAY, amounts=week * 23 + week[:5], until=now)
    period = Period(140 * DAY, 168 * DAY)
    found = forecast(history, period, now, 20 * DOLLAR)
    assert found.spent.p50 is not None
    assert found.spent.p50 < naive(period, now, 20 * DOLLAR)


def test_a_moment_within_a_cell_takes_what_is_in_it() -> None:
    """The last cell is not full: the hour goes on at its rate."""
    history = Series(start=0, width=DAY, amounts=(DOLLAR,) * 115 + (DOLLAR // 2,), until=0)
    now = 115 * DAY + DAY // 2
    empty = Series(start=0, width=DAY, amounts=(*history.amounts[:115], 0), until=115 * DAY)
    assert forecast(empty, MONTH, 115 * DAY, 15 * DOLLAR).spent.p50 == 30 * DOLLAR
    whole = Series(start=0, width=DAY, amounts=history.amounts, until=now)
    found = forecast(whole, MONTH, now, 15 * DOLLAR + DOLLAR // 2)
    assert found.spent.p50 == 30 * DOLLAR


def test_only_what_is_recent_counts() -> None:
    old = Series(
        start=-2000 * DAY,
        width=DAY,
        amounts=(1000 * DOLLAR,) * 1500 + (DOLLAR,) * 615,
        until=115 * DAY,
    )
    found = forecast(old, MONTH, 115 * DAY, 15 * DOLLAR)
    assert found.spent == Quantiles(p10=30 * DOLLAR, p50=30 * DOLLAR, p90=30 * DOLLAR)
    hours = steady(30, width=HOUR)
    assert forecast(hours, Period(30 * DAY - HOUR // 2, 30 * DAY + HOUR // 2), 30 * DAY, 1)


def test_a_long_rest_is_no_measure() -> None:
    amounts = (DOLLAR,) * 10 + (0,) * 140 + (DOLLAR,) * 15
    history = Series(start=0, width=DAY, amounts=amounts, until=165 * DAY)
    found = forecast(history, Period(150 * DAY, 180 * DAY), 165 * DAY, 15 * DOLLAR)
    assert found.spent.p50 is not None
    assert found.spent.p90 is not None
    assert 15 * DOLLAR <= found.spent.p50 <= found.spent.p90
    assert found.windows < 100


def test_the_pace_alone() -> None:
    assert naive(MONTH, 110 * DAY, 10) == 30
    assert naive(MONTH, MONTH.start, 10) == 10
    assert naive(MONTH, MONTH.end + 1, 10) == 10


def test_a_back_test_leaves_out_what_it_cannot_judge() -> None:
    quiet = Series(start=0, width=DAY, amounts=(0,) * 60 + (1,) * 60, until=120 * DAY)
    before, first, outside = (Period(n * 30 * DAY, (n + 1) * 30 * DAY) for n in (0, 2, 4))
    assert backtest(quiet, [before, outside]) == []
    assert [trial.at for trial in backtest(quiet, [first], (0.001, 0.5))] == [75 * DAY]
    # Nothing was spent before the last day, so nothing was known.
    last = Series(start=0, width=DAY, amounts=(0,) * 29 + (1,), until=30 * DAY)
    assert backtest(last, [before]) == []
    nothing = score([])
    assert (nothing.trials, nothing.error, nothing.covered) == (0, None, None)


def test_a_back_test_knows_nothing_of_what_came_later() -> None:
    whole = series("bursty", 1, 360)
    cut = Series(start=0, width=DAY, amounts=whole.amounts[:195], until=195 * DAY)
    spent = sum(whole.amounts[180:195])
    alone = forecast(cut, Period(180 * DAY, 210 * DAY), 195 * DAY, spent)
    (trial,) = backtest(whole, [Period(180 * DAY, 210 * DAY)], (0.5,))
    assert (trial.low, trial.expected, trial.high) == (
        alone.spent.p10,
        alone.spent.p50,
        alone.spent.p90,
    )


@pytest.fixture(scope="module")
def trials() -> dict[str, list[Trial]]:
    """52 series of each of four shapes, forecast three times in each of three months."""
    return {
        shape: [
            trial
            for number in range(52)
            for trial in backtest(series(shape, number, 270), months(270, 6))
        ]
        for shape in SHAPES
    }


def test_back_test_on_208_series(trials: dict[str, list[Trial]]) -> None:
    together = [trial for found in trials.values() for trial in found]
    for shape, found in {**trials, "all": together}.items():
        result = score(found)
        print(benchmark.line(shape, result))
        assert result.covered is not None
        assert 0.70 <= result.covered <= 0.90, shape
    result = score(together)
    assert result.intervals == result.trials == 208 * 9
    assert result.error is not None
    assert result.naive_error is not None
    assert result.error < result.naive_error
    growing = score(trials["growing"])
    assert growing.error is not None
    assert growing.naive_error is not None
    assert growing.error < 0.8 * growing.naive_error


def test_without_history_the_interval_is_not_given() -> None:
    """The same months with nothing before them: no interval that could fail."""
    found = backtest(series("steady", 1, 30), months(30, 0))
    assert [trial.covered for trial in found] == [None] * 3
    assert score(found).intervals == 0
