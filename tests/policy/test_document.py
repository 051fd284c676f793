"""Loading documents: what is refused, with its place and a suggestion; what is accepted."""

from __future__ import annotations

import json

import jsonschema_rs
import msgspec
import pytest
import yaml as pyyaml
from deciding import HEAD, ask, fault_at, faults, policy

from remit.errors import PolicyError
from remit.model import Does, Effect, Mode, Principal, RateLimit
from remit.policy import load, yaml
from remit.policy.document import PolicyDocument
from remit.policy.schema import document_schema

TOOLS = """\
tools:
  - {match: db.query, does: write, arguments: {query: sql, limit: 'int?'}}
  - {match: ["web.*"], does: read, returns: [untrusted]}
"""
ALLOW = "rules:\n  - {id: reading, tools: db.query, effect: allow}\n"

DESIGN = """\
remit: 1
default: deny
define: {company: '@corp.com'}
agents:
  inventory-bot: {roles: [inventory-reader], team: warehouse}
people:
  grace: {roles: [security-team]}
tools:                                   # what a tool does, by name pattern
  - {match: ["db.query"],    does: write, arguments: {query: sql}}
  - {match: ["web.*"],       does: read,  returns: [untrusted]}
  - match: ["send_email"]
    does: send
    sends: {to: args.recipients, what: [args.subject, args.body]}
    cost: {usd: 0.001}
  - {match: ["http.*", "slack.*"], does: send}
rules:
  - id: reader-tools                     # what this role may do at all
    roles: [inventory-reader]
    tools: ["db.query", "web.*", send_email]
    effect: allow
  - id: no-destructive-sql
    tools: ["db.*"]
    when: sql(args.query).destructive
    effect: deny
    because: Destructive SQL on this database goes through a migration.
  - id: external-email
    tools: [send_email]
    when: '!args.recipients.all(r, r.endsWith(company))'
    effect: ask
    approvers: [security-team]
  - id: no-send-after-untrusted
    tools: [send_email, "http.*", "slack.*"]
    after: untrusted                     # the session has read untrusted data ...
    when: 'flows(args, untrusted)'       # ... and this call carries it
    effect: deny
budgets:
  - {id: warehouse-day, by: team, limit: {usd: 50, tokens: 2000000, calls: 5000}, per: day}
  - {id: burst, by: agent, limit: {calls: 100}, per: minute}
"""


def test_the_document_of_the_design_loads():
    policies = load({"remit.yaml": DESIGN})
    assert policies.warnings == ()
    assert policies.mode is Mode.ENFORCE
    assert [limit.id for limit in policies.rate_limits] == ["burst"]
    assert [budget.id for budget in policies.budgets] == ["warehouse-day"]
    assert policies.tool("DB.Query").does == (Does.WRITE,)
    assert policies.tool("web.fetch").returns == ("untrusted",)
    assert policies.tool("send_email").sends_to == ("args.recipients",)
    assert policies.tool("send_email").sends_what == ("args.subject", "args.body")
    unknown = policies.tool("rm")
    assert (unknown.declared, unknown.does, unknown.returns) == (
        False,
        (Does.ADMIN,),
        ("untrusted",),
    )


