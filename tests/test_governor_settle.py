"""Settling: what came of an action is recorded once, and its result is decided on."""

from __future__ import annotations

import hmac

import pytest
from msgspec.structs import replace

from governed import POLICY, SECOND, START, World, rules
from remit import canonical
from remit.errors import SettlementError, StoreCorrupt
from remit.model import ActionId, ActionState, Effect, Finding, Outcome, Phase, SessionId

ROWS = {"rows": [{"id": 1, "email": "ada@corp.example"}, {"id": 2}]}


def test_an_outcome_is_recorded_with_a_commitment_to_its_result() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    admission = world.admit(request)
    result = [{"name": "secret-word"}]
    finding = Finding(kind="pii", where="result", message="secret-word")
    settlement = world.settle(
        admission,
        request,
        Outcome(status="ok", result=result, duration=1_234_567, findings=(finding,)),
    )
    assert (settlement.withheld, settlement.redacted, settlement.late) == (False, False, False)
    assert settlement.decision.phase is Phase.RESULT
    record = world.records()[settlement.position]
    assert (record.kind, record.status, record.action) == ("outcome", "ok", admission.id)
    assert (record.duration, record.effect, record.granted) == (1234, "allow", True)
    assert record.digest == admission.digest
    assert [each.kind for each in record.findings] == ["pii"]
    values = world.store.read(lambda view: view.values(settlement.position))
    assert values is not None
    assert values.canonical == canonical.encode(result)
    assert record.result == hmac.digest(values.salt, values.canonical, "sha256").hex()
    assert not any(b"secret-word" in body for body in world.bodies())


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        ("ValueError: no such customer secret-word", "ValueError"),
        ("sqlite3.OperationalError: secret-word", "sqlite3.OperationalError"),
        ("secret-word is missing", "error"),
        ("X" * 101, "error"),
        (None, None),
    ],
)
def test_of_an_error_only_the_type_is_in_the_log(error: str | None, recorded: str | None) -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    settlement = world.settle(
        world.admit(request), request, Outcome(status="error", error=error, duration=-5)
    )
    record = world.records()[settlement.position]
    assert (record.status, record.error, record.duration) == ("error", recorded, 0)
    values = world.store.read(lambda view: view.values(settlement.position))
    assert (values is None) == (error is None)
    assert not any(b"secret-word" in body for body in world.bodies())


def test_an_action_is_settled_once() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    admission = world.admit(request)
    world.settle(admission, request)
    size = len(world.bodies())
    with pytest.raises(SettlementError, match="is settled; an outcome is recorded only once"):
        world.settle(admission, request)
    assert len(world.bodies()) == size


def test_only_the_request_that_was_admitted_settles_it() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    admission = world.admit(request)
    again = world.open()
    for other in (
        world.call(session, "db.query", query="y"),
        world.call(session, "web.get", query="x"),
        replace(request, session=again.id),
    ):
        with pytest.raises(SettlementError, match="was admitted for another request"):
            world.settle(admission, other)
    with pytest.raises(SettlementError, match="there is no admitted action a-none"):
        world.settle(replace(admission, id=ActionId("a-none")), request)
    assert world.settle(admission, request).decision.effect is Effect.ALLOW


def test_a_rewritten_call_is_settled_as_it_ran() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "report", format="html", pages=30)
    admission = world.admit(request)
    with pytest.raises(SettlementError, match="settle it with the request as it ran"):
        world.settle(admission, request)
    assert admission.arguments is not None
    world.settle(admission, replace(request, arguments=admission.arguments))


def test_a_policy_that_changes_meanwhile_decides_on_the_result() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    admission = world.admit(request)
    world.load(POLICY + "# changed\n")
    settlement = world.settle(admission, request)
    assert settlement.decision.revision == world.policies.revision
    assert settlement.decision.revision != admission.decision.revision


def test_a_result_that_policy_denies_is_withheld_and_recorded() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "vault.read")
    settlement = world.settle(world.admit(request), request, Outcome(status="ok", result="KEY-123"))
    assert settlement.withheld
    assert settlement.result is None
    assert "no-keys" in rules(settlement)
    record = world.records()[settlement.position]
    assert (record.effect, record.granted, record.phase) == ("deny", False, "result")
    assert record.result is not None


def test_shadow_mode_shows_the_result_as_it_came() -> None:
    world = World(POLICY.replace("default: deny", "default: deny\nmode: shadow"))
    session = world.open()
    request = world.call(session, "vault.read")
    outcome = Outcome(status="ok", result="KEY-123")
    settlement = world.settle(world.admit(request), request, outcome)
    assert (settlement.withheld, settlement.decision.effect) == (False, Effect.DENY)
    request = world.call(session, "crm.list")
    settlement = world.settle(world.admit(request), request, Outcome(status="ok", result=ROWS))
    assert (settlement.redacted, settlement.result) == (False, None)
    assert "customers" in world.session(session.id).labels


def test_results_are_redacted_by_rules_on_results() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "crm.list")
    settlement = world.settle(world.admit(request), request, Outcome(status="ok", result=ROWS))
    assert settlement.redacted
    assert settlement.result == {"rows": [{"id": 1, "email": "[redacted]"}, {"id": 2}]}
    assert ROWS["rows"][0]["email"] == "ada@corp.example"
    assert settlement.labels == ("customers", "personal")
    record = world.records()[settlement.position]
    assert record.labels == ("customers", "personal")
    assert {each.kind for each in record.obligations} == {"redact", "label"}


