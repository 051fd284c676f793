"""Sessions under the governor: opened, delegated, ended, and what they hand on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from governed import SECOND, World, rules
from remit.errors import InvalidRequest
from remit.model import Outcome, Session, SessionId


def reads_the_web(world: World, session: Session) -> None:
    request = world.call(session, "web.get", url="x")
    world.settle(world.admit(request), request, Outcome(status="ok"))


def test_a_session_is_recorded_from_start_to_end() -> None:
    world = World()
    session = world.open(intent="restock report for May")
    assert world.session(session.id) == session
    world.now += SECOND
    ended = world.do(world.governor.end_session, session.id)
    assert ended.ended_at == session.started_at + SECOND
    started, stopped = world.records()
    assert (started.status, stopped.status) == ("started", "ended")
    assert started.session == stopped.session == session.id
    assert [link.id for link in started.principal] == ["inventory-bot", "ada"]
    assert (started.args is None, stopped.args is None) == (False, True)
    assert b"restock" not in b"".join(world.bodies())


def test_ending_again_changes_nothing() -> None:
    world = World()
    session = world.open()
    ended = world.do(world.governor.end_session, session.id)
    world.now += SECOND
    assert world.do(world.governor.end_session, session.id) == ended
    assert world.kinds() == ["session", "session"]
    with pytest.raises(InvalidRequest, match="nothing was ended"):
        world.do(world.governor.end_session, SessionId("s-none"))


def test_ids_are_given_or_chosen_but_never_taken_twice() -> None:
    world = World()
    assert world.open(session_id=SessionId("mine")).id == "mine"
    with pytest.raises(InvalidRequest, match="session mine exists"):
        world.open(session_id=SessionId("mine"))
    with pytest.raises(InvalidRequest, match="printable"):
        world.open(session_id=SessionId(""))
    assert world.open().id != world.open().id
    assert world.kinds() == ["session"] * 3


def test_a_principal_that_does_not_fit_into_a_record_gets_no_session() -> None:
    world = World()
    for roles in (("\ud800",), ("x" * 70_000,)):
        principal = replace(world.policies.principal("web-bot"), roles=roles)
        with pytest.raises(InvalidRequest, match="the session was not opened: a session record"):
            world.do(world.governor.open_session, principal)
    assert world.kinds() == []


def test_delegation_narrows_rights_and_inherits_labels() -> None:
    world = World()
    parent = world.open()
    reads_the_web(world, parent)
    child = world.open("web-bot", user=None, parent=parent.id)
    assert [link.id for link in child.principal.chain()] == ["web-bot", "inventory-bot", "ada"]
    assert child.labels == ("untrusted",)
    assert (child.parent, child.depth) == (parent.id, 1)
    sent = world.admit(world.call(child, "mail.send"))
    assert "not-after-web" in rules(sent)


def test_p25_a_sub_agent_cannot_do_what_its_caller_may_not() -> None:
    world = World()
    stranger = world.open("stranger-bot")
    child = world.open("inventory-bot", user=None, parent=stranger.id)
    assert not world.admit(world.call(child, "db.query", query="x")).granted
    alone = world.open("inventory-bot", user=None)
    assert world.admit(world.call(alone, "db.query", query="x")).granted


def test_what_a_child_has_read_joins_its_parent_when_the_child_ends() -> None:
    world = World()
    parent = world.open()
    child = world.open("web-bot", user=None, parent=parent.id)
    reads_the_web(world, child)
    assert world.session(parent.id).labels == ()
    world.do(world.governor.end_session, child.id)
    assert world.session(parent.id).labels == ("untrusted",)
    assert not world.admit(world.call(parent, "mail.send")).granted


def test_what_an_ended_session_learns_goes_up_to_whoever_still_works() -> None:
    world = World(lease=60 * SECOND)
    root = world.open()
    middle = world.open("web-bot", user=None, parent=root.id)
    leaf = world.open("inventory-bot", user=None, parent=middle.id)
    request = world.call(leaf, "web.get", url="x")
    world.admit(request)
    world.do(world.governor.end_session, middle.id)
    world.do(world.governor.end_session, leaf.id)
    assert world.session(root.id).labels == ()
    world.now += 60 * SECOND
    world.do(world.governor.expire)
    for each in (leaf, middle, root):
        assert world.session(each.id).labels == ("untrusted",)


def test_an_ended_session_can_still_settle_what_is_running() -> None:
    world = World()
    session = world.open()
    request = world.call(session, "db.query", query="x")
    admission = world.admit(request)
    world.do(world.governor.end_session, session.id)
    assert not world.settle(admission, request).withheld


def test_delegation_has_an_end() -> None:
    world = World(max_depth=2)
    session = world.open()
    for _ in range(2):
        session = world.open("web-bot", user=None, parent=session.id)
    with pytest.raises(InvalidRequest, match="2 delegations deep and 2 are allowed"):
        world.open("web-bot", user=None, parent=session.id)
    with pytest.raises(InvalidRequest, match="no such parent"):
        world.open("web-bot", user=None, parent=SessionId("s-none"))


def test_a_parent_cannot_be_used_by_its_child() -> None:
    world = World()
    parent = world.open()
    child = world.open("web-bot", user=None, parent=parent.id)
    request = replace(world.call(child, "db.query", query="x"), session=parent.id)
    assert rules(world.admit(request)) == ["session-principal"]
