"""Windows of calendars: time zones, daylight saving, month ends, leap days, clock steps."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.budgets.limits import written
from remit.budgets.periods import FOREVER, slot, slot_width, window, zone

SECOND = 1_000_000_000


def at(text: str) -> int:
    """Nanoseconds of a time in UTC, such as 2026-03-29T00:59:59."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("per", "timezone", "now", "start", "end"),
    [
        ("minute", "UTC", "2026-01-01T10:20:59", "2026-01-01T10:20:00", "2026-01-01T10:21:00"),
        ("hour", "UTC", "2026-01-01T10:20:59", "2026-01-01T10:00:00", "2026-01-01T11:00:00"),
        # Hours are those of UTC: one that the clocks repeat is two windows.
        ("hour", "Europe/Berlin", "2026-10-25T01:30:00", "2026-10-25T01:00:00", "2026-10-25T02:00"),
        ("day", "UTC", "2026-02-28T23:59:59", "2026-02-28T00:00:00", "2026-03-01T00:00:00"),
        ("day", "UTC", "2028-02-28T23:59:59", "2028-02-28T00:00:00", "2028-02-29T00:00:00"),
        ("day", "UTC", "2028-02-29T12:00:00", "2028-02-29T00:00:00", "2028-03-01T00:00:00"),
        # Berlin: 23 hours in spring, 25 in autumn.
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("day", "Asia/Kolkata", "2026-01-01T18:29:59", "2025-12-31T18:30", "2026-01-01T18:30"),
        ("day", "Australia/Lord_Howe", "2026-04-05T00:00", "2026-04-04T13:00", "2026-04-05T13:30"),
        ("day", "America/New_York", "2026-03-08T12:00", "2026-03-08T05:00", "2026-03-09T04:00"),
        # Midnight does not exist: clocks jump from 0:00 to 1:00 in Beirut.
        ("day", "Asia/Beirut", "2026-03-28T23:00", "2026-03-28T22:00", "2026-03-29T21:00"),
        ("day", "Asia/Beirut", "2026-03-28T21:59:59", "2026-03-27T22:00", "2026-03-28T22:00"),
        # Midnight comes twice: clocks go back from 1:00 to 0:00 in Havana.
        ("day", "America/Havana", "2026-11-01T05:30", "2026-11-01T04:00", "2026-11-02T05:00"),
        # A day that Samoa left out.
        ("day", "Pacific/Apia", "2011-12-30T09:59:59", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("day", "Pacific/Apia", "2011-12-30T10:00:00", "2011-12-30T10:00", "2011-12-31T10:00"),
        ("week", "UTC", "2026-01-01T00:00:00", "2025-12-29T00:00", "2026-01-05T00:00"),
        ("week", "UTC", "2026-01-04T23:59:59", "2025-12-29T00:00", "2026-01-05T00:00"),
        ("week", "Europe/Berlin", "2026-03-29T12:00", "2026-03-22T23:00", "2026-03-29T22:00"),
        ("month", "UTC", "2026-01-31T23:59:59", "2026-01-01T00:00", "2026-02-01T00:00"),
        ("month", "UTC", "2026-02-28T23:59:59", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("month", "UTC", "2028-02-29T23:59:59", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "UTC", "2026-12-31T23:59:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "Europe/Berlin", "2026-03-31T22:30", "2026-03-31T22:00", "2026-04-30T22:00"),
        ("month", "Pacific/Kiritimati", "2026-01-31T10:00", "2026-01-31T10:00", "2026-02-28T10:00"),
        (
            "month",
            "America/Los_Angeles",
            "2026-02-01T07:59",
            "2026-01-01T08:00",
            "2026-02-01T08:00",
        ),
        ("quarter", "UTC", "2026-03-31T23:59:59", "2026-01-01T00:00", "2026-04-01T00:00"),
        ("quarter", "UTC", "2026-05-15T00:00:00", "2026-04-01T00:00", "2026-07-01T00:00"),
        ("quarter", "UTC", "2026-12-31T23:59:59", "2026-10-01T00:00", "2027-01-01T00:00"),
        ("year", "UTC", "2028-02-29T00:00:00", "2028-01-01T00:00", "2029-01-01T00:00"),
        ("year", "Asia/Tokyo", "2025-12-31T15:00:00", "2025-12-31T15:00", "2026-12-31T15:00"),
    ],
)
def test_windows(per: Any, timezone: str, now: str, start: str, end: str) -> None:
    assert window(at(now), per, timezone) == (at(start), at(end))


def test_a_session_has_one_window() -> None:
    assert window(5, "session") == (0, FOREVER)


ZONES = [
    "UTC",
    "Europe/Berlin",
    "Asia/Beirut",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Africa/Cairo",
]


@given(
    st.integers(0, 4_000_000_000),
    st.sampled_from(["minute", "hour", "day", "week", "month", "quarter", "year"]),
    st.sampled_from(ZONES),
)
def test_windows_follow_each_other_without_gap_or_overlap(
    second: int, per: Any, timezone: str
) -> None:
    now = second * SECOND + 7
    found = window(now, per, timezone)
    assert found.start <= now < found.end
    assert window(found.start, per, timezone) == found
    assert window(found.end - 1, per, timezone) == found
    assert window(found.end, per, timezone).start == found.end


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../etc/passwd", "", "Europe", "utc\0"])
def test_zones_that_are_not_there(name: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        zone(name)


@given(st.integers(1, 10**18), st.integers(0, 2**61))
def test_slots_tile_time(length: int, now: int) -> None:
    start = slot(now, length)
    assert start <= now < start + slot_width(length)
    assert slot_width(length) * 60 >= length
    assert slot_width(length) % 1000 == 0


def test_amounts_as_people_read_them() -> None:
    assert written("usd", 4_500_000_000) == "4.50 USD"
    assert written("usd", 1) == "0.000000001 USD"
    assert written("usd", 1_234_000_000_000) == "1,234.00 USD"
    assert written("tokens", 1200) == "1,200 tokens"
    assert written("input_tokens", 3) == "3 input tokens"
    assert written("seconds", 1_500_000) == "1.5 s"
