"""``remit explain``: the same answer as enforcement gives, and why."""

import io
import json
import sys

import pytest

from remit import ApprovalRequired, Denied, Guard

WHO = ("--agent", "inventory-bot", "--user", "ada")


def explain(remit, tool, arguments, *more):
    return remit("explain", *WHO, "--tool", tool, "--args", json.dumps(arguments), *more)


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "effect"),
    [
        ("db.query", {"sql": "select 1"}, 0, "allow"),
        ("db.query", {"sql": "drop table stock"}, 4, "deny"),
        ("pay", {"amount": 900}, 5, "ask"),
        ("weather", {}, 4, "deny"),
        ("pay", {}, 4, "deny"),
    ],
)
def test_the_exit_code_says_the_effect(tool, arguments, code, effect, shop, remit):
    for_people = explain(remit, tool, arguments)
    assert for_people.code == code, for_people.err
    assert for_people.out.startswith(effect)
    for_programs = explain(remit, tool, arguments, "--json")
    assert (for_programs.code, for_programs.json["effect"]) == (code, effect)


def test_it_shows_the_rule_its_place_and_the_values(shop, remit):
    shown = explain(remit, "pay", {"amount": 900}).out
    for part in ("large-payment  remit.yaml:22:", "args.amount = 900", "Large payments are seen"):
        assert part in shown
    report = explain(remit, "pay", {"amount": 90}, "--json").json
    (miss,) = report["near_misses"]
    assert miss["rule"] == "large-payment"
    assert miss["values"] == [{"text": "args.amount", "value": "90"}]


def test_it_says_what_would_have_been_allowed(shop, remit):
    report = explain(remit, "pay", {"amount": 900}, "--json").json
    assert any("large-payment" in each for each in report["to_allow"])
    assert "to be allowed" in explain(remit, "pay", {"amount": 900}).out


def test_it_agrees_with_enforcement(shop, remit):
    calls = [
        ("db.query", {"sql": "select 1"}, None),
        ("db.query", {"sql": "delete from stock"}, Denied),
        ("db.query", {"sql": "not sql ("}, Denied),
        ("pay", {"amount": 101}, ApprovalRequired),
        ("pay", {"amount": "900"}, Denied),
    ]
    with (
        Guard.open(shop / "remit.yaml") as guard,
        guard.session(agent="inventory-bot", user="ada", intent="compare"),
    ):
        for tool, arguments, refusal in calls:
            code = explain(remit, tool, arguments).code
            if refusal is None:
                with guard.permit(tool, arguments):
                    assert code == 0
            else:
                with pytest.raises(refusal), guard.permit(tool, arguments):
                    pass
                assert code == (5 if refusal is ApprovalRequired else 4)


def test_labels_count(shop, remit):
    policy = shop / "remit.yaml"
    policy.write_text(
        policy.read_text()
        + "  - {id: careful, tools: [pay], after: untrusted, effect: deny, because: Careful.}\n"
    )
    assert explain(remit, "pay", {"amount": 1}).code == 0
    shown = explain(remit, "pay", {"amount": 1}, "--label", "untrusted")
    assert shown.code == 4
    assert "Careful." in shown.out


def test_a_request_from_a_file_and_from_standard_input(shop, remit, monkeypatch):
    request = {"tool": "pay", "agent": "inventory-bot", "user": "ada", "args": {"amount": 900}}
    (shop / "request.json").write_text(json.dumps(request))
    assert remit("explain", "request.json").code == 5
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(request).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert remit("explain", "-", "--json").json["effect"] == "ask"


@pytest.mark.parametrize(
    "content",
    [
        '{"tool": "x"}',
        '{"tool": "x", "agent": "a", "arg": {}}',
        '{"tool": 1, "agent": "a"}',
        '{"tool": "x", "tool": "y", "agent": "a"}',
        "[]",
        "{",
        "NaN",
        "",
    ],
)
def test_what_is_no_request_is_refused(content, shop, remit):
    (shop / "request.json").write_text(content)
    refused = remit("explain", "request.json")
    assert refused.code == 2
    assert "request.json" in refused.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tool", "x"),
        ("--agent", "x"),
        ("--tool", "x", "--agent", "a", "--args", "[1]"),
        ("--tool", "x", "--agent", "a", "--args", "{"),
        ("--tool", "x", "--agent", "a", "--args", '{"a": NaN}'),
        ("--tool", "x", "--agent", "a", "--context", "1"),
        ("request.json", "--tool", "x"),
        ("absent.json",),
    ],
)
def test_wrong_options_are_a_usage_error(arguments, shop, remit):
    (shop / "request.json").write_text("{}")
    assert remit("explain", *arguments).code == 2


def test_hostile_arguments_cannot_act_on_the_terminal(shop, remit):
    shown = explain(remit, "db.query", {"sql": "\x1b[2J\u202e drop"})
    assert shown.code == 4
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out


def test_a_decision_on_a_result(shop, remit):
    policy = shop / "remit.yaml"
    policy.write_text(
        policy.read_text() + "  - {id: withhold, tools: [db.query], on: result, effect: deny,\n"
        "     when: 'result.size() > 1', because: Too many rows.}\n"
    )
    explained = explain(remit, "db.query", {"sql": "select 1"}, "--result", "[1, 2]", "--json")
    assert explained.code == 4, explained.out
    assert explained.json["phase"] == "result"
    one = explain(remit, "db.query", {"sql": "select 1"}, "--result", "[1]")
    assert one.code == 0, one.out


def test_a_faulty_policy_is_shown_as_check_shows_it(shop, remit):
    (shop / "remit.yaml").write_text("remit: 1\ndefualt: deny\n")
    refused = explain(remit, "pay", {})
    assert refused.code == 1
    assert "^^^^^^^" in refused.err
    assert explain(remit, "pay", {}, "--json").json["error"]["faults"][0]["line"] == 2


TASK = """
remit: 1
agents: {inventory-bot: {}}
tools:
  - {match: find, does: read}
  - {match: send_mail, does: send, controls: {who: [args.to]}}
rules:
  - {id: acts, tools: "*", when: tool.declared, effect: allow}
  - {id: named, tools: send_mail, when: '!from_user(controls.who)', effect: ask}
tasks:
  - {id: reports, intent: "report*", remit: {does: read}}
"""


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (["--intent", "Write to ada@corp.example"], 0, "allow"),
        (["--intent", "Write to grace@corp.example"], 5, "named"),
        (["--intent", "Report to ada@corp.example"], 4, "narrowed to its task (policy: reports)"),
        (
            ["--intent", "Write to ada@corp.example", "--remit", '{"only": {"who": ["x@*"]}}'],
            4,
            "'ada@corp.example' is not who it concerns",
        ),
        (["--remit", "{}"], 2, "narrows something"),
        (["--remit", '{"does": "read"}'], 2, "Write JSON such as"),
    ],
)
def test_what_a_task_stops_is_explained(remit, tmp_path, monkeypatch, more, code, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(TASK)
    call = ["--agent", "inventory-bot", "--tool", "send_mail", "--args"]
    explained = remit("explain", *call, '{"to": "ada@corp.example"}', *more)
    assert explained.code == code, explained.out + explained.err
    assert told in explained.out + explained.err


def test_a_result_is_explained_whatever_the_task_is(remit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(TASK)
    call = ["--agent", "inventory-bot", "--tool", "send_mail", "--remit", '{"does": ["read"]}']
    assert remit("explain", *call, "--result", '"sent"').code == 0
