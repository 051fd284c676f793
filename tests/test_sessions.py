import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from remit.errors import InvalidRequest
from remit.model import AccessRequest, Action, Effect, Principal, Reason, Session, SessionId
from remit.sessions import MAX_COUNTED, added, carrier, count, end, join, start

ADA = Principal(id="ada", kind="person", known="declared")
BOT = Principal(id="inventory-bot", known="declared", roles=("reader",), on_behalf_of=ADA)
HELPER = Principal(id="web-bot", known="declared")


def session(**fields: object) -> Session:
    return replace(start(SessionId("s1"), BOT, 10, intent="restock"), **fields)


def test_a_session_starts_empty() -> None:
    assert session() == Session(
        id=SessionId("s1"), principal=BOT, started_at=10, intent="restock", labels=(), depth=0
    )


def test_a_child_acts_on_behalf_of_its_parent_and_has_seen_what_it_has_seen() -> None:
    parent = join(session(), ["untrusted"])
    child = start(SessionId("s2"), HELPER, 20, parent=parent)
    assert [link.id for link in child.principal.chain()] == ["web-bot", "inventory-bot", "ada"]
    assert (child.labels, child.parent, child.depth) == (("untrusted",), "s1", 1)
    named = replace(HELPER, on_behalf_of=BOT)
    assert start(SessionId("s3"), named, 20, parent=parent).principal == child.principal


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"ended_at": 15}, "has ended"),
        ({"depth": 8}, "8 delegations deep and 8 are allowed"),
        ({"principal": HELPER}, "acts on behalf of another than web-bot"),
    ],
)
def test_a_parent_that_cannot_delegate(change: dict[str, object], problem: str) -> None:
    agent = replace(HELPER, on_behalf_of=BOT)
    with pytest.raises(InvalidRequest, match=problem):
        start(SessionId("s2"), agent, 20, parent=session(**change))


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "a\u202eb"])
def test_an_id_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="200 printable characters"):
        start(SessionId(name), BOT, 10)


def test_an_intent_has_its_length() -> None:
    assert start(SessionId("s"), BOT, 10, intent="x" * 10_000).intent == "x" * 10_000
    with pytest.raises(InvalidRequest, match="10001 characters"):
        start(SessionId("s"), BOT, 10, intent="x" * 10_001)


def test_ending_twice_keeps_the_first_end() -> None:
    ended = end(session(), 30)
    assert ended.ended_at == 30
    assert end(ended, 40) is ended


@settings(deadline=None)
@given(groups=st.lists(st.lists(st.sampled_from(["untrusted", "secret", "pii", "b"])), max_size=6))
def test_labels_only_grow_and_stay_sorted(groups: list[list[str]]) -> None:
    kept = session()
    seen: set[str] = set()
    for labels in groups:
        before = kept
        kept = join(kept, labels)
        assert (kept is before) == (set(labels) <= seen)
        assert added(before, kept) == tuple(sorted(set(labels) - seen))
        seen.update(labels)
        assert kept.labels == tuple(sorted(seen))


def test_counters_stay_bounded_and_lose_no_call() -> None:
    kept = session()
    for index in range(400):
        kept = count(kept, f"tool{index}")
    kept = count(kept, "tool0")
    assert len(kept.calls) == MAX_COUNTED
    assert kept.calls["tool0"] == 2
    assert kept.calls["*"] == 400 - (MAX_COUNTED - 1)
    assert sum(kept.calls.values()) == 401
    assert count(session(), "x" * 201).calls == {"*": 1}


def request(principal: Principal) -> AccessRequest:
    return AccessRequest(
        principal=principal, session=SessionId("s1"), action=Action(name="db.query")
    )


def test_a_session_carries_the_requests_of_its_own_principal() -> None:
    kept = session()
    assert carrier(kept, request(BOT)) is kept
    assert carrier(kept, request(replace(BOT, roles=("other",)))) is kept


@pytest.mark.parametrize(
    ("kept", "principal", "rule"),
    [
        (None, BOT, "session-unknown"),
        (session(), HELPER, "session-principal"),
        (session(), replace(BOT, on_behalf_of=None), "session-principal"),
        (session(), replace(BOT, kind="person"), "session-principal"),
        (session(ended_at=20), BOT, "session-ended"),
    ],
)
def test_what_a_session_cannot_carry(kept: Session | None, principal: Principal, rule: str) -> None:
    reason = carrier(kept, request(principal))
    assert isinstance(reason, Reason)
    assert (reason.rule, reason.effect) == (rule, Effect.DENY)
    assert reason.because
    assert reason.instead
