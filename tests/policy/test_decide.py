"""What policy says: the lattice, whom and what rules speak of, results, delegation, errors."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from deciding import ask, facts, policy, reasons, request
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from policies_made_up import documents, requests
from reference_decide import reference

from remit.errors import PolicyError
from remit.model import (
    ApprovalTerms,
    Effect,
    Finding,
    Mode,
    Obligation,
    Outcome,
    Phase,
    Principal,
)
from remit.policy import PolicySet, decide, load

OK = Outcome(status="ok")


def rules(*written: str) -> str:
    return "rules:\n" + "".join(
        f"  - {{id: r{index}, {rule}}}\n" for index, rule in enumerate(written)
    )


# The lattice


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        (["allow"], Effect.ALLOW),
        (["allow", "ask"], Effect.ASK),
        (["ask", "defer"], Effect.DEFER),
        (["allow", "ask", "defer", "deny"], Effect.DENY),
        ([], Effect.DENY),
    ],
)
def test_the_strictest_effect_wins_in_any_order(effects, expected):
    written = [f"tools: x, effect: {effect}, when: args.n == 1" for effect in effects]
    other = "tools: y, effect: allow"
    for order in (written, written[::-1]):
        decision = ask(policy(rules(*order, other)), "x", {"n": 1})
        assert decision.effect is expected
        strictness = [reason.effect.strictness for reason in decision.reasons]
        assert strictness == sorted(strictness, reverse=True)


def test_reasons_carry_place_and_words():
    policies = policy(rules("tools: x, effect: deny, because: No., instead: Ask ada."))
    reason = ask(policies, "x").reasons[0]
    assert (reason.rule, str(reason.at)) == ("r0", "remit.yaml:9:10")
    assert (reason.because, reason.instead) == ("No.", "Ask ada.")


def test_reasons_of_one_strictness_come_in_the_order_of_the_rules():
    policies = policy(rules(*["tools: x, effect: deny, when: args.n == 1"] * 3))
    assert reasons(ask(policies, "x", {"n": 1})) == ["r0", "r1", "r2"]


def test_the_default():
    decision = ask(policy(rules("tools: y, effect: allow")), "x")
    assert (decision.effect, reasons(decision)) == (Effect.DENY, ["default"])
    assert decision.reasons[0].instead
    text = "default: allow\naccept-open-default: true\n" + rules("tools: y, effect: deny")
    assert ask(policy(text), "x").effect is Effect.ALLOW
    assert ask(policy(text), "y").effect is Effect.DENY
    assert policy(text).open_by_default
    assert not policy(rules("tools: y, effect: allow")).open_by_default


def test_shadow_mode_says_what_policy_says():
    decision = ask(policy("mode: shadow\n" + rules("tools: x, effect: deny")), "x")
    assert (decision.effect, decision.mode) == (Effect.DENY, Mode.SHADOW)


def test_the_same_input_gives_an_equal_decision():
    policies = policy(rules("tools: x, effect: ask, when: args.n > 0"))
    first, again = ask(policies, "x", {"n": 1}), ask(policies, "x", {"n": 2})
    assert first == again
    assert first.revision == policies.revision


# Whom and which tools a rule speaks of


@pytest.mark.parametrize(
    ("selector", "agent", "user", "matches"),
    [
        ("agents: bot", "bot", None, True),
        ("agents: helper", "bot", None, False),
        ("roles: [assistant, worker]", "bot", None, True),
        ("roles: assistant", "bot", None, False),
        ("teams: warehouse", "bot", None, True),
        ("teams: care", "bot", "ada", False),
        ("users: ada", "bot", "ada", True),
        ("users: ada", "bot", "grace", False),
        ("users: ada", "bot", None, False),
        ("agents: bot, roles: worker, teams: warehouse, users: ada", "bot", "ada", True),
        ("agents: bot, users: grace", "bot", "ada", False),
    ],
)
def test_principals(selector, agent, user, matches):
    decision = ask(
        policy(rules(f"tools: x, effect: allow, {selector}")), "x", agent=agent, user=user
    )
    assert (decision.effect is Effect.ALLOW) is matches


def test_a_restriction_reads_who_acts_widely_and_a_permission_exactly():
    both = policy(
        rules("tools: x, effect: allow, users: ada", "tools: y, effect: deny, users: ada")
    )
    someone = Principal(id=" АDA", kind="person", known="authenticated")
    bot = Principal(id="bot", known="declared", on_behalf_of=someone)
    assert reasons(ask(both, "x", principal=bot)) == ["default"]
    assert reasons(ask(both, "y", principal=bot)) == ["r1"]


@pytest.mark.parametrize(
    ("pattern", "tool", "matches"),
    [
        ("db.query", "db.query", True),
        ("db.query", "DB.Query", True),
        ("DB.*", "db.query", True),
        ("db.*", "db.admin.drop", True),
        ("db.*", "dbx", False),
        ("'*'", "anything", True),
        ("'*.query'", "db.query", True),
        ("'d*.q*y'", "db.query", True),
        ("'d*z*y'", "db.query", False),
        ("'db.q*query'", "db.query", False),
        ("ｄｂ.query", "db.query", True),
        ("db.query", "ｄｂ.ｑuery", True),
        ("db.[qx]uery", "db.query", False),
    ],
)
def test_patterns(pattern, tool, matches):
    quoted = pattern if pattern.startswith("'") else f"'{pattern}'"
    decision = ask(policy(rules(f"tools: {quoted}, effect: allow")), tool)
    assert (decision.effect is Effect.ALLOW) is matches


CLASSED = "tools:\n  - {match: both, does: [read, send]}\n  - {match: one, does: read}\n"


@pytest.mark.parametrize(
    ("effect", "does", "tool", "matches"),
    [
        ("allow", "read", "one", True),
        ("allow", "read", "both", False),
        ("allow", "[read, send]", "both", True),
        ("allow", "[read, send]", "undeclared", False),
        ("allow", "[read, admin]", "undeclared", True),
        ("deny", "read", "both", True),
        ("deny", "pay", "both", False),
        ("deny", "read", "undeclared", True),
        ("ask", "pay", "undeclared", True),
    ],
)
def test_classes(effect, does, tool, matches):
    policies = policy(CLASSED + rules(f"tools: '*', effect: {effect}, does: {does}"))
    assert (reasons(ask(policies, tool)) == ["r0"]) is matches


def test_after_needs_every_label():
    policies = policy(
        rules("tools: x, effect: allow", "tools: x, effect: deny, after: [untrusted, confidential]")
    )
    assert ask(policies, "x", labels=("confidential",)).effect is Effect.ALLOW
    assert ask(policies, "x", labels=("confidential", "untrusted")).effect is Effect.DENY


def test_after_and_a_condition_must_both_hold():
    policies = policy(
        rules(
            "tools: x, effect: allow", "tools: x, effect: deny, after: untrusted, when: args.n == 1"
        )
    )
    assert ask(policies, "x", {"n": 1}).effect is Effect.ALLOW
    assert ask(policies, "x", {"n": 1}, labels=("untrusted",)).effect is Effect.DENY
    assert ask(policies, "x", {"n": 2}, labels=("untrusted",)).effect is Effect.ALLOW


# Identity


def test_an_unknown_agent_has_no_rights():
    policies = policy("mode: shadow\ndefault: allow\n" + rules("tools: x, effect: allow"))
    for outcome in (None, OK):
        decision = ask(policies, "x", agent="stranger", outcome=outcome)
        assert (decision.effect, reasons(decision)) == (Effect.DENY, ["unknown-agent"])


def test_an_authenticated_agent_need_not_be_declared():
    policies = policy(rules("tools: x, effect: allow, roles: worker"))
    agent = Principal(id="new", roles=("worker",), known="authenticated")
    assert ask(policies, "x", principal=agent).effect is Effect.ALLOW


def test_a_person_may_act_alone():
    policies = policy(rules("tools: x, effect: allow, roles: clerk"))
    assert ask(policies, "x", principal=policies.person("ada")).effect is Effect.ALLOW
    assert reasons(ask(policies, "x", principal=policies.person("eve"))) == ["unknown-agent"]


def test_delegation_is_the_intersection():
    policies = policy(
        rules(
            "tools: [x, z], effect: allow, agents: bot",
            "tools: [x, y], effect: allow, agents: helper",
            "tools: x, effect: ask, agents: helper, when: args.n > 1",
        )
    )
    caller = policies.principal("bot", user="ada")
    sub = Principal(
        id="helper", roles=("assistant",), team="care", known="declared", on_behalf_of=caller
    )
    assert ask(policies, "x", {"n": 1}, principal=sub).effect is Effect.ALLOW
    assert ask(policies, "x", {"n": 2}, principal=sub).effect is Effect.ASK
    assert reasons(ask(policies, "y", {"n": 1}, principal=sub)) == ["default", "r1"]
    assert reasons(ask(policies, "z", {"n": 1}, principal=sub)) == ["default", "r0"]
    stranger = Principal(id="stranger", on_behalf_of=caller)
    below = Principal(id="bot", known="declared", on_behalf_of=stranger)
    assert reasons(ask(policies, "x", {"n": 1}, principal=stranger)) == ["unknown-agent"]
    assert reasons(ask(policies, "x", {"n": 1}, principal=below)) == ["unknown-agent"]


def test_a_condition_sees_each_agent_of_the_chain():
    policies = policy(
        rules("tools: x, effect: allow", "tools: x, effect: deny, when: agent.id == 'bot'")
    )
    caller = policies.principal("bot")
    sub = Principal(id="helper", known="declared", on_behalf_of=caller)
    assert ask(policies, "x", agent="helper").effect is Effect.ALLOW
    assert ask(policies, "x", principal=sub).effect is Effect.DENY


# Facts in conditions


@pytest.mark.parametrize(
    "when",
    [
        "context.ticket == 'T1'",
        "user.id == 'ada'",
        "session.intent == 'restock'",
        "tool.name == 'x' && !tool.declared && 'admin' in tool.does",
        "findings.exists(f, f.kind == 'secret')",
        "now.epoch == 1772000000",
        "path(args.file).within('/srv')",
        "flows(args, untrusted)",
        "'untrusted' in session.labels",
        "size(constant) == 2",
    ],
)
def test_everything_that_a_condition_can_look_at(when):
    policies = policy(
        "define: {constant: [1, 2]}\n" + rules(f'tools: x, effect: allow, when: "{when}"')
    )
    asked = request(
        "x",
        {"file": "/srv/a"},
        policies=policies,
        context={"ticket": "T1"},
        findings=(Finding(kind="secret", where="args.file", message="m"),),
        resolved={"/srv/a": "/srv/a"},
    )
    decision = decide(policies, asked, facts(("untrusted",), intent="restock"))
    assert decision.effect is Effect.ALLOW, decision.reasons


def test_a_missing_fact_defers():
    policies = policy(rules("tools: x, effect: allow, when: context.ticket == 'T1'"))
    decision = ask(policies, "x")
    assert (decision.effect, reasons(decision)) == (Effect.DEFER, ["missing-fact"])
    assert decision.terms == (ApprovalTerms(),)
    assert "'r0'" in decision.reasons[0].because
    assert ask(policies, "x", context={"ticket": "T1"}).effect is Effect.ALLOW


@pytest.mark.parametrize("effect", ["allow", "ask", "defer", "deny"])
def test_an_error_denies_whatever_the_effect(effect):
    policies = policy(
        rules(
            "tools: x, effect: allow, roles: worker",
            f"tools: x, effect: {effect}, when: args.n > 1",
        )
    )
    for arguments in ({}, {"n": "many"}, {"n": None}, {"n": [5]}, {"n": {"v": 5}}):
        decision = ask(policies, "x", arguments)
        assert (decision.effect, reasons(decision)[0]) == (Effect.DENY, "rule-error")
        assert "'r1'" in decision.reasons[0].because
        assert decision.reasons[0].at is not None


def test_an_error_that_nobody_foresaw_denies(monkeypatch):
    from remit.policy import functions
    from remit.policy.evaluate import load_reader

    def broken(self):
        def read(value):
            raise RuntimeError("secret detail")

        return read

    load_reader.cache_clear()
    monkeypatch.setattr(functions.Reader, "load", broken)
    policies = policy(rules("tools: x, effect: allow, when: sql(args.q).read_only"))
    decision = ask(policies, "x", {"q": "select 1"})
    load_reader.cache_clear()
    assert reasons(decision) == ["rule-error"]
    assert "RuntimeError" in decision.reasons[0].because
    assert "secret detail" not in decision.reasons[0].because


# Obligations and terms


def test_obligations_come_in_one_order():
    policies = policy(
        rules(
            "tools: x, effect: allow, obligations: [{label: pii}, {cap: {args.n: 5}}]",
            "tools: x, effect: ask,"
            " obligations: [{redact: [result.rows]}, {rewrite: {args.to: 'user.id'}}]",
            "tools: x, effect: allow, when: args.n > 100, obligations: [{label: confidential}]",
        )
    )
    decision = ask(policies, "x", {"n": 7, "to": "me"})
    assert decision.effect is Effect.ASK
    assert decision.obligations == (
        Obligation(kind="rewrite", target="args.to", value="ada", rule="r1"),
        Obligation(kind="cap", target="args.n", value=5, rule="r0"),
        Obligation(kind="redact", target="result.rows", rule="r1"),
        Obligation(kind="label", value="pii", rule="r0"),
    )


def test_the_same_obligation_twice_is_one():
    duty = "obligations: [{rewrite: {args.to: '\"x\"'}}, {label: pii}]"
    policies = policy(
        rules(f"tools: x, effect: allow, {duty}", f"tools: '*', effect: allow, {duty}")
    )
    assert [duty.kind for duty in ask(policies, "x").obligations] == ["rewrite", "label"]


def test_rewrites_that_contradict_each_other_deny():
    policies = policy(
        rules(
            "tools: x, effect: allow, obligations: [{rewrite: {args.to: '1'}}]",
            "tools: x, effect: allow, obligations: [{rewrite: {args.to: 'true'}}]",
            "tools: x, effect: allow, obligations: [{rewrite: {args.to: '2'}}]",
        )
    )
    decision = ask(policies, "x")
    assert (decision.effect, reasons(decision)[0]) == (Effect.DENY, "rule-error")
    assert "rewrite args.to to different values" in decision.reasons[0].because
    assert decision.obligations == ()


def test_a_rewrite_that_cannot_be_worked_out_denies():
    policies = policy(
        rules(
            "tools: x, effect: allow, obligations: [{rewrite: {args.to: 'args.cc'}}, {label: pii}]"
        )
    )
    decision = ask(policies, "x")
    assert (decision.effect, reasons(decision)) == (Effect.DENY, ["rule-error"])
    assert ask(policies, "x", {"cc": [1]}).obligations[0].value == [1]


def test_the_second_of_two_rewrites_that_cannot_be_worked_out_denies():
    duties = "[{rewrite: {args.a: '1'}}, {rewrite: {args.b: args.cc}}]"
    policies = policy(rules(f"tools: x, effect: allow, obligations: {duties}"))
    assert reasons(ask(policies, "x")) == ["rule-error"]
    assert [duty.value for duty in ask(policies, "x", {"cc": 2}).obligations] == [1, 2]


def test_a_deny_has_no_obligations():
    policies = policy(
        rules(
            "tools: x, effect: allow, obligations: [{label: pii}]",
            "tools: x, effect: deny, when: args.n == 1",
        )
    )
    assert ask(policies, "x", {"n": 1}).obligations == ()
    assert len(ask(policies, "x", {"n": 2}).obligations) == 1


def test_all_terms_of_all_asking_rules_must_be_met():
    policies = policy(
        rules(
            "tools: x, effect: ask, approvers: ada",
            "tools: '*', effect: ask, approvers: ada, when: args.n == 1",
            "tools: x, effect: defer, approvers: grace, when: args.n == 1",
        )
    )
    assert [terms.approvers for terms in ask(policies, "x", {"n": 1}).terms] == [
        ("ada",),
        ("grace",),
    ]
    assert [terms.approvers for terms in ask(policies, "x", {"n": 2}).terms] == [("ada",)]


# Results


def test_results_are_allowed_unless_a_rule_says_otherwise():
    policies = policy(
        rules(
            "tools: x, effect: deny",
            "tools: x, on: result, effect: deny, when: result.secret",
            "tools: x, on: result, effect: allow,"
            " obligations: [{redact: [result.rows]}, {label: pii}]",
        )
    )
    fine = ask(policies, "x", outcome=Outcome(status="ok", result={"secret": False}))
    assert (fine.effect, fine.phase, reasons(fine)) == (Effect.ALLOW, Phase.RESULT, ["r2"])
    assert [duty.kind for duty in fine.obligations] == ["redact", "label"]
    withheld = ask(policies, "x", outcome=Outcome(status="ok", result={"secret": True}))
    assert (withheld.effect, withheld.obligations) == (Effect.DENY, ())
    assert reasons(ask(policies, "y", outcome=OK)) == ["default"]
    assert ask(policies, "y", outcome=OK).effect is Effect.ALLOW
    assert ask(policies, "x").effect is Effect.DENY


def test_a_result_that_cannot_be_judged_is_withheld():
    policies = policy(
        rules(
            "tools: x, on: result, effect: allow, when: context.ticket == 'T'",
            "tools: y, on: result, effect: allow, when: result.n > 1",
        )
    )
    missing = ask(policies, "x", outcome=OK)
    assert (missing.effect, reasons(missing)) == (Effect.DENY, ["missing-fact"])
    wrong = ask(policies, "y", outcome=OK)
    assert (wrong.effect, reasons(wrong)) == (Effect.DENY, ["rule-error"])


def test_a_result_rule_sees_the_findings_of_both():
    policies = policy(rules("tools: x, on: result, effect: deny, when: size(findings) == 2"))
    finding = Finding(kind="secret", where="x", message="m")
    outcome = Outcome(status="ok", findings=(finding,))
    assert ask(policies, "x", outcome=outcome, findings=(finding,)).effect is Effect.DENY
    assert ask(policies, "x", outcome=outcome).effect is Effect.ALLOW


# Arguments

TYPED = """\
tools:
  - match: t
    arguments: {s: sql, n: int, x: number, b: bool, l: list, o: object, m: 'string?'}
  - {match: j, schema: {type: object, required: [n], properties: {n: {type: integer, maximum: 5}}}}