# Fields and types


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("«defualt»: deny\n" + ALLOW, "unknown key 'defualt'", "Did you mean 'default'?"),
        ("«Default»: deny\n" + ALLOW, "unknown key 'Default'", "Did you mean 'default'?"),
        ("«zzz»: deny\n" + ALLOW, "unknown key 'zzz'", "The keys here are: remit, default"),
        ("default: «denied»\n" + ALLOW, "'denied' is not one of", "Did you mean 'deny'?"),
        ("mode: «audit»\n" + ALLOW, "'audit' is not one of", "One of: enforce, shadow."),
        ("mode: «3»\n" + ALLOW, "expected one of enforce, shadow, found the number 3", None),
        ("accept-open-default: «1»\n" + ALLOW, "expected true or false", "Write true or false."),
        ("tools: «x»\n", "expected a list, found text", None),
        ("tools:«»\n" + ALLOW, "expected a list, found nothing", None),
        ("define: «[1]»\n" + ALLOW, "expected a map, found a list", None),
        (
            "tools:\n  - {match: x, does: «wriet»}\n" + ALLOW.replace("db.query", "x"),
            "'wriet' is not one of",
            "Did you mean 'write'?",
        ),
        (
            "tools:\n  - {match: x, does: [read, «Read»]}\n" + ALLOW.replace("db.query", "x"),
            "'Read' is not one of",
            "Did you mean 'read'?",
        ),
        (
            "tools:\n  - {match: x, arguments: {q: «sqll»}}\n" + ALLOW.replace("db.query", "x"),
            "has not the right form",
            "One of: string int",
        ),
        ("rules:\n  - {id: a, tools: x, effect: «Allow»}\n", "'Allow' is not", "Did you mean"),
        ("rules:\n  - {id: a, tools: x, effect: «[allow]»}\n", "found a list", None),
        ("rules:\n  - {id: a, tools: x, effect: allow, on: «calls»}\n", "'calls'", "'call'"),
        ("rules:\n  - {id: a, tools: x, effect: allow, «When»: 'true'}\n", "'When'", "'when'"),
        (
            "rules:\n  - {id: a, tools: x, effect: ask, «self_approval»: true}\n",
            "unknown key",
            "'self-approval'",
        ),
        (
            "rules:\n  - {id: a, tools: x, effect: ask, self-approval: «'true'»}\n",
            "expected true or false, found text",
            "Write true or false.",
        ),
        ("rules:\n  - {id: a, tools: x, effect: ask, expires: «30 minutes»}\n", "form", "30m"),
        ("rules:\n  - {id: a, tools: x, effect: ask, expires: «30»}\n", "expected text", "'30'"),
        ("rules:\n  - {id: a, tools: x, effect: ask, quorum: «0»}\n", "0 is less than 1", None),
        ("rules:\n  - {id: a, tools: x, effect: ask, quorum: «101»}\n", "101 is more", None),
        ("rules:\n  - {id: a, tools: x, effect: ask, quorum: «1.5»}\n", "whole number", None),
        ("rules:\n  - {id: a, tools: «[]», effect: allow}\n", "an empty list never", "Leave"),
        ("rules:\n  - {id: a, tools: [«''»], effect: allow}\n", "an empty word", None),
        ("rules:\n  - {id: a, tools: [«7»], effect: allow}\n", "found the number 7", "'7'"),
        ("rules:\n  - {id: a, tools: x, effect: allow, roles: «true»}\n", "found true", "'true'"),
        ("rules:\n  - {id: a, tools: x, effect: allow, when: «{a: 1}»}\n", "found a map", None),
        ("rules:\n  - {id: «a b», tools: x, effect: allow}\n", "right form", "letters, digits"),
        ("rules:\n  - «{tools: x, effect: allow}»\n", "the key 'id' is missing", "Add id"),
        ("rules:\n  - «text»\n", "expected a map, found text", None),
        (
            ALLOW + "budgets:\n  - {id: b, by: «teem», limit: {calls: 1}, per: day}\n",
            "'teem'",
            "'team'",
        ),
        (
            ALLOW + "budgets:\n  - {id: b, by: org, limit: {calls: 1}, per: «fortnight»}\n",
            "right form",
            "Write second, minute",
        ),
        (
            "define: {" + "«" + "k" * 201 + "»: 1}\n" + ALLOW,
            "longer than 200 characters",
            None,
        ),
    ],
)
def test_wrong_fields(text, message, hint):
    fault = fault_at(text)
    assert message in fault.message
    assert hint in (fault.suggestion or "") if hint else fault.suggestion is None


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "there is no policy in this document"),
        ("# nothing\n", "there is no policy in this document"),
        ("null\n", "there is no policy in this document"),
        ("[]\n", "expected a map, found a list"),
        ("default: deny\n", "the key 'remit' is missing"),
        ("remit: 2\n", "expected one of 1, found the number 2"),
        ("remit: true\n", "expected one of 1, found true"),
        ("remit: 1\n", "there are no rules"),
        ("remit: 1\nrules: []\n", "there are no rules"),
        ("a: [\n", "not YAML"),
        ("a:\n\t- b\n", "a tab"),
    ],
)
def test_no_policy(head, message):
    found = faults("", head=head)
    assert any(message in fault.message for fault in found)


def test_no_document_at_all():
    with pytest.raises(PolicyError, match="there is no policy document"):
        load({})


def test_all_faults_come_at_once_in_the_order_of_the_document():
    found = faults(
        "defualt: deny\nrules:\n  - {id: a, tools: x, effect: Allow}\n"
        "  - {id: b, tools: x, when: args.a = 1, effect: allow}\n"
        "  - {id: b, tools: x, effect: deny, approvers: nobody}\n"
    )
    assert [fault.at.line for fault in found] == [8, 10, 11, 12]
    assert "write ==" in str(found[2]).lower()


