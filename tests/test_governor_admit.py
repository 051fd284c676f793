"""Admission: what is granted, what is refused, and what the log says of it."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from governed import POLICY, SECOND, START, World, rules
from remit import canonical
from remit.errors import InvalidRequest
from remit.model import (
    Action,
    ActionState,
    Effect,
    Finding,
    Mode,
    Outcome,
    Principal,
    SessionId,
)

SHADOW = POLICY.replace("default: deny", "default: deny\nmode: shadow")


def test_an_allowed_call_is_granted_counted_and_recorded() -> None:
    world = World()
    session = world.open()
    request = replace(
        world.call(session, "db.query", query="select secret-word"),
        trace="00-trace",
        findings=(Finding(kind="secret", where="args.query", message="secret-word"),),
    )
    admission = world.admit(request)
    assert admission.granted
    assert admission.decision.effect is Effect.ALLOW
    assert (admission.arguments, admission.approval, admission.retry_at) == (None, None, None)
    assert admission.lease_until == START + 600 * SECOND
    record = world.records()[admission.position]
    assert (record.kind, record.effect, record.granted, record.mode) == (
        "decision",
        "allow",
        True,
        "enforce",
    )
    assert record.action == admission.id
    assert record.lease == admission.lease_until // 1000
    assert (record.session, record.tool, record.trace) == (session.id, "db.query", "00-trace")
    assert [link.id for link in record.principal] == ["inventory-bot", "ada"]
    assert [rule.id for rule in record.rules] == ["reading"]
    assert record.rules[0].at.startswith("remit.yaml:")
    assert [(finding.kind, finding.where) for finding in record.findings] == [
        ("secret", "args.query")
    ]
    assert record.revision == world.policies.revision
    assert world.session(session.id).calls == {"db.query": 1}
    action = world.store.read(lambda view: view.action(admission.id))
    assert action is not None
    assert (action.state, action.digest, action.lease_until) == (
        ActionState.ADMITTED,
        admission.digest,
        admission.lease_until,
    )


def test_the_log_holds_commitments_and_the_values_lie_beside_it() -> None:
    world = World()
    session = world.open(intent="a secret-word report")
    world.admit(world.call(session, "db.query", query="secret-word"))
    world.admit(world.call(session, "db.query", query="drop secret-word"))
    bodies = world.bodies()
    assert not any(b"secret-word" in body for body in bodies)
    for position, record in enumerate(world.records()):
        values = world.store.read(lambda view, at=position: view.values(at))
        assert values is not None
        assert b"secret-word" in values.canonical
        assert record.args == hmac.digest(values.salt, values.canonical, "sha256").hex()
    salts = {
        world.store.read(lambda view, at=position: view.values(at)).salt  # type: ignore[union-attr]
        for position in range(3)
    }
    assert len(salts) == 3


def test_a_denied_call_is_recorded_and_leaves_nothing_else() -> None:
    world = World()
    session = world.open()
    admission = world.admit(world.call(session, "db.query", query="drop table"))
    assert not admission.granted
    assert "no-drop" in rules(admission)
    assert admission.lease_until == 0
    record = world.records()[admission.position]
    assert (record.effect, record.granted, record.lease) == ("deny", False, None)
    assert world.session(session.id).calls == {}
    assert world.store.read(lambda view: view.action(admission.id)) is None


def test_the_digest_binds_everything_that_an_approval_is_for() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    other = world.open("web-bot")
    changed = [
        replace(request, arguments={"query": "y"}),
        replace(request, arguments={"query": "x", "more": None}),
        replace(request, action=Action(name="DB.query")),
        replace(request, action=Action(name="db.query", kind="mcp")),
        replace(request, action=replace(request.action, schema=canonical.digest("schema"))),
        replace(request, principal=replace(session.principal, roles=("reader", "other"))),
        replace(request, principal=other.principal, session=other.id),
    ]
    digests = [world.admit(each).digest for each in [request, *changed]]
    assert world.admit(request).digest == digests[0]
    world.load(POLICY + "# changed\n")
    digests.append(world.admit(request).digest)
    assert len(set(digests)) == len(changed) + 2


@pytest.mark.parametrize("text", [POLICY, SHADOW])
def test_what_a_session_cannot_carry_is_refused_in_every_mode(text: str) -> None:
    world = World(text)
    session = world.open()
    other = world.open("web-bot")
    ended = world.open()
    world.do(world.governor.end_session, ended.id)
    request = world.call(session, "db.query", query="x")
    for wrong, rule in (
        (replace(request, session=SessionId("s-none")), "session-unknown"),
        (replace(request, session=other.id), "session-principal"),
        (replace(request, session=ended.id), "session-ended"),
    ):
        admission = world.admit(wrong)
        assert not admission.granted
        assert rules(admission) == [rule]
        record = world.records()[admission.position]
        assert (record.granted, record.session, record.tool) == (False, wrong.session, "db.query")


def test_an_unknown_agent_has_no_rights() -> None:
    world = World()
    session = world.open("stranger-bot")
    admission = world.admit(world.call(session, "db.query", query="x"))
    assert not admission.granted
    assert "unknown-agent" in rules(admission)


def test_shadow_mode_lets_everything_through_and_says_what_it_would_have_done() -> None:
    world = World(SHADOW)
    session = world.open()
    for tool, arguments, effect in (
        ("db.query", {"query": "drop table"}, "deny"),
        ("refund", {"amount": 7}, "ask"),
        ("order", {"count": 9}, "deny"),
        ("report", {"format": "html", "pages": 90}, "allow"),
        ("nobody.knows", {}, "deny"),
    ):
        request = world.call(session, tool, **arguments)
        admission = world.admit(request)
        assert admission.granted
        assert admission.arguments is None
        assert admission.approval is None
        record = world.records()[admission.position]
        assert (record.effect, record.granted, record.mode) == (effect, True, "shadow")
        assert record.ran is None
        assert not world.settle(admission, request).withheld
    assert "reported" in world.session(session.id).labels


def test_a_call_over_its_limit_is_denied_until_the_time_it_says() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "mail.send", to="ada")
    assert world.admit(request).granted
    assert world.admit(request).granted
    third = world.admit(request)
    assert not third.granted
    assert rules(third)[0] == "rate-limit"
    reason = third.decision.reasons[0]
    assert reason.because == "Limit sends is used up: 2 calls in 60 s."
    assert reason.instead == "Wait 30 s, then make the call again."
    assert reason.at is not None
    assert third.retry_at == START + 30 * SECOND
    records = world.records()
    assert records[third.position].granted is False
    assert records[third.position].limits == ()
    kept = records[third.position - 1].limits
    assert [(each.burst, each.calls, each.period) for each in kept] == [(2, 2, 60_000_000)]
    world.now = third.retry_at - 1000
    assert not world.admit(request).granted
    world.now = third.retry_at
    assert world.admit(request).granted


def test_p34_p35_a_limit_belongs_to_the_agent_not_to_an_object_or_a_session() -> None:
    world = World()
    granted = 0
    for _ in range(4):
        again = World()
        again.store = world.store
        session = world.open()
        granted += again.admit(again.call(session, "mail.send")).granted
    assert granted == 2


def test_shadow_counts_what_fits_and_grants_the_rest_too() -> None:
    world = World(SHADOW)
    session = world.open()
    effects = [world.admit(world.call(session, "mail.send")) for _ in range(4)]
    assert [each.granted for each in effects] == [True] * 4
    assert [each.decision.effect.value for each in effects] == ["allow", "allow", "deny", "deny"]


def test_a_clock_that_is_set_back_frees_nothing_and_the_log_stays_in_order() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "mail.send")
    assert world.admit(request).granted
    world.now += 10 * SECOND
    assert world.admit(request).granted
    world.now = START - 3600 * SECOND
    refused = world.admit(request)
    assert not refused.granted
    assert refused.retry_at == START + 30 * SECOND
    records = world.records()
    assert [record.at for record in records] == sorted(record.at for record in records)
    assert records[-1].note == "the clock was 3610000000 us behind the log"


def test_times_are_whole_microseconds() -> None:
    world = World()
    world.now = START + 1_999
    session = world.open()
    assert session.started_at == START + 1_000
    world.now = START
    world.store.write(lambda t: t.append(b"another writer", at=START + 1_500))
    ended = world.do(world.governor.end_session, session.id)
    assert ended.ended_at == START + 2_000


def test_obligations_change_the_call_and_both_forms_are_committed_to() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "report", format="html", pages=30, title="May")
    admission = world.admit(request)
    assert admission.granted
    assert admission.arguments == {"format": "pdf", "pages": 10, "title": "May"}
    assert request.arguments == {"format": "html", "pages": 30, "title": "May"}
    record = world.records()[admission.position]
    values = world.store.read(lambda view: view.values(admission.position))
    assert values is not None
    for commitment, arguments in (
        (record.args, request.arguments),
        (record.ran, admission.arguments),
    ):
        wire = canonical.encode(arguments)
        assert commitment == hmac.digest(values.salt, wire, "sha256").hex()
    assert {(each.kind, each.target) for each in record.obligations} == {
        ("rewrite", "args.format"),
        ("cap", "args.pages"),
        ("label", ""),
    }
    ran = replace(request, arguments=admission.arguments)
    assert world.settle(admission, ran).labels == ("reported",)


def test_obligations_that_change_nothing_leave_the_call_as_it_came() -> None:
    world = World()
    session = world.open()
    admission = world.admit(world.call(session, "report", format="pdf", pages=3))
    assert admission.granted
    assert admission.arguments is None
    assert world.records()[admission.position].ran is None


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("report", {"format": "html"}, "there is no 'pages'"),
        ("report", {"format": "html", "pages": "30"}, "only a number can be capped"),
        ("echo", {"text": "hi"}, "rewritten again"),
        ("order", {"count": 9}, "does not let the rewritten call through"),
    ],
)
def test_an_obligation_that_cannot_hold_refuses_the_call(
    tool: str, arguments: dict[str, object], problem: str
) -> None:
    world = World()
    session = world.open()
    admission = world.admit(world.call(session, tool, **arguments))
    assert not admission.granted
    assert rules(admission)[0] == "obligation"
    assert problem in admission.decision.reasons[0].because
    assert admission.arguments is None
    assert world.session(session.id).calls == {}


def test_a_request_that_does_not_fit_into_a_record_is_refused_and_recorded() -> None:
    for text in (POLICY, SHADOW):
        world = World(text)
        session = world.open()
        request = replace(world.call(session, "db.query", query="x"), trace="x" * 70_000)
        admission = world.admit(request)
        assert not admission.granted
        assert rules(admission) == ["record-too-large"]
        assert world.session(session.id).calls == {}
        assert world.store.read(lambda view, a=admission.id: view.action(a)) is None
        record = world.records()[admission.position]
        assert (record.granted, record.effect, record.tool) == (False, "deny", "db.query")
        values = world.store.read(lambda view, at=admission.position: view.values(at))
        assert values is not None
        assert record.args == hmac.digest(values.salt, values.canonical, "sha256").hex()


def test_a_tool_name_that_does_not_fit_is_shortened_in_its_refusal() -> None:
    world = World()
    session = world.open()
    admission = world.admit(world.call(session, "ü" * 70_000))
    assert not admission.granted
    assert world.records()[admission.position].tool == "?" * 200


def test_names_that_are_no_text_are_refused_before_anything_is_written() -> None:
    world = World()
    session = world.open()
    size = len(world.bodies())
    with pytest.raises(InvalidRequest, match="not valid Unicode"):
        world.admit(world.call(session, "db\ud800"))
    with pytest.raises(InvalidRequest):
        world.admit(world.call(session, "db.query", query="\ud800"))
    assert len(world.bodies()) == size


def test_roles_that_a_new_policy_gives_do_not_end_the_session() -> None:
    world = World()
    session = world.open()
    world.load(POLICY.replace("[reader], team", "[reader, buyer], team"))
    principal = world.policies.principal("inventory-bot", user="ada")
    request = replace(world.call(session, "db.query", query="x"), principal=principal)
    assert world.admit(request).granted


def test_nothing_is_kept_of_an_admission_that_the_store_undoes() -> None:
    world = World()
    session = world.open()

    def fails(t: object) -> None:
        world.governor.admit(t, world.call(session, "mail.send"))  # type: ignore[arg-type]
        raise RuntimeError("power")

    before = world.bodies()
    with pytest.raises(RuntimeError, match="power"):
        world.store.write(fails)
    assert world.bodies() == before
    assert world.session(session.id).calls == {}
    assert [world.admit(world.call(session, "mail.send")).granted for _ in range(3)] == [
        True,
        True,
        False,
    ]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["db.query", "web.get", "mail.send", "refund", "report", "nobody"]),
            st.integers(-5, 20),
            st.sampled_from(["ok", "error", "not-run", None]),
        ),
        max_size=15,
    )
)
def test_every_admission_and_outcome_is_in_the_log_in_order(
    steps: list[tuple[str, int, str | None]],
) -> None:
    world = World()
    session = world.open()
    expected = ["session"]
    for tool, seconds, status in steps:
        world.now += seconds * SECOND
        request = world.call(session, tool, query="x", format="pdf", pages=1)
        admission = world.admit(request)
        expected.append("decision")
        assert admission.granted == (
            admission.decision.effect is Effect.ALLOW and admission.decision.mode is Mode.ENFORCE
        )
        if admission.granted and status is not None:
            world.settle(admission, request, Outcome(status=status))  # type: ignore[arg-type]
            expected.append("outcome")
    records = world.records()
    assert [record.kind for record in records] == expected
    assert [record.at for record in records] == sorted(record.at for record in records)
    granted = sum(record.granted is True for record in records if record.kind == "decision")
    assert sum(world.session(session.id).calls.values()) == granted


def test_a_principal_of_its_own_making_gets_no_further() -> None:
    world = World()
    session = world.open("web-bot")
    forged = Principal(id="inventory-bot", known="declared", roles=("reader",))
    admission = world.admit(replace(world.call(session, "db.query", query="x"), principal=forged))
    assert rules(admission) == ["session-principal"]
