"""Breakers in the governor: what trips is refused, asked or stopped, and the record says why."""

from __future__ import annotations

from typing import Any

import pytest
from tests.governed import POLICY, SECOND, World, rules

from remit.errors import PolicyError
from remit.model import AccessRequest, Admission, Effect, Outcome, Session
from remit.stops import MAX_STOPS


def world(*entries: str, head: str = "") -> World:
    lines = "".join(f"  - {entry}\n" for entry in entries)
    return World(f"{POLICY.replace('default: deny', head or 'default: deny')}breakers:\n{lines}")


class Agent:
    """A session that calls and settles."""

    def __init__(self, around: World, session: Session | None = None) -> None:
        self.around = around
        self.session = session or around.open()

    def request(self, query: str, tool: str = "db.query") -> AccessRequest:
        name = "query" if tool == "db.query" else "url"
        return self.around.call(self.session, tool, **{name: query})

    def call(self, query: str, tool: str = "db.query", result: Any = None) -> Admission:
        request = self.request(query, tool)
        admission = self.around.admit(request)
        if admission.granted:
            self.around.settle(admission, request, Outcome(status="ok", result=result))
        self.around.now += SECOND
        return admission


def test_a_loop_is_denied_and_says_what_was_seen() -> None:
    around = world("{id: loop, repeats: 3, within: 10m, because: Loops cost money.}")
    agent = Agent(around)
    assert agent.call("select 1").granted
    assert agent.call("select 1").granted
    third = agent.call("select 1")
    assert not third.granted
    reason = third.decision.reasons[0]
    assert reason.rule == "loop"
    assert reason.at is not None
    assert reason.because == (
        "db.query is called with the same arguments for the 3rd time in a row, within 2 s. "
        "Loops cost money."
    )
    assert "Do not make this call again" in reason.instead
    record = around.records()[-1]
    assert record.granted is False
    assert record.rules[0].id == "loop"
    (finding,) = record.findings
    assert (finding.kind, finding.where) == ("runaway", "loop: 1 calls, 3 times, 2 s")
    assert agent.call("select 2").granted


def test_without_the_breaker_the_loop_goes_on() -> None:
    agent = Agent(World())
    assert all(agent.call("select 1").granted for _ in range(20))
    assert agent.around.session(agent.session.id).trail == ()


def test_a_circle_of_two_tools_is_denied() -> None:
    agent = Agent(world("{id: loop, repeats: 3}"))
    for _ in range(2):
        assert agent.call("select 1").granted
        assert agent.call("https://example.com", "web.get").granted
    assert agent.call("select 1").granted
    assert not agent.call("https://example.com", "web.get").granted


def test_asking_lets_each_approved_call_through_once() -> None:
    around = world("{id: loop, repeats: 2, effect: ask, approvers: [security-team]}")
    agent = Agent(around)
    assert agent.call("select 1").granted
    held = agent.call("select 1")
    assert held.decision.effect is Effect.ASK
    assert rules(held)[0] == "loop"
    again = agent.call("select 1")
    assert again.approval == held.approval
    around.approve(held.approval, "grace")
    assert agent.call("select 1").granted
    assert not agent.call("select 1").granted


def test_asking_needs_the_people_of_the_rule_and_of_the_breaker() -> None:
    around = world("{id: loop, repeats: 2, effect: ask, approvers: [finance]}")
    agent = Agent(around, around.open("greedy-bot"))
    first = agent.call("select 1")
    around.approve(first.approval, "grace")
    assert agent.call("select 1").granted
    held = agent.call("select 1")
    assert set(rules(held)) >= {"loop", "greedy"}
    assert len(held.decision.terms) == 2
    around.approve(held.approval, "grace")
    assert not agent.call("select 1").granted
    around.approve(held.approval, "edsger")
    assert agent.call("select 1").granted


def test_asking_without_names_asks_anybody() -> None:
    around = world("{id: loop, repeats: 2, effect: ask}")
    agent = Agent(around)
    agent.call("select 1")
    held = agent.call("select 1")
    around.approve(held.approval, "edsger")
    assert agent.call("select 1").granted


def test_stopping_the_session_stops_all_of_it() -> None:
    around = world("{id: loop, repeats: 2, effect: stop-session}")
    agent = Agent(around)
    child = Agent(around, around.open(user=None, parent=agent.session.id))
    agent.call("select 1")
    refused = agent.call("select 1")
    assert not refused.granted
    assert "The session is stopped." in refused.decision.reasons[0].because
    record = around.records()[-1]
    assert (record.kind, record.status) == ("stop", "stopped")
    assert record.principal[0].id == "remit-breaker"
    assert rules(agent.call("select 2")) == ["stopped"]
    assert rules(child.call("select 2")) == ["stopped"]
    (stop,) = around.store.read(lambda view: view.stops())
    assert stop.reason.startswith("loop: db.query is called with the same arguments")
    around.do(around.governor.resume, stop.id, around.person("grace"))
    assert agent.call("select 2").granted


def test_too_many_stops_still_deny() -> None:
    around = world("{id: loop, repeats: 2, effect: stop-session}")
    agent = Agent(around)
    for number in range(MAX_STOPS):
        around.do(around.governor.stop, "session", f"s-{number}", around.person("grace"))
    agent.call("select 1")
    assert rules(agent.call("select 1"))[0] == "loop"
    assert rules(agent.call("select 1"))[0] == "loop"


