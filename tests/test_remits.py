"""Sessions narrowed to their task: rights are taken away, never given, by whatever is written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governed import World
from remit import policy, remits
from remit.conversation import GIVEN
from remit.errors import InvalidRequest, PolicyError
from remit.fulfilment import rule
from remit.model import (
    AccessRequest,
    Action,
    Does,
    Effect,
    Facts,
    Session,
    SessionId,
    TaskRemit,
)
from remit.provenance.grounding import Provenance
from remit.provenance.memory import Memory, say

POLICY = """
remit: 1
default: deny
agents: {inventory-bot: {roles: [stock]}, web-bot: {}}
tools:
  - {match: find, does: read, returns: untrusted}
  - {match: send_mail, does: send, controls: {who: [args.to], where: [args.via]},
     sends: {what: [args.body]}}
  - {match: tweet, does: send, sends: {what: [args.text]}}
  - {match: pay, does: pay, controls: {who: [args.to], amount: [args.sum]}}
  - {match: tidy, does: [write, delete], controls: [args.id]}
rules:
  - {id: acts, tools: '*', effect: allow}
  - {id: owner, tools: pay, when: 'has(args.forced)', effect: ask}
  - id: copy
    tools: send_mail
    when: 'has(args.copy)'
    effect: allow
    obligations: [{rewrite: {args.to: '"copies@corp.example"'}}]
"""
TASKS = """
tasks:
  - {id: restock, agents: inventory-bot, intent: ["restock*"], remit: {does: [read, send]}}
  - {id: mine, roles: stock, remit: {only: {who: '*@corp.example'}}}
  - {id: words, agents: [web-bot], remit: {asked: true}}