def test_a_fault_shows_its_line_and_a_caret_of_the_right_width():
    text = str(fault_at("«defualt»: deny\n" + ALLOW))
    assert text == (
        "remit.yaml:8:1: unknown key 'defualt'\n"
        "    defualt: deny\n"
        "    ^^^^^^^\n"
        "    Did you mean 'default'?"
    )


def test_names_are_not_looked_up_while_a_section_is_broken():
    found = faults(
        "tools:\n  - {mach: db.query}\n" + ALLOW.replace("allow", "allow, roles: nobody")
    )
    assert ["mach" in fault.message or "match" in fault.message for fault in found] == [True, True]


# Conditions inside scalars


@pytest.mark.parametrize(
    "when",
    [
        "args.amount > «lmit»",
        "'args.amount > «lmit»'",
        '"args.amount > «lmit» || args.note == \\"x\\""',
        "|\n      args.amount > 1 ||\n        «lmit»\n",
        ">-\n      args.amount > 1\n      || «lmit» == 2\n",
        "args.amount > 1 ||\n      args.amount < «lmit»",
        "'args.note == ''a'' || «lmit» == 1'",
        "\"args.note == '\\u0041' || «lmit» == 1\"",
    ],
)
def test_a_fault_in_a_condition_points_into_the_scalar(when):
    fault = fault_at(
        "define: {limit: 5}\n"
        f"rules:\n  - id: a\n    tools: pay\n    effect: deny\n    when: {when}\n"
    )
    assert "lmit" in fault.message
    assert "limit" in (fault.suggestion or "")


def test_a_comment_that_cuts_a_condition_short():
    fault = fault_at(
        'rules:\n  - id: a\n    tools: pay\n    effect: deny\n    when: args.a == «"b» #c"\n'
    )
    assert "starts a comment" in (fault.suggestion or "")


def test_a_condition_that_starts_with_an_exclamation_mark():
    found = faults("rules:\n  - {id: a, tools: pay, effect: deny, when: !args.a}\n")
    assert any("must be quoted" in (fault.suggestion or "") for fault in found)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("args.a == ", "ends where a value"),
        ("args.a matches '['", "not an operator"),
        ("args.a.matches('[')", "not a pattern"),
        ("frobnicate(args.a)", "no function"),
        ("args.a and args.b", "not an operator"),
        ("1 + 1", "true or false"),
        ("'x' > 1", "string"),
        ("result == 1", "result"),
    ],
)
def test_wrong_conditions(when, message):
    found = faults(
        f"rules:\n  - id: a\n    tools: pay\n    effect: deny\n    when: {json.dumps(when)}\n"
    )
    assert message in found[0].message


def test_arguments_are_checked_against_the_declaration():
    fault = fault_at(
        TOOLS + "rules:\n  - {id: a, tools: db.query, effect: deny, when: args.«qurey» == 'x'}\n"
    )
    assert "query" in (fault.suggestion or "")
    optional = faults(
        TOOLS + "rules:\n  - {id: a, tools: db.query, effect: deny, when: args.limit > 5}\n"
    )
    assert "has(" in str(optional[0])


def test_arguments_are_checked_against_the_schema():
    schema = "{type: object, required: [to], properties: {to: {type: string}, cc: {type: array}}}"
    tools = f"tools:\n  - {{match: mail, does: send, schema: {schema}}}\n"
    rule = "rules:\n  - {{id: a, tools: mail, effect: deny, when: {}}}\n"
    assert "too" in faults(tools + rule.format("args.too == 'x'"))[0].message
    assert "has(" in str(faults(tools + rule.format("size(args.cc) > 1"))[0])
    assert policy(tools + rule.format("args.to == 'x'")).rules


def test_arguments_are_checked_against_what_the_application_knows():
    schema = {"type": "object", "required": ["to"], "properties": {"to": {"type": "string"}}}
    rule = "rules:\n  - {{id: a, tools: mail, effect: deny, when: {}}}\n"
    assert "too" in faults(rule.format("args.too == 'x'"), tools={"Mail": schema})[0].message
    assert policy(rule.format("args.to == 'x'"), tools={"Mail": schema}).rules
    missing = fault_at("rules:\n  - {id: a, tools: «mial», effect: deny}\n", tools={"mail": schema})
    assert missing.suggestion == "Did you mean 'mail'?"


