"""Burn rates: what is spent at some multiple of what a period allows, as seen by the alerts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.budgets.burning import ALERTS, Burn, BurnMark, burning, marked

HOUR = 3_600_000_000_000
MONTH = 30 * 24 * HOUR
LIMIT = 720 * 1000
START = 1_800_000_000_000_000_000


class Meter:
    """A budget that is spent from and looked at every few minutes."""

    def __init__(self, period: int = MONTH, limit: int = LIMIT) -> None:
        self.period, self.limit = period, limit
        self.spent, self.now = 0, START
        self.marks: tuple[BurnMark, ...] = ()

    def look(self) -> Burn | None:
        self.marks = marked(self.marks, self.spent, self.period, self.now)
        return burning(self.marks, self.spent, self.limit, self.period, self.now)

    def spend(self, rate: float, share: float) -> list[Burn | None]:
        """Spend at ``rate`` for a ``share`` of the period, looking 43,200 times a period."""
        found = []
        for _ in range(round(share * 43200)):
            self.now += self.period // 43200
            self.spent += round(rate * self.limit / 43200)
            found.append(self.look())
        return found


@pytest.mark.parametrize("period", [MONTH, MONTH // 30, HOUR * 24 * 366])
@pytest.mark.parametrize(
    ("rate", "share", "alert"), [(18, 0.01, 0), (8, 0.05, 1), (1.3, 0.35, 2), (0.9, 0.9, None)]
)
def test_each_rate_raises_its_alert(
    period: int, rate: float, share: float, alert: int | None
) -> None:
    meter = Meter(period, 43200 * 100)
    last = meter.spend(rate, share)[-1]
    if alert is None:
        assert last is None
    else:
        assert last is not None
        assert last.alert is ALERTS[alert]
        assert 0.8 * rate <= last.tenths / 10 <= rate + 0.1
        assert last.long == ALERTS[alert].long * period // MONTH


def test_a_slow_spend_never_raises_one() -> None:
    assert set(Meter(limit=43200 * 100).spend(0.9, 1.0)) == {None}


def test_it_is_over_when_the_cause_is() -> None:
    meter = Meter(limit=43200 * 100)
    assert meter.spend(20, 0.01)[-1] is not None
    quiet = meter.spend(0, 0.01)
    assert quiet[-1] is None or quiet[-1].alert is ALERTS[2]
    assert meter.spend(0, 0.01)[-1] is None


def test_one_dear_call_long_ago_is_none() -> None:
    meter = Meter()
    meter.look()
    meter.spent = LIMIT // 2
    meter.now += HOUR * 24 * 10
    assert meter.look() is None


def test_a_reset_starts_anew() -> None:
    meter = Meter(limit=43200 * 100)
    assert meter.spend(20, 0.01)[-1] is not None
    meter.spent = 0
    assert meter.look() is None
    assert all(mark.first == mark.before == 0 for mark in meter.marks)
    assert meter.spend(20, 0.01)[-1] is not None


def test_no_limit_has_no_rate() -> None:
    meter = Meter(limit=0)
    meter.spent = 5
    assert meter.look() is None


@given(st.lists(st.tuples(st.integers(0, MONTH // 50), st.integers(-500, 5000)), max_size=40))
def test_a_rate_is_never_more_than_was_spent(moves: list[tuple[int, int]]) -> None:
    """Whatever happens: no alert without its share of the limit spent within the period."""
    meter = Meter()
    most = 0
    for later, more in moves:
        meter.now += later
        meter.spent = max(0, meter.spent + more)
        most = max(most, meter.spent)
        found = meter.look()
        if found is not None:
            needed = found.alert.tenths * LIMIT * found.long // (10 * MONTH)
            assert most >= needed - 1
        assert len(meter.marks) == 6
        assert all(0 <= mark.before <= mark.first <= most for mark in meter.marks)