def test_telling_lets_through_and_records() -> None:
    around = world("{id: loop, repeats: 2, effect: notify}")
    agent = Agent(around)
    agent.call("select 1")
    assert agent.call("select 1").granted
    record = next(each for each in reversed(around.records()) if each.kind == "decision")
    assert [rule.id for rule in record.rules] == ["loop", "reading"]
    assert record.findings[0].kind == "runaway"


def test_shadow_mode_only_records() -> None:
    around = world("{id: loop, repeats: 2, effect: stop-session}", head="mode: shadow")
    agent = Agent(around)
    agent.call("select 1")
    second = agent.call("select 1")
    assert second.granted
    assert second.decision.effect is Effect.DENY
    assert around.store.read(lambda view: view.stops()) == []


def test_what_does_not_run_is_not_counted() -> None:
    """A call that waits for a person is made again and again; that is no loop."""
    around = world("{id: loop, repeats: 3}")
    agent = Agent(around, around.open("greedy-bot"))
    for _ in range(10):
        held = agent.call("select 1")
        assert rules(held)[0] == "greedy"


def test_no_progress_is_seen_across_other_calls() -> None:
    agent = Agent(world("{id: stuck, stalls: 2}"))
    for number in range(2):
        assert agent.call("select 1", result=[1, 2]).granted
        assert agent.call(f"select {number + 5}", result=[]).granted
    refused = agent.call("select 1")
    assert "each time gave the same result" in refused.decision.reasons[0].because


def test_an_error_is_a_result_too() -> None:
    around = world("{id: stuck, stalls: 2}")
    agent = Agent(around)
    for _ in range(2):
        request = agent.request("select 1")
        admission = around.admit(request)
        around.settle(admission, request, Outcome(status="error", error="Timeout: 5 s"))
    assert not agent.call("select 1").granted


def test_progress_goes_on() -> None:
    agent = Agent(world("{id: stuck, stalls: 2}"))
    assert all(agent.call("select 1", result=number).granted for number in range(10))


def test_polling_can_be_exempt() -> None:
    agent = Agent(world("{id: loop, repeats: 2, except: [web.*]}"))
    assert all(agent.call("https://example.com", "web.get").granted for _ in range(10))


def test_fan_out_bars_the_session_that_is_too_many() -> None:
    around = world("{id: crowd, children: 2, within: 1h, effect: deny}")
    parent = around.open()
    children = [Agent(around, around.open(user=None, parent=parent.id)) for _ in range(3)]
    assert [child.call("select 1").granted for child in children] == [True, True, False]
    refused = children[2].call("select 1")
    assert rules(refused)[0] == "crowd"
    assert "more than 2" in refused.decision.reasons[0].because
    around.load(POLICY)
    assert children[2].call("select 1").granted


def test_depth_is_bounded_by_policy() -> None:
    around = world("{id: deep, depth: 1}")
    one = around.open()
    two = around.open(user=None, parent=one.id)
    three = around.open(user=None, parent=two.id)
    assert Agent(around, two).call("select 1").granted
    assert not Agent(around, three).call("select 1").granted


def test_questions_count_and_trip() -> None:
    around = world("{id: loop, repeats: 2}")
    session = around.open()
    request = around.call(session, "db.query", query="select 1")
    assert around.do(around.governor.evaluate, request).granted
    assert not around.do(around.governor.evaluate, request).granted


def test_what_is_kept_goes_when_it_is_not_needed() -> None:
    around = world("{id: loop, repeats: 5}")
    agent = Agent(around)
    agent.call("select 1")
    assert len(around.session(agent.session.id).trail) == 1
    around.load(POLICY)
    agent.call("select 1")
    assert around.session(agent.session.id).trail == ()
    around.load(f"{POLICY}breakers:\n  - {{id: loop, repeats: 5}}\n")
    agent.call("select 1")
    around.do(around.governor.end_session, agent.session.id)
    assert around.session(agent.session.id).trail == ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{id: loop}", "must look at exactly one thing"),
        ("{id: loop, repeats: 3, stalls: 3}", "must look at exactly one thing"),
        ("{id: loop, repeats: 1}", "2"),
        ("{id: loop, repeats: 3, within: soon}", "within"),
        ("{id: loop, depth: 3, within: 1m}", "within has no meaning with depth"),
        ("{id: stopped, repeats: 3}", "is one of Remit's own"),
        ("{id: reading, repeats: 3}", "is taken at"),
        ("{id: loop, repeats: 3, effect: allow}", "effect"),
        ("{id: loop, repeats: 3, approvers: [grace]}", "approvers has no meaning with effect deny"),
        ("{id: loop, repeats: 3, effect: ask, approvers: [grase]}", "nobody could approve"),
        ("{id: loop, repeats: 3, tools: [db.qery]}", "no declared tool fits 'db.qery'"),
        ("{id: loop, repeats: 3, except: [db.qery]}", "no declared tool fits 'db.qery'"),
        ("{id: loop, repeats: 3, excapt: [db.query]}", "except"),
        ("{id: loop, burn: sends}", "there is no budget 'sends' with a period of its own"),
    ],
)
def test_a_faulty_breaker_is_told(entry: str, message: str) -> None:
    with pytest.raises(PolicyError) as raised:
        world(entry)
    assert message in str(raised.value)
    assert "remit.yaml:" in str(raised.value)
