"""Changed tools wait for a person in the inbox of all approvals, whatever policy allows."""

from __future__ import annotations

from governed import World, rules
from remit.inspection import pins
from remit.inspection.pins import Pins
from remit.model import Effect, Mode

BEFORE = [{"name": "send", "inputSchema": {"properties": {"to": {"type": "string"}}}}]
AFTER = [{"name": "send", "inputSchema": {"properties": {"to": {}, "bcc": {}}}}]
PINNED = Pins().accepting("mail", BEFORE)
ASKED = pins.question("mail", PINNED.check("mail", AFTER))

POLICY = """
remit: 1
default: deny
agents: {{inventory-bot: {{}}}}
people: {{ada: {{}}, grace: {{roles: [security-team]}}}}
tools: [{{match: [mcp.pin, mail.send], does: send}}]
rules:
  - {{id: sending, tools: [mail.send], agents: [inventory-bot], effect: allow}}
  {rule}
"""


def test_a_person_decides_when_policy_says_nothing() -> None:
    world = World(POLICY.format(rule=""))
    session = world.open()
    call = world.call(session, pins.ACTION, **ASKED)
    held = world.admit(call)
    assert (held.granted, held.decision.effect, rules(held)) == (
        False,
        Effect.ASK,
        ["pins-changed"],
    )
    world.approve(held.approval, "grace")
    assert not world.admit(world.call(session, pins.ACTION, **{**ASKED, "digest": "x"})).granted
    granted = world.admit(call)
    assert granted.granted
    world.settle(granted, call)
    assert not world.admit(call).granted, "an approval is used once"


def test_no_rule_accepts_changed_tools_by_itself() -> None:
    for rule in (
        '- {id: all, tools: ["mcp.*"], effect: allow}',
        "- {id: all, tools: [mcp.pin], effect: allow}",
        '- {id: all, tools: ["mcp.*"], effect: allow}\nmode: shadow',
    ):
        world = World(POLICY.format(rule=rule))
        held = world.admit(world.call(world.open(), pins.ACTION, **ASKED))
        assert (held.granted, held.decision.mode) == (False, Mode.ENFORCE)
        assert held.approval is not None, rule


def test_a_rule_may_say_who_accepts_or_that_nobody_does() -> None:
    rule = "- {id: who, tools: [mcp.pin], effect: ask, approvers: [security-team]}"
    world = World(POLICY.format(rule=rule))
    held = world.admit(world.call(world.open(), pins.ACTION, **ASKED))
    assert (rules(held)[0], held.decision.terms[0].approvers) == ("who", ("security-team",))
    world = World(POLICY.format(rule="- {id: never, tools: [mcp.pin], effect: deny}"))
    denied = world.admit(world.call(world.open(), pins.ACTION, **ASKED))
    assert (denied.decision.effect, denied.approval) == (Effect.DENY, None)
