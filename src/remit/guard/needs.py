"""What policy wants to know of a tool's calls, worked out once for each tool."""

from __future__ import annotations

from typing import NamedTuple

from remit import text
from remit.inspection.inspector import TextInspector
from remit.model import Admission, Phase
from remit.policy import PolicySet

_MAX_TOOLS = 1024
_MAX_NAME = 256


class ToolNeed(NamedTuple):
    """What an edge has to do for calls of one tool."""

    paths: bool
    """Rules look at real paths: the edge resolves them."""
    result_rules: bool
    """Rules look at the result: one that is no JSON must not be shown."""
    labels: bool
    """The result puts labels on the session."""
    arguments: TextInspector | None
    """What looks into the arguments; None: nothing does."""
    results: TextInspector | None
    """What looks into the result; None: nothing does."""


class ToolNeeds:
    """The needs of all tools under one policy. May be shared by threads."""

    def __init__(self, policies: PolicySet) -> None:
        self.policies = policies
        self._known: dict[str, ToolNeed] = {}

    def of(self, tool: str) -> ToolNeed:
        """What calls of ``tool`` need."""
        need = self._known.get(tool)
        if need is None:
            need = self._worked_out(tool)
            if len(self._known) >= _MAX_TOOLS:
                self._known.clear()
            if len(tool) <= _MAX_NAME:
                self._known[tool] = need
        return need

    def looks_at_result(self, tool: str, admission: Admission) -> bool:
        """Whether what an admitted call returns has to pass policy, or labels the session."""
        need = self.of(tool)
        return (
            need.result_rules
            or need.labels
            or need.results is not None
            or any(
                obligation.kind == "label" or obligation.target.partition(".")[0] == "result"
                for obligation in admission.decision.obligations
            )
        )

    def _worked_out(self, tool: str) -> ToolNeed:
        policies = self.policies
        name, declared = text.name(tool), policies.tool(tool)
        return ToolNeed(
            paths=policies.needs_paths(tool),
            result_rules=any(
                rule.phase is Phase.RESULT and rule.concerns_tool(name, declared)
                for rule in policies.rules
            ),
            labels=bool(declared.returns),
            arguments=policies.inspections.arguments(tool),
            results=policies.inspections.results(tool),
        )
