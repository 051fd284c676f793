"""What conditions see of one decision, for one agent of the chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remit import text
from remit.model import AccessRequest, Facts, Principal
from remit.policy.catalogue import Tool
from remit.policy.evaluate import Scope, ToolFacts


def scope_of(
    agent: Principal,
    tool: Tool,
    constants: Mapping[str, Any],
    request: AccessRequest,
    facts: Facts,
) -> Scope:
    """The scope in which the rules are evaluated that concern ``agent``."""
    outcome = facts.outcome
    findings = request.findings if outcome is None else (*request.findings, *outcome.findings)
    return Scope(
        agent=agent,
        user=request.principal.user,
        session=facts.session,
        tool=ToolFacts(
            name=text.name(request.action.name),
            does=tuple(each.value for each in tool.does),
            declared=tool.declared,
        ),
        now=facts.now,
        args=request.arguments,
        context=request.context,
        outcome=outcome,
        result=None if outcome is None else outcome.result,
        findings=findings,
        resolved=request.resolved,
        constants=constants,
    )
