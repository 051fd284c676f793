"""What conditions see of one decision, for one agent of the chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remit import text
from remit.model import AccessRequest, Facts, Finding, Principal
from remit.policy.catalogue import Tool
from remit.policy.evaluate import Scope
from remit.policy.origins import ToolFacts, controls_of


def scope_of(
    agent: Principal,
    tool: Tool,
    constants: Mapping[str, Any],
    request: AccessRequest,
    facts: Facts,
) -> Scope:
    """The scope in which the rules are evaluated that concern ``agent``."""
    outcome = facts.outcome
    return Scope(
        agent=agent,
        user=request.principal.user,
        session=facts.session,
        tool=tool_facts(tool, request),
        controls=controls_of(tool, request),
        provenance=facts.provenance,
        now=facts.now,
        args=request.arguments,
        context=request.context,
        outcome=outcome,
        result=None if outcome is None else outcome.result,
        findings=findings_of(request, facts),
        resolved=request.resolved,
        budget=facts.remaining,
        constants=constants,
    )


def tool_facts(tool: Tool, request: AccessRequest) -> ToolFacts:
    """What conditions see as ``tool``: the name in the form in which names are compared."""
    return ToolFacts(
        name=text.name(request.action.name),
        does=tuple(each.value for each in tool.does),
        declared=tool.declared,
    )


def findings_of(request: AccessRequest, facts: Facts) -> tuple[Finding, ...]:
    """What detectors saw in the request and, once there is one, in its outcome."""
    if facts.outcome is None:
        return request.findings
    return (*request.findings, *facts.outcome.findings)