def test_arguments_of_several_tools_are_what_they_agree_on():
    tools = (
        "tools:\n"
        "  - {match: a, arguments: {x: string, y: string, z: int}}\n"
        "  - {match: b, arguments: {x: string, y: 'string?', z: string}}\n"
        "  - {match: c}\n"
    )
    rule = "rules:\n  - {{id: r, tools: [{}], effect: deny, when: {}}}\n"
    assert policy(tools + rule.format("a, b", "args.x == 'q'")).rules
    assert policy(tools + rule.format("a, b", "args.z == 'q'")).rules, "of a type not known"
    assert "has(" in str(faults(tools + rule.format("a, b", "args.y == 'q'"))[0])
    assert "args" in str(faults(tools + rule.format("a, b", "args.w == 'q'"))[0])
    assert policy(tools + rule.format("a, c", "args.w == 'q'")).rules, "c takes anything"
    assert policy(tools + rule.format("'a*'", "args.w == 'q'")).rules, "so may what fits a*"


def test_a_reader_whose_parser_is_missing_is_a_fault(monkeypatch):
    from remit.policy.functions import Reader

    def fail(self):
        raise ImportError("No module named 'sqlglot'")

    monkeypatch.setattr(Reader, "load", fail)
    found = faults("rules:\n  - {id: a, tools: db, effect: deny, when: sql(args.q).destructive}\n")
    assert "the parser behind sql() is not installed" in found[0].message


# Constants


@pytest.mark.parametrize(
    ("define", "message"),
    [
        ("{«a-b»: 1}", "cannot be used as a name"),
        ("{«args»: 1}", "has a meaning of its own"),
        ("{«agent»: 1}", "has a meaning of its own"),
        ("{«true»: 1}", "has a meaning of its own"),
        ("{«flows»: 1}", None),
    ],
)
def test_names_of_constants(define, message):
    if message is None:
        assert policy(f"define: {define.replace('«', '').replace('»', '')}\n" + ALLOW).constants
    else:
        assert message in fault_at(f"define: {define}\n" + ALLOW).message


def test_constants_are_deeply_read_only():
    constants = policy("define: {a: [1, {b: [2]}]}\n" + ALLOW).constants
    assert constants == {"a": (1, {"b": (2,)})}
    with pytest.raises(TypeError):
        constants["a"][1]["b"] = 3


def test_a_constant_that_is_no_text(monkeypatch):
    # libyaml refuses the escape by itself; the reader written in Python does not.
    monkeypatch.setattr(yaml, "_LOADER", pyyaml.SafeLoader)
    fault = fault_at('define: {«a»: ["\\uD800"]}\n' + ALLOW)
    assert "a[0]: lone surrogate" in fault.message


# Names that must exist


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("roles: «workr», effect: allow", "there is no role 'workr'", "'worker'"),
        ("roles: [worker, «Worker»], effect: allow", "there is no role", "'worker'"),
        ("agents: «bott», effect: allow", "there is no agent 'bott'", "'bot'"),
        ("teams: «zzz», effect: allow", "there is no team 'zzz'", "Put one of agents:"),
        ("users: «adda», effect: allow", "there is no person 'adda'", "'ada'"),
        ("approvers: «worker», effect: ask", "there is no person, and no role", "Declare it"),
        ("after: «untrustd», effect: deny", "there is no label 'untrustd'", "'untrusted'"),
        ("when: 'flows(args, «untrustd»)', effect: deny", "untrustd", "untrusted"),
        ("effect: allow, «approvers»: ada", "approvers has no meaning with", "ask or defer"),
        ("effect: deny, «quorum»: 1", "quorum has no meaning with effect deny", "ask or defer"),
        ("effect: deny, «expires»: 1h", "expires has no meaning", "ask or defer"),
        ("effect: allow, «self-approval»: true", "self-approval has no meaning", "ask or defer"),
        ("effect: ask, quorum: «3»", "3 must approve, and 2 of the people", "Lower it"),
        ("effect: ask, approvers: [ada], quorum: «2»", "2 must approve, and 1", "Lower it"),
        ("effect: «ask», on: result", "a result cannot wait: ask", "Use deny"),
        ("effect: «defer», on: result", "a result cannot wait: defer", "Use deny"),
        ("effect: deny, «obligations»: [{redact: [args.x]}]", "no meaning with effect deny", ""),
        ("effect: allow, obligations: [«{}»]", "is one of rewrite, cap", "list item of its own"),
        (
            "effect: allow, obligations: [«{redact: args.x, label: y}»]",
            "is one of rewrite, cap",
            "list item",
        ),
        ("effect: allow, obligations: [{«rewite»: {args.x: '1'}}]", "unknown key", "'rewrite'"),
        ("effect: allow, obligations: [{cap: {«x»: 5}}]", "'x' is no place in args", "args.NAME"),
        ("effect: allow, obligations: [{cap: {«args»: 5}}]", "'args' is no place", "args.NAME"),
        ("effect: allow, obligations: [{cap: {«args..x»: 5}}]", "no place", "args.NAME"),
        ("effect: allow, obligations: [{cap: {args.x: «'5'»}}]", "a number", None),
        ("effect: allow, obligations: [{redact: [«body»]}]", "is no place in args or result", ""),
        ("effect: allow, obligations: [{rewrite: {args.x: «foo»}}]", "no variable `foo`", ""),
        (
            "effect: allow, on: result, obligations: [{redact: [«args.x»]}]",
            "the call is over",
            "result.NAME",
        ),
        (
            "effect: allow, on: result, obligations: [{cap: {«args.x»: 1}}]",
            "the call is over",
            "args.NAME",
        ),
    ],
)
def test_words_without_a_meaning(text, message, hint):
    fault = fault_at(f"rules:\n  - {{id: a, tools: x, {text}}}\n")
    assert message in fault.message
    assert (hint or "") in (fault.suggestion or "")