"""
GOOD = {"s": "select 1", "n": 1, "x": 1.5, "b": True, "l": [], "o": {}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"m": "text"}, None),
        ({"m": None}, None),
        ({"x": 2}, None),
        ({"extra": 1}, None),
        ({"s": ["select 1"]}, "'s' must be text, it is list"),
        ({"s": None}, "'s' must be text, it is NoneType"),
        ({"s": ...}, "'s' is missing"),
        ({"n": True}, "'n' must be a whole number"),
        ({"n": 1.0}, "'n' must be a whole number"),
        ({"x": "1"}, "'x' must be a number"),
        ({"b": 1}, "'b' must be true or false"),
        ({"l": {}}, "'l' must be a list"),
        ({"o": []}, "'o' must be an object"),
        ({"m": 3}, "'m' must be text"),
    ],
)
def test_declared_arguments(change, words):
    policies = policy(TYPED + rules("tools: t, effect: allow"))
    arguments = {k: v for k, v in {**GOOD, **change}.items() if v is not ...}
    decision = ask(policies, "t", arguments)
    if words is None:
        assert decision.effect is Effect.ALLOW, decision.reasons
    else:
        assert (decision.effect, reasons(decision)) == (Effect.DENY, ["bad-arguments"])
        assert words in decision.reasons[0].because


def test_a_declared_schema():
    policies = policy(TYPED + rules("tools: j, effect: allow"))
    assert ask(policies, "j", {"n": 5}).effect is Effect.ALLOW
    for arguments in ({"n": 6}, {"n": "x"}, {}, {"n": float("nan")}, {"n": object()}):
        assert reasons(ask(policies, "j", arguments)) == ["bad-arguments"]


def test_arguments_are_not_checked_again_for_the_result():
    policies = policy(TYPED + rules("tools: t, effect: allow"))
    assert ask(policies, "t", {}, outcome=OK).effect is Effect.ALLOW


# Probes: rules that silently do not match

NO_DROP = rules("tools: db, effect: allow", "tools: db, effect: deny, when: args.action == 'drop'")


def test_p01_a_value_in_another_case():
    for value in ("DROP", "Drop", "dRoP"):
        assert ask(policy(NO_DROP), "db", {"action": value}).effect is Effect.DENY


def test_p02_trailing_and_inner_blanks():
    for value in ("drop ", " drop", "drop\n", "\tdrop", "drop\u00a0"):
        assert ask(policy(NO_DROP), "db", {"action": value}).effect is Effect.DENY
    inner = rules(
        "tools: db, effect: allow", "tools: db, effect: deny, when: args.q == 'drop table'"
    )
    assert ask(policy(inner), "db", {"q": "drop  \n table"}).effect is Effect.DENY


def test_p03_full_width_letters():
    policies = policy(NO_DROP)
    assert ask(policies, "db", {"action": "ｄｒｏｐ"}).effect is Effect.DENY
    assert ask(policies, "ｄｂ", {"action": "drop"}).effect is Effect.DENY
    assert ask(policies, "db", {"ａｃｔｉｏｎ": "drop"}).effect is Effect.DENY


def test_p04_zero_width_characters():
    policies = policy(NO_DROP)
    assert ask(policies, "db", {"action": "dr\u200bop"}).effect is Effect.DENY
    assert reasons(ask(policies, "d\u200bb", {"action": "x"})) == ["look-alike-name"]
    assert reasons(ask(policies, "db", {"act\u200bion": "x"})) == ["look-alike-name"]


def test_p05_homoglyphs_in_tool_and_argument_names():
    has = rules(
        "tools: pay, effect: allow",
        "tools: pay, effect: deny, when: has(args.payee) && args.payee == 'eve'",
    )
    assert reasons(ask(policy(has), "pаy", {"payee": "eve"})) == ["look-alike-name"]
    assert reasons(ask(policy(has), "pay", {"pаyee": "eve"})) == ["look-alike-name"]
    assert ask(policy(has), "pay", {"payee": "еve"}).effect is Effect.DENY, "in the value"
    assert ask(policy(has), "pay", {"Payee": "eve"}).effect is Effect.DENY, "in another case"


def test_p06_a_list_or_object_where_a_string_was_expected():
    for value in (["drop"], {"action": "drop"}, [["drop"]], 1):
        assert ask(policy(NO_DROP), "db", {"action": value}).effect is Effect.DENY


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"op": "drop"}, id="p07 under another name"),
        pytest.param({"arg1": "drop"}, id="p08 as a second positional argument"),
        pytest.param({"kwargs": {"action": "drop"}}, id="p09 in kwargs"),
        pytest.param({"body": {"action": "drop"}}, id="p10 one level deeper"),
    ],
)
def test_p07_to_p10_the_argument_elsewhere(arguments):
    assert ask(policy(NO_DROP), "db", arguments).effect is Effect.DENY
    declared = "tools:\n  - {match: db, arguments: {action: string}}\n"
    assert reasons(ask(policy(declared + NO_DROP), "db", arguments)) == ["bad-arguments"]


def test_p11_the_name_of_the_tool_is_part_of_what_rules_see():
    policies = policy(rules("tools: '*', effect: allow, when: tool.name != 'drop_table'"))
    assert ask(policies, "list_tables").effect is Effect.ALLOW
    assert ask(policies, "Drop_Table").effect is Effect.DENY


@pytest.mark.parametrize(
    ("when", "arguments"),
    [
        ("!(args.n <= 5)", {"n": 9}),
        ("(args.n > 5 || args.n < -5) && args.s.contains('x')", {"n": -6, "s": "axb"}),
        ("args.s.matches('^dr.p$')", {"s": "drop"}),
        ("args.n < -10", {"n": -11}),
        ("args.s == ' or '", {"s": " or "}),
        ("args.s == 'a \"or\" b'", {"s": 'a "or" b'}),
        ("args.n == 1 ? args.s == 'x' : true", {"n": 2}),
        ("!(args.s in ['read', 'list'])", {"s": "drop"}),
    ],
)
def test_p12_operators_match_when_they_should(when, arguments):
    policies = policy(
        rules("tools: db, effect: allow", f"tools: db, effect: deny, when: {json.dumps(when)}")
    )
    decision = ask(policies, "db", arguments)
    assert reasons(decision)[0] == "r1"


@pytest.mark.parametrize(
    "when", ["not args.x", "args.a OR args.b", "args.a contains 'x'", "args.a =~ 'x'", "args.a = 1"]
)
def test_p12_operators_of_other_languages_do_not_load(when):
    with pytest.raises(PolicyError):
        policy(rules(f"tools: db, effect: deny, when: {json.dumps(when)}"))


def test_p13_an_absent_number_is_not_zero():
    policies = policy(rules("tools: pay, effect: allow, when: args.amount <= 100"))
    assert ask(policies, "pay", {"amount": 100}).effect is Effect.ALLOW
    for arguments in ({}, {"amount": None}, {"amount": "5"}, {"Amount": 5}):
        assert ask(policies, "pay", arguments).effect is Effect.DENY


def test_p14_a_rule_that_raises_does_not_allow():
    policies = policy(rules("tools: pay, effect: allow, when: 10 / args.parts > 1 || true"))
    assert ask(policies, "pay", {"parts": 0}).effect is Effect.DENY


@pytest.mark.parametrize(
    "text",
    [
        "defualt: deny\n",
        "Default: deny\n",
        "default: Deny\n",
        "rules:\n  - {id: a, tools: x, effect: block}\n",
        "rules:\n  - {id: a, tools: x, action: deny}\n",
    ],
)
def test_p15_misspelt_keys_and_words_do_not_load(text):
    with pytest.raises(PolicyError):
        policy(text + ("" if "rules" in text else rules("tools: x, effect: allow")))


def test_p16_sql_that_cannot_be_read_and_p17_a_second_statement():
    text = "tools:\n  - {match: db, arguments: {q: sql}}\n" + rules(
        "tools: db, effect: allow", "tools: db, effect: deny, when: '!sql(args.q).read_only'"
    )
    assert ask(policy(text), "db", {"q": "select 1"}).effect is Effect.ALLOW
    for query in ("SELECT 1; DROP TABLE t", "sel ect ((", ""):
        assert ask(policy(text), "db", {"q": query}).effect is Effect.DENY


# Two implementations


def loaded(document: dict[str, Any]) -> PolicySet:
    """The policy, unless it is refused for rules that change nothing, as some made-up ones are."""
    try:
        return load({"remit.yaml": json.dumps(document)})
    except PolicyError as refused:
        reach = ("already decides all its calls", "so it would never match")
        if all(any(each in fault.message for each in reach) for fault in refused.faults):
            reject()
        raise


@settings(max_examples=400, deadline=None)
@given(documents(), st.lists(requests(), min_size=1, max_size=6))
def test_the_compiled_decision_is_the_reference_decision(document, asked):
    policies = loaded(document)
    for request_, facts_ in asked:
        decision = decide(policies, request_, facts_)
        effect, found, duties = reference(document, request_, facts_)
        assert decision.effect.value == effect
        assert {(reason.rule, reason.effect.value) for reason in decision.reasons} == found
        assert {(d.kind, d.target, repr(d.value)) for d in decision.obligations} == duties
        assert decide(policies, request_, facts_) == decision


@settings(max_examples=100, deadline=None)
@given(documents(), st.lists(requests(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_rules_never_matters(document, asked, chance: random.Random):
    shuffled = {**document, "rules": chance.sample(document["rules"], len(document["rules"]))}
    one, other = loaded(document), loaded(shuffled)
    for request_, facts_ in asked:
        first, second = decide(one, request_, facts_), decide(other, request_, facts_)
        assert first.effect is second.effect
        assert {reason.rule for reason in first.reasons} == {r.rule for r in second.reasons}
        assert first.obligations == second.obligations
        assert first.terms == second.terms