"""
POLICIES = policy.load({"remit.yaml": POLICY})
BOT = POLICIES.principal("inventory-bot")


def narrowed(**fields: object) -> TaskRemit:
    return remits.given(TaskRemit(**fields), "a test")


def asked(tool: str, **arguments: object) -> AccessRequest:
    return AccessRequest(
        principal=BOT, session=SessionId("s-1"), action=Action(name=tool), arguments=arguments
    )


def ruled(remit: tuple[TaskRemit, ...], request: AccessRequest, known: Provenance | None = None):
    session = Session(id=SessionId("s-1"), principal=BOT, started_at=0, remits=remit)
    facts = Facts(now=0, session=session, provenance=known)
    return rule(POLICIES, request, facts).decision


WITHIN = [
    (TaskRemit(tools=("send_*", "find")), asked("send_mail", to="a@corp.example")),
    (TaskRemit(does=(Does.READ,)), asked("find")),
    (TaskRemit(does=(Does.WRITE, Does.DELETE)), asked("tidy", id="7")),
    (TaskRemit(only={"who": ("*@CORP.example",)}), asked("send_mail", to=["a@corp.example"])),
    (TaskRemit(only={"who": ("a@corp.example",)}), asked("find", to="mallory@evil.example")),
    (TaskRemit(amount=10), asked("pay", to="x", sum=10)),
    (TaskRemit(amount=10), asked("pay", to="x", sum="$9.50")),
]
BEYOND = [
    (TaskRemit(tools=("send_*",)), asked("find"), "does not use the tool 'find'"),
    (TaskRemit(does=(Does.READ,)), asked("send_mail", to="a"), "does not send"),
    (TaskRemit(does=(Does.WRITE,)), asked("tidy", id="7"), "does not delete"),
    (TaskRemit(does=(Does.READ,)), asked("nobody_declared"), "does not admin"),
    (TaskRemit(only={"who": ("*@corp.example",)}), asked("send_mail", to=["m@evil.example"]), "is"),
    (TaskRemit(only={"who": ("*",)}), asked("nobody_declared"), "nobody declared"),
    (TaskRemit(only={"who": ("*",)}), asked("tweet", text="hello"), "names no receiver"),
    (TaskRemit(only={"where": ("x",)}), asked("tweet", text="hello"), "names no receiver"),
    (TaskRemit(amount=10), asked("pay", to="x", sum=10.01), "more than 10"),
    (TaskRemit(amount=10), asked("pay", to="x", sum="eleven"), "more than 10"),
    (TaskRemit(amount=10), asked("nobody_declared"), "nobody declared"),
    (TaskRemit(asked=True), asked("send_mail", to="a@corp.example"), "do not ask"),
    (TaskRemit(only={"who": ("a@b",)}), asked("send_mail", to="a@b", copy=1), "copies@corp"),
]


@pytest.mark.parametrize(("remit", "request_"), WITHIN)
def test_what_the_task_needs_is_decided_as_ever(remit, request_):
    assert ruled((remit,), request_).effect is Effect.ALLOW


@pytest.mark.parametrize(("remit", "request_", "why"), BEYOND)
def test_what_is_beyond_the_task_is_denied_and_the_reason_says_why(remit, request_, why):
    decision = ruled((remit,), request_)
    assert decision.effect is Effect.DENY
    assert decision.reasons[0].rule == "task-remit"
    assert why in decision.reasons[0].because
    assert ruled((), request_).effect is Effect.ALLOW, "without the remit it is let through"


def test_what_the_user_asked_for_and_named_is_within_a_task_of_their_words():
    known = Provenance(say(Memory(), "Please email the plan to ada@corp.example"))
    remit = (TaskRemit(asked=True),)
    assert ruled(remit, asked("send_mail", to="ada@corp.example"), known).effect is Effect.ALLOW
    assert ruled(remit, asked("find"), known).effect is Effect.ALLOW
    beyond = ruled(remit, asked("send_mail", to="mallory@evil.example"), known)
    assert "name no such receiver" in beyond.reasons[0].because
    assert ruled(remit, asked("tidy", id="7"), known).effect is Effect.DENY


TOOLS = ("find", "send_mail", "tweet", "pay", "tidy", "nobody_declared")
WORDS = st.sampled_from(["*", "a@corp.example", "*@corp.example", "send_mail", "find", "p*", "7"])
REMITS = st.builds(
    TaskRemit,
    tools=st.lists(WORDS, max_size=2).map(tuple),
    does=st.lists(st.sampled_from(list(Does)), max_size=3).map(tuple),
    only=st.dictionaries(st.sampled_from(["who", "where", "which"]), st.tuples(WORDS), max_size=2),
    amount=st.none() | st.integers(0, 20),
    asked=st.booleans(),
)
CALLS = st.builds(
    lambda tool, arguments: asked(tool, **arguments),
    st.sampled_from(TOOLS),
    st.fixed_dictionaries(
        {},
        optional={
            "to": WORDS | st.lists(WORDS, max_size=2),
            "id": WORDS,
            "sum": st.integers(0, 30),
            "copy": st.just(1),
            "forced": st.just(1),
        },
    ),
)


@settings(max_examples=300)
@given(st.lists(REMITS, max_size=3).map(tuple), REMITS, CALLS)
def test_a_remit_never_widens(before, more, request_):
    """However it is written: what was stopped without it is stopped with it, as strictly."""
    plain, narrow = ruled((), request_), ruled(before, request_)
    narrower = ruled((*before, more), request_)
    assert narrow.effect.strictness >= plain.effect.strictness
    assert narrower.effect.strictness >= narrow.effect.strictness
    if remits.outside((*before, more), POLICIES, request_, None) is None:
        assert remits.shows((*before, more), request_.action.name, POLICIES)


@pytest.mark.parametrize(
    "remit",
    [
        TaskRemit(),
        TaskRemit(tools=("",)),
        TaskRemit(tools=("x\n",)),
        TaskRemit(tools=("x",) * 201),
        TaskRemit(only={"who": ()}),
        TaskRemit(does=("read",), only={"who": ()}),
        TaskRemit(amount=-1),
        TaskRemit(amount=float("nan")),
        TaskRemit(does=("fly",)),
        TaskRemit(only={"whom": ("x",)}),
    ],
)
def test_a_remit_that_cannot_be_meant_is_refused(remit):
    with pytest.raises(InvalidRequest):
        remits.given(remit, "a test")


class Desk(World):
    """Sessions and calls in one line each."""

    def open(self, agent="inventory-bot", **opening):
        return super().open(agent, None, **opening)

    def say(self, session, words):
        return self.do(self.governor.say, session.id, words)

    def made(self, session, tool, **arguments):
        """Whether a call is let run; it is settled if so."""
        request = self.call(session, tool, **arguments)
        admission = self.admit(request)
        if admission.granted:
            self.settle(admission, request)
        return admission.granted


def test_policy_narrows_the_sessions_that_it_says():
    desk = Desk(POLICY + TASKS)
    assert desk.policies.tracks, "a task asks what the user said"
    restocking = desk.open(intent="ReStock the shelves")
    assert [each.by for each in restocking.remits] == ["policy: restock", "policy: mine"]
    assert desk.made(restocking, "find")
    assert not desk.made(restocking, "tidy", id="1")
    other = desk.open(intent="look at the shelves")
    assert desk.made(other, "tidy", id="1")
    assert not desk.made(other, "send_mail", to="mallory@evil.example")
    words = desk.open(agent="web-bot", intent="Please email ada@corp.example")
    assert desk.made(words, "send_mail", to="ada@corp.example")
    assert not desk.made(words, "pay", to="ada@corp.example", sum=1)


def test_it_ends_with_its_session_and_goes_down_with_delegation():
    desk = Desk(POLICY)
    above = desk.open(remit=TaskRemit(does=("read", "send")))
    below = desk.open(agent="web-bot", parent=above.id, remit=TaskRemit(tools=("find", "tidy")))
    assert len(below.remits) == 2
    assert desk.made(below, "find")
    assert not desk.made(below, "tidy", id="1"), "the caller's task has no place for it"
    assert not desk.made(below, "send_mail", to="x"), "its own has not"
    assert desk.made(desk.open(), "tidy", id="1"), "another session is another task"


def test_shadow_mode_does_not_open_what_the_task_has_closed():
    desk = Desk(POLICY.replace("default: deny", "default: deny\nmode: shadow"))
    narrow = desk.open(remit=TaskRemit(does=(Does.READ,)))
    assert not desk.made(narrow, "pay", to="x", sum=1)
    assert desk.made(desk.open(), "pay", to="x", sum=1)


def test_the_record_says_what_a_session_was_narrowed_to_and_no_values():
    desk = Desk(POLICY)
    remit = TaskRemit(does=(Does.SEND,), only={"who": ("ada@corp.example",)}, amount=5)
    desk.open(intent="write to ada", remit=remit)
    (record,) = desk.records()
    (task,) = record.task
    assert (task.by, task.does, task.only, task.amount) == (GIVEN, ("send",), ("who",), True)
    assert record.args is not None


def test_a_session_cannot_collect_remits_without_end():
    desk = Desk(POLICY)
    desk.governor._max_depth = 100
    session = desk.open(remit=TaskRemit(tools=("*",)))
    for number in range(31):
        session = desk.open(parent=session.id, remit=TaskRemit(tools=(f"t{number}",)))
    with pytest.raises(InvalidRequest, match="more than 32"):
        desk.open(parent=session.id, remit=TaskRemit(tools=("one more",)))


def test_asked_needs_a_policy_that_keeps_what_was_said():
    with pytest.raises(InvalidRequest, match="keeps what the user said"):
        Desk(POLICY).open(remit=TaskRemit(asked=True))
    assert Desk(POLICY + TASKS).open(remit=TaskRemit(asked=True)).remits


def test_what_the_user_says_later_counts_from_then_on():
    desk = Desk(POLICY + TASKS)
    session = desk.open(agent="web-bot", intent="What is new?")
    assert not desk.made(session, "send_mail", to="ada@corp.example")
    desk.say(session, "Then email it to ada@corp.example")
    desk.say(session, "Then email it to ada@corp.example")
    assert desk.made(session, "send_mail", to="ada@corp.example")
    assert [record.status for record in desk.records()].count("said") == 2


def test_nobody_speaks_in_a_sub_agents_session_nor_in_one_that_ended():
    desk = Desk(POLICY + TASKS)
    session = desk.open()
    below = desk.open(agent="web-bot", parent=session.id)
    for which, words, why in (
        (below, "email it", f"say it in {session.id}"),
        (session, "   ", "1 to 10000 characters"),
        (session, "x" * 10_001, "1 to 10000 characters"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            desk.say(which, words)
    desk.do(desk.governor.end_session, session.id)
    with pytest.raises(InvalidRequest, match="has ended"):
        desk.say(session, "email it")
    with pytest.raises(InvalidRequest, match="no such session"):
        desk.do(desk.governor.say, SessionId("s-0"), "email it")


def test_where_nothing_asks_what_was_said_it_is_on_record_and_no_more():
    desk = Desk(POLICY)
    session = desk.open()
    desk.say(session, "email it")
    assert desk.records()[-1].status == "said"


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ("- {id: a, remit: {}}", "narrows nothing"),
        ("- {id: a, remit: {does: read}}\n  - {id: A, remit: {does: read}}", "is taken"),
        ("- {id: a, agents: [inventry-bot], remit: {does: read}}", "no agent 'inventry-bot'"),
        ("- {id: a, roles: [stok], remit: {does: read}}", "no role 'stok'"),
        ("- {id: a, remit: {tools: [fnd]}}", "no declared tool fits"),
        ("- {id: a, remit: {only: {whom: x}}}", "whom"),
    ],
)
def test_a_task_that_would_not_narrow_is_a_fault_with_its_place(tasks, why):
    with pytest.raises(PolicyError, match=why) as caught:
        policy.load({"remit.yaml": f"{POLICY}tasks:\n  {tasks}\n"})
    assert "remit.yaml:" in str(caught.value)