def test_an_expiry_and_its_terms():
    rule = policy(
        "rules:\n  - {id: a, tools: x, effect: ask, approvers: [ada, security-team], quorum: 2,"
        " expires: 30m, self-approval: true}\n"
    ).rules[0]
    assert rule.terms is not None
    assert rule.terms.approvers == ("ada", "security-team")
    assert rule.terms.quorum == 2
    assert rule.terms.expires_after == 30 * 60 * 1_000_000_000
    assert rule.terms.self_approval is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  - {id: a, tools: x, effect: allow}\n  - {id: «a», tools: y, effect: deny}\n", "taken"),
        ("  - {id: a, tools: x, effect: allow}\n  - {id: «A», tools: y, effect: deny}\n", "taken"),
        ("  - {id: «default», tools: x, effect: allow}\n", "one of Remit's own"),
        ("  - {id: «rule-error», tools: x, effect: allow}\n", "one of Remit's own"),
    ],
)
def test_ids_of_rules(text, message):
    assert message in fault_at("rules:\n" + text).message


def test_ids_of_budgets():
    budget = "  - {{id: {}, by: org, limit: {{calls: 1}}, per: day}}\n"
    text = ALLOW + "budgets:\n" + budget.format("b") + budget.format("«b»")
    assert "taken at remit.yaml:11:10" in fault_at(text).message


def test_an_id_twice_in_two_documents():
    rule = "rules:\n  - {id: a, tools: x, effect: deny}\n"
    with pytest.raises(PolicyError) as caught:
        load({"b.yaml": "remit: 1\n" + rule, "a.yaml": "remit: 1\n" + rule})
    assert str(caught.value.faults[0].at) == "b.yaml:3:10"
    assert "taken at a.yaml:3:10" in caught.value.faults[0].message


def test_people_and_agents_differ_by_more_than_case():
    for text in ("people: {«Bot»: {}}\n", "people: {«bоt»: {}}\n", "people: {«bot»: {}}\n"):
        fault = fault_at(text + ALLOW, head="remit: 1\nagents: {bot: {}}\n")
        assert "is declared already, as 'bot' at remit.yaml:2:10" in fault.message


def test_an_agent_twice_in_two_documents():
    with pytest.raises(PolicyError, match=r"b.yaml:2:10: 'bot' is declared already, as 'bot' at a"):
        load({"a.yaml": HEAD + ALLOW, "b.yaml": "remit: 1\nagents: {bot: {}}\n"})


def test_the_keys_that_all_documents_must_agree_on():
    one = HEAD + "default: deny\nmode: shadow\n" + ALLOW
    agreed = load({"a.yaml": one, "b.yaml": "remit: 1\nmode: shadow\n"})
    assert agreed.mode is Mode.SHADOW
    with pytest.raises(PolicyError, match=r"b.yaml:2:7: another document says mode: shadow"):
        load({"a.yaml": one, "b.yaml": "remit: 1\nmode: enforce\n"})
    with pytest.raises(PolicyError, match=r"b.yaml:2:14: the constant 'x' is defined already"):
        load({"a.yaml": one + "define: {x: 1}\n", "b.yaml": "remit: 1\ndefine:     {x: 2}\n"})


def test_an_open_default_must_be_accepted():
    fault = fault_at("default: «allow»\n" + ALLOW)
    assert "accept-open-default: true" in (fault.suggestion or "")
    with pytest.raises(PolicyError, match=r"b.yaml:2:10: default: allow lets through"):
        load({"a.yaml": HEAD + ALLOW, "b.yaml": "remit: 1\ndefault: allow\n"})
    assert policy("default: allow\naccept-open-default: true\n" + ALLOW.replace("allow", "deny"))
    assert policy("default: allow\nmode: shadow\n" + ALLOW).mode is Mode.SHADOW