def test_results_are_redacted_by_rules_on_calls() -> None:
    text = POLICY.replace(
        "  - id: no-keys",
        "  - {id: hide-names, tools: [web.get], effect: allow,"
        " obligations: [{redact: [result.name]}]}\n  - id: no-keys",
    )
    world = World(text)
    session = world.open()
    request = world.call(session, "web.get", url="x")
    settlement = world.settle(
        world.admit(request), request, Outcome(status="ok", result={"name": "ada", "n": 1})
    )
    assert settlement.result == {"name": "[redacted]", "n": 1}


@pytest.mark.parametrize("result", [None, "text", {"rows": [{"id": 1}]}, {"customers": []}])
def test_a_result_that_cannot_be_redacted_is_withheld(result: object) -> None:
    world = World()
    session = world.open()
    request = world.call(session, "crm.list")
    settlement = world.settle(world.admit(request), request, Outcome(status="ok", result=result))
    assert settlement.withheld
    assert rules(settlement)[0] == "obligation"
    assert "personal" in settlement.labels


def test_an_error_has_nothing_to_redact() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "crm.list")
    outcome = Outcome(status="error", error="OSError: x")
    assert not world.settle(world.admit(request), request, outcome).withheld


@pytest.mark.parametrize(
    ("status", "labels"),
    [
        ("ok", ("untrusted",)),
        ("error", ("untrusted",)),
        ("cancelled", ("untrusted",)),
        ("unknown", ("untrusted",)),
        ("not-run", ()),
    ],
)
def test_labels_join_unless_it_certainly_did_not_happen(
    status: str, labels: tuple[str, ...]
) -> None:
    world = World()
    session = world.open()
    request = world.call(session, "web.get", url="x")
    settlement = world.settle(world.admit(request), request, Outcome(status=status))  # type: ignore[arg-type]
    assert settlement.labels == labels
    assert world.session(session.id).labels == labels
    assert world.admit(world.call(session, "mail.send")).granted == (not labels)


def test_labels_that_the_session_has_are_not_recorded_again() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "web.get", url="x")
    first, second = world.admit(request), world.admit(request)
    records = [world.settle(each, request).position for each in (first, second)]
    assert [world.records()[at].labels for at in records] == [("untrusted",), ()]


def test_p40_p52_an_action_that_nobody_settles_is_closed_as_unknown() -> None:
    world = World(lease=60 * SECOND)
    session = world.open()
    request = world.call(session, "web.get", url="x")
    admission = world.admit(request)
    world.now += 60 * SECOND - 1000
    assert world.admit(world.call(session, "db.query", query="x")).granted
    assert "outcome" not in world.kinds()
    world.now += 1000
    after = world.admit(world.call(session, "mail.send"))
    assert not after.granted, "what was read may have been untrusted"
    record = world.records()[-2]
    assert (record.kind, record.status, record.action) == ("outcome", "unknown", admission.id)
    assert record.labels == ("untrusted",)
    assert record.effect is None
    action = world.store.read(lambda view: view.action(admission.id))
    assert action is not None
    assert action.state is ActionState.EXPIRED


def test_a_late_outcome_corrects_the_unknown_one_once() -> None:
    world = World(lease=60 * SECOND)
    session = world.open()
    request = world.call(session, "crm.list")
    admission = world.admit(request)
    world.now += 60 * SECOND
    assert world.do(world.governor.expire) == 1
    settlement = world.settle(admission, request, Outcome(status="ok", result=ROWS))
    assert settlement.late
    assert settlement.redacted
    record = world.records()[settlement.position]
    assert (record.status, record.note) == ("ok", "late: it corrects the outcome unknown")
    with pytest.raises(SettlementError, match="only once"):
        world.settle(admission, request)


def test_an_outcome_after_the_lease_that_nobody_closed_yet_is_not_late() -> None:
    world = World(lease=60 * SECOND)
    session = world.open()
    request = world.call(session, "db.query", query="x")
    admission = world.admit(request)
    world.now += 90 * SECOND
    assert not world.settle(admission, request).late


def test_an_outcome_too_large_for_a_record_is_recorded_without_its_lists() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    findings = tuple(Finding(kind="pii", where=f"result.{n}", message="") for n in range(5_000))
    settlement = world.settle(
        world.admit(request), request, Outcome(status="ok", result=[1], findings=findings)
    )
    record = world.records()[settlement.position]
    assert (record.findings, record.rules, record.status) == ((), (), "ok")
    assert record.result is not None
    assert record.note is not None
    assert "left out" in record.note


def test_a_store_that_lost_the_session_is_said_to_be_corrupt() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    admission = world.admit(request)

    def moves(t: object) -> None:
        action = t.action(admission.id)  # type: ignore[attr-defined]
        gone = replace(request, session=SessionId("s-gone"))
        t.put_action(replace(action, session=SessionId("s-gone")))  # type: ignore[attr-defined]
        world.governor.settle(t, admission.id, gone, Outcome(status="ok"))  # type: ignore[arg-type]

    with pytest.raises(StoreCorrupt, match="its session is not"):
        world.store.write(moves)


def test_expiring_sweeps_all_sessions() -> None:
    world = World(lease=60 * SECOND)
    for _ in range(3):
        session = world.open()
        world.admit(world.call(session, "web.get", url="x"))
    assert world.do(world.governor.expire) == 0
    world.now = START + 60 * SECOND
    assert world.do(world.governor.expire, limit=2) == 2
    assert world.do(world.governor.expire) == 1
    assert world.kinds().count("outcome") == 3
    assert world.session(session.id).labels == ("untrusted",)
