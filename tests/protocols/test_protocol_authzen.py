"""AuthZEN bodies and Remit's words: the mapping by itself, without a server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.errors import InvalidArgument, InvalidRequest
from remit.model import ActionId, Decision, Effect, Obligation, Principal, Reason, Revision
from remit.protocols import authzen
from remit.protocols.authzen import (
    ActionEntity,
    Evaluation,
    Evaluations,
    Page,
    Place,
    ResourceEntity,
    SubjectEntity,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def decided(effect: Effect, *reasons: Reason, obligations: tuple[Obligation, ...] = ()) -> Decision:
    return Decision(effect=effect, revision=Revision("r"), reasons=reasons, obligations=obligations)


@pytest.mark.parametrize(
    ("kind", "name", "action", "tool"),
    [
        ("db", "stock", "query", "db.query"),
        ("tool", "send_email", "call", "send_email"),
        ("tool", "send_email", "tools/call", "send_email"),
        ("tool", "send_email", "list", "tool.list"),
    ],
)
def test_the_tool_that_policy_decides_on(kind: str, name: str, action: str, tool: str) -> None:
    assert authzen.tool_of(kind, name, action) == tool


@given(
    st.dictionaries(st.text(max_size=3), JSON, max_size=3),
    st.dictionaries(st.text(max_size=3), JSON, max_size=3),
)
def test_no_argument_hides_another(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    resource = ResourceEntity(type="db", id="1", properties=ours)
    action = ActionEntity(name="query", properties=theirs)
    everything = [("id", "1"), *ours.items(), *theirs.items()]
    try:
        arguments = authzen.arguments_of(resource, action)
    except InvalidRequest:
        values: dict[str, set[str]] = {}
        for name, value in everything:
            values.setdefault(name, set()).add(msgspec.json.encode(value, order="sorted").decode())
        assert any(len(each) > 1 for each in values.values())
    else:
        assert all(arguments[name] == value for name, value in everything)
        assert arguments.keys() == {name for name, _ in everything}


def test_true_is_not_one() -> None:
    resource = ResourceEntity(type="db", id="1", properties={"soft": True})
    with pytest.raises(InvalidRequest, match=r"action\.properties\.soft and resource\.properties"):
        authzen.arguments_of(resource, ActionEntity(name="x", properties={"soft": 1}))


def test_what_is_known_of_a_resource_fills_gaps_only() -> None:
    resource = ResourceEntity(type="record", id="1", properties={"status": "active"})
    action = ActionEntity(name="write")
    known = {"status": "archived", "owner": "ada"}
    assert authzen.arguments_of(resource, action, known) == {
        "id": "1",
        "status": "active",
        "owner": "ada",
    }
    called = ResourceEntity(type="tool", id="send_email")
    assert authzen.arguments_of(called, ActionEntity(name="call"), {"to": "ada"}) == {"to": "ada"}


def test_arguments_and_context_have_limits() -> None:
    deep: Any = None
    for _ in range(70):
        deep = [deep]
    with pytest.raises(InvalidArgument, match="properties"):
        authzen.arguments_of(
            ResourceEntity(type="a", id="1", properties={"x": deep}), ActionEntity(name="b")
        )
    with pytest.raises(InvalidArgument, match="context"):
        authzen.context_of({"x": deep}, {})


def test_members_that_speak_to_remit_are_not_seen_by_rules() -> None:
    sent = {"time": "now", "approval": {"id": "x"}, "session": "s", "subject": {"boss": True}}
    assert authzen.context_of(sent, {}) == {"time": "now"}
    assert authzen.context_of(sent, {"department": "eu"}) == {
        "time": "now",
        "subject": {"department": "eu"},
    }


def test_what_speaks_to_remit_has_a_form() -> None:
    assert authzen.presented({}) is None
    assert authzen.presented({"approval": {"id": "ap-1", "more": 1}}) == "ap-1"
    for odd in (None, "ap-1", {}, {"id": 1}):
        with pytest.raises(InvalidRequest, match=r"context\.approval"):
            authzen.presented({"approval": odd})
    assert authzen.session_of({}) == ""
    assert authzen.session_of({"session": "s-1"}) == "s-1"
    with pytest.raises(InvalidRequest, match=r"context\.session"):
        authzen.session_of({"session": None})


def test_chains_of_actors_have_an_end() -> None:
    act: dict[str, Any] = {"sub": "bot"}
    for _ in range(7):
        act = {"sub": "bot", "act": act}
    subject = SubjectEntity(type="user", id="ada", properties={"act": act})
    assert authzen.actors_of(subject) == ("bot",) * 8
    longer = SubjectEntity(type="user", id="ada", properties={"act": {"sub": "x", "act": act}})
    with pytest.raises(InvalidRequest, match=r"subject\.properties\.act"):
        authzen.actors_of(longer)


def test_words_and_what_is_believed() -> None:
    assert authzen.words_of("a") == ("a",)
    assert authzen.words_of(["a", 1, None, "b"]) == ("a", "b")
    assert authzen.words_of({"a": 1}) == ()
    ada = Principal(id="ada", kind="person", roles=("x",), team="t")
    assert authzen.believed(ada, ["x", "y"], None, vouched=False).roles == ("x", "y")
    assert authzen.believed(ada, [], "u", vouched=True).team == "u"
    assert authzen.believed(ada, [], None, vouched=True).known == "authenticated"
    assert authzen.believed(ada, [], None, vouched=False).known == "unknown"


def test_obligations_without_labels() -> None:
    duties = (
        Obligation(kind="cap", target="args.amount", value=7, rule="a"),
        Obligation(kind="label", value="secret", rule="a"),
        Obligation(kind="redact", target="result.x", rule="b"),
    )
    told = authzen.obligations_of(decided(Effect.ALLOW, obligations=duties))
    assert [each["id"] for each in told] == ["obligation-1", "obligation-2"]
    assert [each["properties"].get("value", "none") for each in told] == [7, "none"]
    assert {each["type"] for each in told} == {"custom"}


def test_reasons_are_told_twice() -> None:
    allowed = Reason(rule="a", effect=Effect.ALLOW)
    denied = Reason(rule="b", effect=Effect.DENY)
    assert authzen.reasons_of(decided(Effect.ALLOW, allowed)) == {}
    assert authzen.reasons_of(decided(Effect.DENY, allowed)) == {}
    assert authzen.reasons_of(decided(Effect.DENY, denied, allowed)) == {
        "reason_admin": {"403": "b"},
        "reason_user": {"403": "This is not allowed."},
    }


@given(st.integers(0, 10**15 - 1), st.binary(min_size=10, max_size=10))
def test_an_evaluation_is_found_by_its_name(position: int, entropy: bytes) -> None:
    action = ActionId(f"a-{entropy.hex()}")
    assert authzen.recorded_at(authzen.evaluation_id(action, position)) == (position, action)


@pytest.mark.parametrize("name", ["", "a-1", "ev-1-x", "ev--1-" + "0" * 20, "ev-١-" + "0" * 20])
def test_other_names_find_nothing(name: str) -> None:
    assert authzen.recorded_at(name) is None


def test_times_are_rfc_3339_and_rounded_down() -> None:
    assert authzen.timestamp(1_800_000_000_999_999_999) == "2027-01-15T08:00:00Z"


@given(st.integers(0, 10**6), st.integers(0, 100))
def test_pages_go_on_where_they_ended(start: int, limit: int) -> None:
    query = authzen.query_digest(SubjectEntity(type="user", id="ada"), "x", {"b": 1, "a": 2})
    assert query == authzen.query_digest(
        SubjectEntity(type="user", id="ada"), "x", {"a": 2, "b": 1}
    )
    place = Place(query, start, limit)
    token = authzen.page_token(place)
    assert authzen.read_page(Page(token=token), query, 100) == place
    assert authzen.read_page(Page(token=token, limit=limit), query, 100) == place


def test_pages_of_other_searches_are_refused() -> None:
    assert authzen.read_page(Page(), "q", 100) == Place("q", 0, 100)
    assert authzen.read_page(Page(limit=500), "q", 100).limit == 100
    good = authzen.page_token(Place("q", 5, 7))
    assert authzen.read_page(
        Page(token=authzen.page_token(Place("q", 5, 100)), limit=500), "q", 100
    )
    for page, most in (
        (Page(token=good), 6),
        (Page(token=good, limit=8), 100),
        (Page(token=authzen.page_token(Place("other", 0, 1))), 100),
        (Page(token=authzen.page_token(Place("q", -1, 1))), 100),
        (Page(token="é"), 100),
        (Page(token="eyJ"), 100),
    ):
        with pytest.raises(InvalidRequest, match=r"page\."):
            authzen.read_page(page, "q", most)


def test_defaults_are_replaced_as_a_whole() -> None:
    body = msgspec.convert(
        {
            "subject": {"type": "user", "id": "ada", "properties": {"x": 1}},
            "context": {"time": 1},
            "evaluations": [{}, {"subject": {"type": "user", "id": "grace"}, "context": {}}, 7],
        },
        Evaluations,
    )
    first, second, third = body.items()
    assert first["context"] == {"time": 1}
    assert msgspec.to_builtins(second["subject"]) == {"type": "user", "id": "grace"}
    assert second["context"] == {}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(third, Evaluation)
    assert [each.keys() for each in Evaluations().items()] == [set()]
