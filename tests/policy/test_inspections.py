"""``inspect:`` and ``found()``: what is looked for, by whom, and what rules make of it."""

from __future__ import annotations

from typing import get_args

import pytest

from remit import policy
from remit.errors import PolicyError
from remit.inspection.signs import INSPECTABLE
from remit.inspection.words import KIND_OF
from remit.policy.document import InspectedKind

HEAD = """
remit: 1
default: deny
agents: {inventory-bot: {}}
tools:
  - {match: [send_email], does: send}
  - {match: ["web.*"], does: read}
"""


def load(rest: str) -> policy.PolicySet:
    return policy.load({"remit.yaml": HEAD + rest})


def fault(rest: str) -> str:
    with pytest.raises(PolicyError) as caught:
        load(rest)
    return str(caught.value)


RULES = """
rules:
  - {id: sending, tools: [send_email, "web.*"], effect: allow}
  - id: no-secrets
    tools: [send_email]
    when: found("secret")
    effect: deny
"""
INSPECT = """
inspect:
  - {tools: [send_email], arguments: [secret, exfiltration], hosts: ["*.corp.example"]}
  - {tools: ["web.*", send_email], arguments: secret, results: [injection, hidden-text]}
"""


def test_the_kinds_of_the_document_are_those_that_can_be_looked_for() -> None:
    assert get_args(InspectedKind) == INSPECTABLE
    assert set(INSPECTABLE) <= set(KIND_OF)


def test_nothing_is_inspected_unless_it_is_written() -> None:
    inspections = load(RULES).inspections
    assert inspections.arguments("send_email") is None
    assert inspections.results("send_email") is None


def test_a_tool_is_inspected_for_all_that_fits_it() -> None:
    loaded = load(RULES + INSPECT)
    assert loaded.warnings == ()
    arguments = loaded.inspections.arguments("Send_Email")
    assert arguments is not None
    assert arguments.kinds == {"secret", "exfiltration"}
    assert arguments.hosts == ("*.corp.example",)
    results = loaded.inspections.results("web.get")
    assert results is not None
    assert results.kinds == {"injection", "hidden-text"}
    assert loaded.inspections.arguments("other") is None


def test_a_rule_that_asks_for_what_nothing_looks_for_is_warned_of() -> None:
    [warning] = load(RULES).warnings
    assert "nothing looks for secret in the arguments of its tools" in warning.message
    assert "arguments: [secret]" in str(warning.suggestion)
    elsewhere = 'inspect: [{tools: ["web.*"], arguments: [secret]}]\n'
    assert len(load(RULES + elsewhere).warnings) == 1
    on_result = RULES.replace("when:", "on: result\n    when:")
    [warning] = load(on_result).warnings
    assert "in the results of its tools" in warning.message
    assert load(on_result + INSPECT).warnings == (), "what is seen in the call is known then too"
    assert load(RULES.replace('"secret"', '"poisoning"')).warnings != ()
    assert load(RULES.replace('"secret"', '"shadowing"')).warnings == (), "the gateway finds it"


@pytest.mark.parametrize(
    ("rest", "problem", "hint"),
    [
        ("inspect: [{tools: [send_email], arguments: [secrets]}]\n", "'secrets' is not one of",
         "Did you mean 'secret'?"),
        ("inspect: [{tools: [send_emial], arguments: [secret]}]\n", "no declared tool fits",
         "Did you mean 'send_email'?"),
        ("inspect: [{tools: [send_email]}]\n", "this entry looks for nothing", "arguments:"),
        ("inspect: [{tools: [send_email], results: []}]\n", "an empty list", "at least one"),
        ("inspect: [{tools: [send_email], result: [secret]}]\n", "unknown key 'result'", "results"),
    ],
)  # fmt: skip
def test_faults_of_the_section_are_told_with_their_place(
    rest: str, problem: str, hint: str
) -> None:
    said = fault(RULES + rest)
    assert problem in said
    assert hint in said
    assert "remit.yaml:" in said


@pytest.mark.parametrize(
    ("call", "problem", "hint"),
    [
        ('found("secrt")', "nothing that is looked for has this name", "did you mean secret?"),
        ("found(args.x)", "nothing that is looked for", 'write found("secret")'),
        ("found()", "`found` takes 1 argument, not 0", ""),
        ("fuond('secret')", "there is no function `fuond`", "did you mean found?"),
    ],
)
def test_faults_of_the_function(call: str, problem: str, hint: str) -> None:
    said = fault(RULES.replace('found("secret")', f"'{call}'" if "'" not in call else f'"{call}"'))
    assert problem in said
    assert hint.lower() in said.lower()