# Tools


@pytest.mark.parametrize(
    ("tools", "message", "hint"),
    [
        ("  - {match: [db.query, «DB.Query»]}\n", "'db.query' is declared already at", "keep one"),
        ("  - {match: db.query}\n  - {match: «db.query»}\n", "declared already", "keep one"),
        ("  - {match: db.query, controls: «query»}\n", "names no argument", "args.query"),
        ("  - {match: db.query, sends: {to: [args.a, «args.»]}}\n", "names no argument", ""),
        (
            "  - {match: db.query, arguments: {to: email}, sends: {what: «args.too»}}\n",
            "there is no argument 'too'",
            "'to'",
        ),
        (
            "  - {match: db.query, arguments: {to: email}, sends: {what: «args.zzzz»}}\n",
            "there is no argument 'zzzz'",
            "Declare it",
        ),
        ("  - {match: db.query, returns: {«rows»: pii}}\n", "starts with 'result'", "result.rows"),
        ("  - {match: db.query, «schema»: {type: objekt}}\n", "not a JSON Schema", None),
        (
            "  - {match: db.query, «schema»: {properties: {a: {$ref: 'https://x.example/s'}}}}\n",
            "outside this document",
            "$defs",
        ),
        (
            "  - {match: db.query, «schema»: {anyOf: [{$dynamicRef: other.json}]}}\n",
            "outside this document",
            "$defs",
        ),
        ("  - {match: db.query, arguments: {q: «'sql:postgrez'»}}\n", "no such dialect", None),
        ("  - {match: db.query, cost: {usd: «-1»}}\n", "-1 is less than 0", None),
        ("  - {match: db.query, cost: {usd: 1, «eur»: 1}}\n", "unknown key 'eur'", "The keys here"),
    ],
)
def test_wrong_tools(tools, message, hint):
    fault = fault_at("tools:\n" + tools + ALLOW)
    assert message in fault.message
    assert (hint or "") in (fault.suggestion or "")


def test_everything_that_a_tool_may_declare():
    tool = policy(
        "tools:\n  - match: db.query\n    does: [read, send]\n"
        "    returns: {result.rows: [pii, confidential], result.note: untrusted}\n"
        "    sends: {to: args.to}\n    controls: [args.query]\n"
        "    arguments: {query: 'sql:postgres', to: email, n: 'int?'}\n"
        "    schema: {$schema: 'https://json-schema.org/draft/2020-12/schema', type: object,\n"
        "      properties: {page: {$ref: '#/$defs/p'}, size: true, mixed: {type: [string]}},\n"
        "      $defs: {p: {type: integer}}}\n"
        "    cost: {usd: 0}\n" + ALLOW
    ).tool("db.query")
    assert tool.does == (Does.READ, Does.SEND)
    assert tool.returns == ("confidential", "pii", "untrusted")
    assert tool.returns_at["result.rows"] == ("pii", "confidential")
    assert tool.controls == {"which": ("args.query",), "who": ("args.to",)}
    assert tool.known_arguments == {
        "page": "any?",
        "size": "any?",
        "mixed": "any?",
        "query": "sql:postgres",
        "to": "email",
        "n": "int?",
    }
    assert tool.at is not None
    assert tool.at.line == 9


def test_the_most_exact_declaration_counts():
    tools = (
        "tools:\n  - {match: '*', does: read}\n  - {match: 'db.*', does: write}\n"
        "  - {match: db.drop, does: delete}\n"
    )
    policies = policy(tools + ALLOW)
    assert policies.tool("db.drop").does == (Does.DELETE,)
    assert policies.tool("db.other").does == (Does.WRITE,)
    assert policies.tool("x").does == (Does.READ,)


def test_a_tool_that_is_not_in_the_catalogue():
    fault = fault_at(TOOLS + "rules:\n  - {id: a, tools: [«db.qurey», 'web.x'], effect: allow}\n")
    assert fault.message == "no declared tool fits 'db.qurey'"
    assert fault.suggestion == "Did you mean 'db.query'?"
    far = fault_at(TOOLS + "rules:\n  - {id: a, tools: «zzz», effect: allow}\n")
    assert far.suggestion == "Declare it under tools:"
    budget = fault_at(
        TOOLS
        + ALLOW
        + "budgets:\n  - {id: b, by: org, tools: «zzz», limit: {calls: 1}, per: day}\n"
    )
    assert "no declared tool fits" in budget.message


