"""What a breaker sees in a trail, whatever the calls are and however they come."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from remit import breakers, sessions
from remit.breakers import MAX_CYCLE, Breaker, Sight, Trip
from remit.model import Effect, Principal, Session, SessionId

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
BOT = Principal(id="inventory-bot", known="declared")


def breaker(sees: Sight, count: int, within: int = 10 * MINUTE, **fields: object) -> Breaker:
    made = Breaker(id=f"no-{sees}", sees=sees, count=count, effect=Effect.DENY, within=within)
    return replace(made, **fields)


class Run:
    """A session that makes one call after the other, a second apart, until it is stopped."""

    def __init__(self, *policy: Breaker) -> None:
        self.policy = policy
        self.now = 0
        self.session = Session(id=SessionId("s-1"), principal=BOT, started_at=0)

    def call(self, what: str, tool: str = "db.query", result: str | None = None) -> list[Trip]:
        self.now += SECOND
        content = what.encode()
        step = breakers.call_step(self.session.id, tool, content, self.now)
        trips = breakers.tripped(self.policy, self.session, step, self.now)
        if not trips:
            self.session = breakers.noted(self.session, step, breakers.memory(self.policy))
        if not trips and result is not None:
            print_of = breakers.fingerprint(self.session.id, "ok", result.encode())
            self.session = breakers.returned(self.session, step.call, print_of)
        return list(trips)

    def calls(self, which: Iterable[str]) -> list[int]:
        """The places of the calls that tripped."""
        return [place for place, what in enumerate(which) if self.call(what)]


@given(st.integers(2, 8), st.lists(st.integers(), unique=True, max_size=60))
def test_calls_without_repeats_never_trip(count: int, calls: list[int]) -> None:
    run = Run(breaker("repeats", count), breaker("stalls", count))
    assert run.calls(map(str, calls)) == []


@given(
    st.integers(2, 8),
    st.lists(st.integers(0, 99), unique=True, min_size=1, max_size=MAX_CYCLE),
    st.lists(st.integers(100, 999), unique=True, max_size=40),
)
def test_a_circle_that_goes_on_trips(count: int, circle: list[int], before: list[int]) -> None:
    """On the last call of the last round at the latest; without that round never."""
    run = Run(breaker("repeats", count))
    assert run.calls(map(str, before)) == []
    rounds = circle * count
    assert run.calls(map(str, rounds[:-1])) == []
    (trip,) = run.call(str(rounds[-1]))
    assert trip.saw.endswith(f"within {len(rounds) - 1} s.")
    assert trip.brief == f"{len(circle)} calls, {count} times, {len(rounds) - 1} s"


@given(st.integers(2, 6), st.lists(st.sampled_from("AB"), max_size=60))
def test_what_trips_is_a_circle(count: int, calls: list[str]) -> None:
    """Held against the definition, spelt out over the whole history."""
    run = Run(breaker("repeats", count))
    made: list[str] = []
    for what in calls:
        tried = [*made, what]
        circles = any(
            len(tried) >= period * count and tried[-period * count :] == tried[-period:] * count
            for period in range(1, MAX_CYCLE + 1)
        )
        tripped = bool(run.call(what))
        assert tripped == circles
        if not tripped:
            made.append(what)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=200))
def test_a_trail_is_bounded(calls: list[tuple[int, int]]) -> None:
    run = Run(breaker("repeats", 5), breaker("stalls", 3))
    for what, result in calls:
        run.call(str(what), result=str(result))
        assert len(run.session.trail) <= 20


def test_a_repeat_says_what_it_saw() -> None:
    run = Run(breaker("repeats", 3))
    assert not run.call("a")
    assert not run.call("a")
    (trip,) = run.call("a")
    saw = "db.query is called with the same arguments for the 3rd time in a row, within 2 s."
    assert trip.saw == saw


@pytest.mark.parametrize(("count", "word"), [(2, "2nd"), (4, "4th"), (12, "12th"), (21, "21st")])
def test_how_often(count: int, word: str) -> None:
    run = Run(breaker("repeats", count))
    assert run.calls(["a"] * (count - 1)) == []
    (trip,) = run.call("a")
    assert f"the {word} time" in trip.saw


def test_a_circle_says_its_tools() -> None:
    run = Run(breaker("repeats", 2))
    run.call("a", "db.query")
    run.call("b", "web.get")
    run.call("a", "db.query")
    (trip,) = run.call("b", "web.get")
    assert trip.saw == (
        "The same 2 calls (db.query, web.get) come in turn for the 2nd time, within 3 s."
    )


def test_the_tool_is_part_of_the_call() -> None:
    run = Run(breaker("repeats", 2))
    assert not run.call("a", "db.query")
    assert not run.call("a", "db.write")
    assert not run.call("a", "db.query ")


def test_names_are_compared_in_their_form() -> None:
    run = Run(breaker("repeats", 2))
    assert not run.call("a", "db.query")
    assert run.call("a", "DB.Query")


def test_only_what_is_recent_counts() -> None:
    run = Run(breaker("repeats", 2, within=MINUTE))
    assert not run.call("a")
    run.now += MINUTE
    assert not run.call("a")
    assert run.call("a")


def test_polling_is_exempt() -> None:
    run = Run(breaker("repeats", 3, exempt=("job.status",)))
    for _ in range(20):
        assert not run.call("job 7", "job.status")


def test_exempt_calls_hide_nothing() -> None:
    """What is repeated between polls is repeated in a row."""
    run = Run(breaker("repeats", 3, exempt=("job.status",)))
    for _ in range(2):
        assert not run.call("a")
        assert not run.call("job 7", "job.status")
    assert run.call("a")


def test_only_the_named_tools_count() -> None:
    run = Run(breaker("repeats", 2, tools=("db.*",)))
    assert not run.call("a", "web.get")
    assert not run.call("a", "web.get")
    assert not run.call("a", "db.query")
    assert run.call("a", "db.query")


def test_the_same_result_again_and_again() -> None:
    run = Run(breaker("stalls", 3))
    for other in range(3):
        assert not run.call("test", result="2 failed")
        assert not run.call(f"edit {other}", result="ok")
    (trip,) = run.call("test")
    assert trip.saw == (
        "db.query was called with the same arguments 3 times within 6 s and each time gave the "
        "same result."
    )
    assert trip.brief == "same result, 3 times, 6 s"


def test_a_result_that_changes_is_progress() -> None:
    run = Run(breaker("stalls", 3))
    for failed in range(30):
        assert not run.call("test", result=f"{30 - failed // 2} failed")


def test_a_result_that_is_not_known_is_no_stall() -> None:
    run = Run(breaker("stalls", 2))
    for _ in range(10):
        assert not run.call("test")


def test_results_go_to_the_oldest_call_that_waits() -> None:
    run = Run(breaker("stalls", 5))
    run.call("a")
    run.call("a")
    step = run.session.trail[0]
    run.session = breakers.returned(run.session, step.call, "first")
    run.session = breakers.returned(run.session, step.call, "second")
    assert [each.result for each in run.session.trail] == ["first", "second"]
    assert breakers.returned(run.session, step.call, "third") is run.session


def test_fingerprints_of_sessions_cannot_be_compared() -> None:
    one, other = (breakers.fingerprint(SessionId(name), "db.query", b"{}") for name in "ab")
    assert one != other
    # No joint of the three parts can be moved.
    assert breakers.fingerprint(SessionId("a"), "b c", b"d") != breakers.fingerprint(
        SessionId("a"), "b", b"c d"
    )


def delegate(policy: list[Breaker], children: int, apart: int = SECOND) -> list[Session]:
    parent = sessions.start(SessionId("s-0"), BOT, 0)
    found = []
    for number in range(children):
        now = (number + 1) * apart
        child = sessions.start(SessionId(f"s-0-{number}"), BOT, now, parent=parent)
        parent, child = breakers.delegated(parent, child, policy, now)
        assert len(parent.delegated) <= max((each.count for each in policy), default=0) + 1
        found.append(child)
    return found


def trips_of(policy: list[Breaker], session: Session) -> list[str]:
    step = breakers.call_step(session.id, "db.query", b"{}", 0)
    return [trip.saw for trip in breakers.tripped(policy, session, step, 0)]


@given(st.integers(1, 20), st.integers(1, 60))
def test_one_session_too_many_is_barred(most: int, children: int) -> None:
    policy = [breaker("children", most)]
    opened = delegate(policy, children)
    barred = [bool(trips_of(policy, child)) for child in opened]
    assert barred == [number >= most for number in range(children)]


def test_fan_out_counts_within_its_time() -> None:
    policy = [breaker("children", 2, within=MINUTE)]
    opened = delegate(policy, 10, apart=40 * SECOND)
    assert not any(trips_of(policy, child) for child in opened)
    crowd = delegate(policy, 3)
    assert trips_of(policy, crowd[2]) == [
        "The session is one of more than 2 that its parent delegated within 60 s."
    ]
    assert trips_of([breaker("children", 3, within=MINUTE)], crowd[2]) == []
    assert trips_of([breaker("repeats", 2)], crowd[2]) == []


def test_nothing_is_kept_that_no_breaker_reads() -> None:
    (child,) = delegate([], 1)
    assert child.crowded == {}
    run = Run(breaker("depth", 3), breaker("burn", 0, budget="month"))
    run.calls("aaaa")
    assert run.session.trail == ()
    kept = Run(breaker("repeats", 2))
    kept.call("a")
    step = kept.session.trail[0]
    assert breakers.noted(kept.session, step, 0).trail == ()
    assert breakers.noted(kept.session, step, 1).trail == (step,)
    ended = breakers.forgotten(kept.session)
    assert ended.trail == ()
    assert breakers.forgotten(ended) is ended


def test_depth() -> None:
    policy = [breaker("depth", 1)]
    session = Session(id=SessionId("s"), principal=BOT, started_at=0, depth=2)
    assert trips_of(policy, session) == ["The session is delegated 2 deep; 1 is allowed."]
    assert trips_of(policy, replace(session, depth=1)) == []
