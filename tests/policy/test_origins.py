"""What conditions see of control arguments, and what they answer where nothing was kept."""

from __future__ import annotations

import pytest

from remit.errors import PolicyError
from remit.model import AccessRequest, Action, Facts, Principal, Session, SessionId
from remit.policy import explain, load, origins
from remit.policy.origins import Controls, ToolFacts
from remit.provenance.grounding import Provenance
from remit.provenance.memory import Memory, say

BOT = Principal(id="inventory-bot", known="declared")
POLICY = """
remit: 1
agents: {inventory-bot: {}}
tools:
  - match: mail
    does: send
    controls: {who: [args.to, args.cc.*], which: [args.files.*.id, args.rows.id]}
    sends: {what: args.body}
  - {match: plain, does: write, controls: args.id, resource: args.id}
rules: [{id: acts, tools: '*', effect: allow}]
"""


def controls(tool, **arguments):
    request = AccessRequest(
        principal=BOT, session=SessionId("s"), action=Action(name=tool), arguments=arguments
    )
    return origins.controls_of(load({"remit.yaml": POLICY}).tool(tool), request)


def test_control_arguments_are_found_at_their_places():
    found = controls(
        "mail",
        to="ada",
        cc={"a": "grace", "b": "alan"},
        files=[{"id": 1}, {"id": 2}, "x"],
        rows=[{"id": 3}, {"no": 4}],
        body=["See https://evil.example/a?b=c. And", 3, "www.other.example"],
    )
    assert found == Controls(
        who=("ada", "grace", "alan"),
        which=(1, 2, 3),
        links=("https://evil.example/a?b=c", "www.other.example"),
        what=(["See https://evil.example/a?b=c. And", 3, "www.other.example"],),
    )
    assert controls("plain", id="x").what == ("x",), "nothing says what it sends: everything"
    assert controls("mail", to="ada", files=7).which == ()
    assert controls("plain", id="x").which == ("x",)


def test_all_arguments_of_an_undeclared_tool_decide_who():
    assert controls("other", x="ada", y=[1]).who == ("ada", [1])


def test_where_nothing_was_kept_every_answer_grants_least():
    session = Session(id=SessionId("s"), principal=BOT, started_at=0, labels=("untrusted",))
    tool = ToolFacts(name="mail", does=("send",), declared=True)
    assert not origins.from_user(None, "x")
    assert not origins.from_trusted(None, "x")
    assert not origins.grounded(None, "x")
    assert not origins.asked_for(None, tool, "action")
    assert origins.unseen(None, "x")
    assert not origins.vouched(None, "x")
    for question in origins.LABELLED:
        assert origins.about(question, None, session, "x", "untrusted")
        assert not origins.about(question, None, session, "x", "secret")
    assert "nothing was kept" in origins.why(None, "x")


def test_the_questions_reach_what_was_kept():
    session = Session(id=SessionId("s"), principal=BOT, started_at=0, labels=("untrusted",))
    known = Provenance(say(Memory(), "Please send ada 5 books"))
    tool = ToolFacts(name="mail", does=("send",), declared=True)
    assert origins.from_user(known, "ada")
    assert origins.from_trusted(known, "ada")
    assert origins.grounded(known, 5)
    assert origins.unseen(known, "mallory")
    assert origins.vouched(known, 5)
    for question in origins.LABELLED:
        assert not origins.about(question, known, session, "ada", "untrusted")
    assert origins.asked_for(known, tool, "action")
    assert origins.asked_for(known, tool, "send")
    assert not origins.asked_for(known, tool, "pay")
    assert "from the user" in origins.why(known, "ada")


MAIL = """
remit: 1
agents: {inventory-bot: {}}
tools: [{match: mail, does: send, arguments: {to: string}}]
rules:
  - {id: acts, tools: mail, effect: allow}
  - {id: told, tools: mail, when: '!from_user(args.to) && !asked_for(pay)', effect: ask}
"""


def test_an_explanation_says_where_a_value_is_from():
    session = Session(id=SessionId("s"), principal=BOT, started_at=0)
    request = AccessRequest(
        principal=BOT,
        session=session.id,
        action=Action(name="mail"),
        arguments={"to": "mallory@evil.example"},
    )
    seen = Provenance(say(Memory(), "Write to ada@corp.example."))
    facts = Facts(now=0, session=session, provenance=seen)
    explained = explain(load({"remit.yaml": MAIL}), request, facts)
    (told,) = [match for match in explained.matched if match.rule == "told"]
    assert "where args.to is from" in {each.text for each in told.values}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("asked_for(payy)", "no kind of action"),
        ("asked_for()", "asked_for"),
        ("from_user(args.to, 1)", "from_user"),
    ],
)
def test_wrong_questions_are_faults(condition, message):
    text = MAIL.replace("!from_user(args.to) && !asked_for(pay)", condition)
    with pytest.raises(PolicyError) as refused:
        load({"remit.yaml": text})
    assert message in str(refused.value)


def test_budgets_are_not_looked_for_where_another_document_is_faulty():
    text = MAIL.replace("!asked_for(pay)", 'budget.remaining("none") > 0')
    with pytest.raises(PolicyError) as refused:
        load({"a.yaml": text, "b.yaml": "remit: 1\nrulez: []\n"})
    assert "rulez" in str(refused.value)
    assert "no budget" not in str(refused.value)