def test_a_pattern_that_fits_no_tool_is_a_warning():
    policies = policy(TOOLS + ALLOW + "  - {id: b, tools: 'dbx.*', effect: deny}\n")
    assert [str(warning.at) for warning in policies.warnings] == ["remit.yaml:13:20"]
    assert "no declared tool fits 'dbx.*'" in policies.warnings[0].message


# Rules that change nothing

RULE = "  - {{id: {}, tools: {}, effect: {}{}}}\n"


@pytest.mark.parametrize(
    ("first", "second", "which"),
    [
        ("'db.*', effect: deny", "db.query, effect: allow", "b"),
        ("'db.*', effect: deny", "db.query, effect: ask, when: args.a == 1", "b"),
        ("'db.*', effect: deny", "db.query, effect: deny, when: args.a == 1", "b"),
        ("'*', effect: deny", "'db.*', effect: defer, roles: worker", "b"),
        ("db.query, effect: allow, when: args.a == 1", "db.query, effect: allow", "a"),
        ("db.query, effect: allow", "db.query, effect: allow", "b"),
        ("db.query, effect: deny", "db.query, effect: deny", "b"),
        ("db.query, effect: ask", "db.query, effect: ask, after: untrusted", "b"),
        (
            "[x, db.query], effect: deny, roles: [worker, clerk]",
            "x, effect: allow, roles: worker",
            "b",
        ),
        ("'*', effect: deny, does: [read, send]", "'x*', effect: allow, does: read", "b"),
        ("x, effect: deny, on: result", "x, effect: allow, on: result", "b"),
    ],
)
def test_unreachable_rules(first, second, which):
    text = f"rules:\n  - {{id: a, tools: {first}}}\n  - {{id: b, tools: {second}}}\n"
    text = text.replace(f"id: {which}", f"id: «{which}»")
    fault = fault_at(text)
    assert "already decides all its calls" in fault.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("'db.*', effect: deny, when: args.a == 1", "db.query, effect: allow"),
        ("'db.*', effect: deny, after: untrusted", "db.query, effect: allow"),
        ("db.query, effect: deny", "'db.*', effect: allow"),
        ("'db.*', effect: deny, roles: worker", "db.query, effect: allow"),
        ("'db.*', effect: deny, roles: worker", "db.query, effect: allow, roles: clerk"),
        ("'db.*', effect: deny, users: ada", "db.query, effect: allow, teams: warehouse"),
        ("'db.*', effect: deny, on: result", "db.query, effect: allow"),
        ("'db.*', effect: deny, does: send", "db.query, effect: allow"),
        ("'db.*', effect: deny, does: send", "'db.q*', effect: allow, does: [send, read]"),
        ("db.query, effect: allow", "db.query, effect: allow, obligations: [{label: pii}]"),
        ("db.query, effect: ask, approvers: ada", "db.query, effect: ask, approvers: grace"),
        ("db.query, effect: ask", "db.query, effect: defer"),
        ("db.query, effect: ask", "db.query, effect: deny, when: args.a == 1"),
    ],
)
def test_reachable_rules(first, second):
    text = f"rules:\n  - {{id: a, tools: {first}}}\n  - {{id: b, tools: {second}}}\n"
    assert policy(text).warnings == ()


def test_an_allow_under_an_ask_is_a_warning():
    text = "rules:\n  - {id: a, tools: x, effect: allow}\n  - {id: b, tools: '*', effect: ask}\n"
    warning = policy(text).warnings[0]
    assert warning.at.line == 9
    assert "'b' at remit.yaml:10:10 holds all its calls" in warning.message


def test_a_deny_under_default_deny_is_no_fault():
    assert policy("default: deny\nrules:\n  - {id: a, tools: x, effect: deny}\n").warnings == ()


def test_a_rule_whose_tools_are_all_of_another_class():
    fault = fault_at(
        TOOLS + "rules:\n  - {id: «a», tools: db.query, does: [send, pay], effect: deny}\n"
    )
    assert "none of its tools is declared as send pay" in fault.message
    assert policy(TOOLS + "rules:\n  - {id: a, tools: 'db.*', does: send, effect: deny}\n")


def test_a_rule_that_nobody_can_fit_is_a_warning():
    rule = "rules:\n  - {id: a, tools: x, effect: deny, agents: bot, roles: assistant}\n"
    assert "nobody declared has all" in policy(rule).warnings[0].message
    fine = "rules:\n  - {id: a, tools: x, effect: deny, agents: bot, roles: worker, users: ada}\n"
    assert policy(fine).warnings == ()


# Budgets


