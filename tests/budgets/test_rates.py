from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from remit.budgets.rates import Exceeded, Taken, admit, take
from remit.model import RateLimit

SECOND = 1_000_000_000


def limit(calls: int, period: int, burst: int) -> RateLimit:
    return RateLimit(id="burst", by=("agent",), calls=calls, period=period, burst=burst)


limits = st.builds(
    limit,
    calls=st.integers(1, 50),
    period=st.one_of(st.integers(1, 1000), st.integers(1, 10 * SECOND)),
    burst=st.integers(1, 12),
)


def run(rate: RateLimit, times: list[int], costs: list[int] | None = None) -> list[int]:
    """The times at which calls were allowed, one entry for each call."""
    arrival = None
    allowed = []
    for index, now in enumerate(times):
        cost = costs[index] if costs else 1
        verdict = admit(arrival, now, rate, cost)
        if verdict.arrival is not None:
            arrival = verdict.arrival
            allowed += [now] * cost
    return allowed


def test_a_burst_passes_and_the_next_call_waits_for_one_interval() -> None:
    rate = limit(calls=10, period=SECOND, burst=3)
    arrival = None
    for _ in range(3):
        verdict = admit(arrival, 1000, rate)
        assert verdict.retry_at is None
        arrival = verdict.arrival
    assert admit(arrival, 1000, rate) == (None, 1000 + SECOND // 10)
    assert admit(arrival, 999 + SECOND // 10, rate).arrival is None
    assert admit(arrival, 1000 + SECOND // 10, rate).arrival is not None


def test_more_than_the_burst_at_once_never_fits() -> None:
    assert admit(None, 5, limit(calls=100, period=SECOND, burst=3), cost=4) == (None, None)


def test_a_limit_of_no_calls_and_a_cost_of_nothing_admit_nothing() -> None:
    assert admit(None, 5, limit(calls=0, period=SECOND, burst=1)) == (None, None)
    assert admit(None, 5, limit(calls=1, period=SECOND, burst=0)) == (None, None)
    for cost in (0, -1):
        assert admit(None, 5, limit(calls=1, period=SECOND, burst=1), cost) == (None, None)


def test_an_interval_that_is_no_whole_number_is_rounded_up() -> None:
    rate = limit(calls=3, period=SECOND, burst=1)
    assert run(rate, [0, 333_333_333, 333_333_334]) == [0, 333_333_334]


@settings(deadline=None)
@given(
    rate=limits,
    steps=st.lists(st.tuples(st.integers(0, 2 * SECOND), st.integers(1, 4)), max_size=60),
)
def test_no_window_holds_more_than_the_burst_and_the_rate(
    rate: RateLimit, steps: list[tuple[int, int]]
) -> None:
    times, now = [], 0
    for gap, _ in steps:
        now += gap
        times.append(now)
    allowed = run(rate, times, [cost for _, cost in steps])
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            window = allowed[last] - allowed[first]
            most = rate.burst + Fraction(window * rate.calls, rate.period)
            assert last - first + 1 <= most


@settings(deadline=None)
@given(rate=limits, steps=st.lists(st.integers(-SECOND, SECOND), max_size=60))
def test_a_clock_that_steps_back_frees_nothing(rate: RateLimit, steps: list[int]) -> None:
    times, now = [], 10 * SECOND
    for step in steps:
        now += step
        times.append(now)
    # What passes with the real, unsteady clock passes at most as often as with one that stands
    # still instead of going back.
    steady = [max(times[: index + 1]) for index in range(len(times))]
    assert len(run(rate, times)) <= len(run(rate, steady))


@settings(deadline=None)
@given(rate=limits, gaps=st.lists(st.integers(0, 1000), max_size=30))
def test_the_time_of_retry_is_exact(rate: RateLimit, gaps: list[int]) -> None:
    arrival, now = None, 0
    for gap in gaps:
        now += gap
        verdict = admit(arrival, now, rate)
        if verdict.arrival is None:
            assert verdict.retry_at is not None
            assert verdict.retry_at > now
            assert admit(arrival, verdict.retry_at - 1, rate).arrival is None
            assert admit(arrival, verdict.retry_at, rate).arrival is not None
        else:
            assert verdict.arrival >= now
            assert arrival is None or verdict.arrival > arrival
            arrival = verdict.arrival


@settings(deadline=None)
@given(rate=limits)
def test_a_rested_limit_gives_its_whole_burst_again(rate: RateLimit) -> None:
    rest = 2 * (rate.burst + 1) * (rate.period + rate.calls)
    assert len(run(rate, [0] * 20)) == min(20, rate.burst)
    assert len(run(rate, [0] * 20 + [rest] * 20)) == 2 * min(20, rate.burst)


def test_a_call_counts_against_every_limit_or_none() -> None:
    tight = limit(calls=1, period=SECOND, burst=1)
    tighter = limit(calls=1, period=60 * SECOND, burst=1)
    wide = limit(calls=100, period=SECOND, burst=100)
    limits = [(tight, "a"), (wide, "b"), (tighter, "c")]
    assert take(limits, {}.get, 0) == Taken(
        [(tight, "a", SECOND), (wide, "b", SECOND // 100), (tighter, "c", 60 * SECOND)]
    )
    kept = {"a": SECOND, "b": 5, "c": 60 * SECOND}
    assert take(limits, kept.get, 0) == Exceeded(tighter, 60 * SECOND)
    assert take(limits[::-1], kept.get, 0) == Exceeded(tighter, 60 * SECOND)
    assert take([], kept.get, 0) == Taken([])


def test_a_limit_that_never_fits_holds_up_longest() -> None:
    never = limit(calls=0, period=SECOND, burst=1)
    tight = limit(calls=1, period=SECOND, burst=1)
    for limits in ([(never, "n"), (tight, "a")], [(tight, "a"), (never, "n")]):
        assert take(limits, {"a": 5 * SECOND}.get, 0) == Exceeded(never, None)
