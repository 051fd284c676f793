"""Results that no admitted action brought: they label the session, and the log says so."""

from __future__ import annotations

from governed import World, rules
from remit import observation
from remit.audit.replay import Replay
from remit.journal import Journal
from remit.model import AccessRequest, Outcome, Principal, Reason, Session, Settlement
from remit.storage import Transaction


def observe(world: World, request: AccessRequest, outcome: Outcome) -> Settlement | Reason:
    def work(t: Transaction) -> Settlement | Reason:
        journal = Journal.begin(t, world.now, world._entropy)
        return observation.observe(journal, world.policies, request, outcome)

    return world.store.write(work)


def seen(world: World, session: Session, tool: str, result: object) -> Settlement:
    found = observe(world, world.call(session, tool), Outcome(status="ok", result=result))
    assert isinstance(found, Settlement)
    return found


def replayed(world: World) -> list[str]:
    found: list[str] = []
    replay = Replay(lambda position, code, message: found.append(code))
    for position, record in enumerate(world.records()):
        replay.see(position, record)
    replay.finish()
    return [*found, *replay.open]


def test_what_was_seen_elsewhere_labels_the_session() -> None:
    world = World()
    session = world.open()
    found = seen(world, session, "web.get", "a page")
    assert (found.labels, found.withheld, found.redacted) == (("untrusted",), False, False)
    assert world.session(session.id).labels == ("untrusted",)
    refused = world.admit(world.call(session, "mail.send"))
    assert rules(refused)[0] == "not-after-web"
    record = world.records()[-2]
    assert (record.kind, record.status, record.phase) == ("decision", "evaluated", "result")
    assert (record.granted, record.labels, record.tool) == (True, ("untrusted",), "web.get")
    assert replayed(world) == []


def test_it_is_redacted_and_withheld_like_any_result() -> None:
    world = World()
    session = world.open()
    found = seen(world, session, "crm.list", {"rows": [{"email": "ada@corp.com"}]})
    assert found.redacted
    assert found.result == {"rows": [{"email": "[redacted]"}]}
    assert set(found.labels) == {"customers", "personal"}
    secret = seen(world, session, "vault.read", "KEY-123")
    assert secret.withheld
    assert secret.result is None
    assert "no-keys" in rules(secret)
    assert replayed(world) == []


def test_what_does_not_fit_into_a_record_is_withheld() -> None:
    world = World()
    session = world.open()
    found = seen(world, session, "x" * 70_000, "anything")
    assert found.withheld
    assert rules(found) == ["record-too-large"]


def test_a_session_that_takes_nothing_in_says_why() -> None:
    world = World()
    session = world.open()
    ada = world.person("ada")
    call, outcome = world.call(session, "web.get"), Outcome(status="ok", result="a page")
    stop = world.do(world.governor.stop, "agent", "inventory-bot", ada).stop
    stopped = observe(world, call, outcome)
    assert isinstance(stopped, Reason)
    assert stopped.rule == "stopped"
    world.do(world.governor.resume, stop.id, ada)
    other = AccessRequest(principal=Principal(id="web-bot"), session=session.id, action=call.action)
    foreign = observe(world, other, outcome)
    assert isinstance(foreign, Reason)
    assert foreign.rule == "session-principal"
    world.do(world.governor.end_session, session.id)
    ended = observe(world, call, outcome)
    assert isinstance(ended, Reason)
    assert ended.rule == "session-ended"
    assert world.session(session.id).labels == ()