def test_budgets():
    limits = policy(
        ALLOW + "budgets:\n"
        "  - {id: a, by: [team, tool], limit: {calls: 5}, per: 90s, burst: 2, tools: 'DB.*'}\n"
        "  - {id: b, by: session, limit: {calls: 7}, burst: 7, per: hour}\n"
    ).rate_limits
    second = 1_000_000_000
    assert msgspec.structs.replace(limits[0], at=None) == RateLimit(
        id="a", by=("team", "tool"), calls=5, period=90 * second, burst=2, tools=("db.*",)
    )
    assert msgspec.structs.replace(limits[1], at=None) == RateLimit(
        id="b", by=("session",), calls=7, period=3600 * second, burst=7
    )


# The JSON Schema


def test_the_schema_agrees_with_the_reader():
    validator = jsonschema_rs.validator_for(document_schema())
    assert validator.is_valid(pyyaml.safe_load(DESIGN))
    assert not validator.is_valid({"remit": 2, "rules": []})
    assert not validator.is_valid({"remit": 1, "defualt": "deny"})
    assert not validator.is_valid({"remit": 1, "rules": [{"id": "a", "effect": "Allow"}]})
    assert document_schema()["$schema"].endswith("2020-12/schema")
    described = document_schema()["$defs"]
    assert described["RuleEntry"]["properties"]["self-approval"]
    assert set(described["PolicyDocument"]["properties"]) == {
        field.encode_name for field in msgspec.structs.fields(PolicyDocument)
    }


def test_rules_are_kept_with_their_places():
    policies = load(
        {
            "b.yaml": "remit: 1\n" + ALLOW,
            "a.yaml": HEAD + "rules:\n" + RULE.format("first", "x", "allow", ""),
        }
    )
    assert [(rule.id, str(rule.at)) for rule in policies.rules] == [
        ("first", "a.yaml:9:10"),
        ("reading", "b.yaml:3:10"),
    ]
    assert ask(policies, "x").effect is Effect.ALLOW


# Roles and teams that nobody is declared with


ISSUED = "issued: {roles: [sre, oncall], teams: platform}\n"


def test_rules_may_name_what_credentials_bring():
    text = """
- {id: a, tools: t, roles: sre, effect: allow}
- {id: b, tools: u, teams: platform, effect: allow}
- {id: c, tools: v, effect: ask, approvers: oncall, quorum: 3}
"""
    policies = load({"p.yaml": f"remit: 1\n{ISSUED}rules:{text}"})
    assert not policies.warnings
    bot = Principal(id="x", roles=("sre",), team="platform", known="authenticated")
    assert policies.visible(bot, "t")
    assert policies.visible(bot, "u")
    assert not policies.visible(msgspec.structs.replace(bot, roles=("other",)), "t")


def test_what_credentials_bring_is_named_in_full():
    with pytest.raises(PolicyError, match="there is no role 'sra'"):
        load(
            {"p.yaml": f"remit: 1\n{ISSUED}rules: [{{id: a, tools: t, roles: sra, effect: deny}}]"}
        )


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        ("- {id: a, tools: x, effect: allow, obligations: [{label: l}]}", True),
        ("- {id: a, tools: x, agents: bot, effect: allow, obligations: [{label: l}]}", False),
        ("- {id: a, tools: x, on: result, effect: allow, obligations: [{label: l}]}", False),
        ("- {id: a, tools: x, effect: ask, obligations: [{label: l}]}", False),
        ("- {id: a, tools: x, effect: allow}", False),
        (
            "- {id: a, tools: x, effect: allow, obligations: [{label: l}]}\n"
            "  - {id: b, tools: '*', when: tool.declared, effect: allow}",
            False,
        ),
        (
            "- {id: a, tools: x, effect: allow, obligations: [{label: l}]}\n"
            "  - {id: b, tools: '*', does: send, effect: allow}",
            True,
        ),
        (
            "- {id: a, tools: x, does: read, effect: allow, obligations: [{label: l}]}\n"
            "  - {id: b, tools: 'y*', effect: allow}",
            True,
        ),
        (
            "- {id: a, tools: x, effect: allow, obligations: [{label: l}]}\n"
            "  - {id: b, tools: '*', after: untrusted, effect: allow}",
            True,
        ),
    ],
)
def test_an_allow_that_only_adds_an_obligation_is_warned_of(rules, warned):
    tools = "tools: [{match: x, does: read}, {match: yy, does: send}]"
    text = f"remit: 1\nagents: {{bot: {{}}}}\n{tools}\nrules:\n  {rules}\n"
    found = [each.message for each in load({"remit.yaml": text}).warnings]
    assert any("to every agent" in message for message in found) is warned, found
