"""The plan for a principal and a tool: which compiled program decides, found once and kept.

What depends only on the principal and the tool is worked out once and kept in bounded caches; tool
names come from outside, so nothing is kept for a long name, and all names that fit the same rules
share one compiled program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from remit import text
from remit.model import (
    AccessRequest,
    Decision,
    Effect,
    Facts,
    Mode,
    Phase,
    Principal,
    Reason,
    Revision,
)
from remit.policy.balances import asked
from remit.policy.catalogue import Catalogue, Tool
from remit.policy.compile import Program, compile_program
from remit.policy.origins import ORIGINS
from remit.policy.rules import Rule, acting
from remit.policy.ruling import Setting

MAX_PLANS = 4096
"""Most pairs of principal and tool name whose plan is kept."""
MAX_NAME = 200
"""Longest tool name for which anything is kept."""

Plan: TypeAlias = "Program | Decision"
"""What to run for a principal and a tool, or the decision where that does not depend on more."""


class Planner:
    """Finds and keeps the plan for each principal and tool of one policy set."""

    __slots__ = (
        "_asks",
        "_balances",
        "_constants",
        "_exact",
        "_paths",
        "_programs",
        "_tracks",
        "_wild",
        "calls",
        "catalogue",
        "results",
    )

    def __init__(
        self, rules: tuple[Rule, ...], catalogue: Catalogue, constants: Mapping[str, Any]
    ) -> None:
        self.catalogue = catalogue
        self.calls: dict[tuple[Principal, str], Plan] = {}
        self.results: dict[tuple[Principal, str], Plan] = {}
        self._constants = constants
        self._programs: dict[object, Program] = {}
        self._balances: dict[str, tuple[str, ...]] = {}
        self._asks = any(asked(rule.conditions()) for rule in rules)
        self._paths: dict[str, bool] = {}
        self._tracks = any(
            not condition.mentions.readers.isdisjoint(ORIGINS)
            for rule in rules
            for condition in rule.conditions()
        )
        self._wild: list[Rule] = []
        self._exact: dict[str, list[Rule]] = {}
        for rule in rules:
            if any("*" in pattern for pattern in rule.tools):
                self._wild.append(rule)
            else:
                for pattern in rule.tools:
                    self._exact.setdefault(pattern, []).append(rule)

    def rules_for(self, name: str, tool: Tool, phase: Phase) -> tuple[Rule, ...]:
        """The rules of a phase that concern the tool with that normalised name, in order."""
        candidates = (*self._exact.get(name, ()), *self._wild)
        found = [rule for rule in candidates if rule.phase is phase]
        return tuple(
            sorted(
                (rule for rule in found if rule.concerns_tool(name, tool)),
                key=lambda rule: rule.order,
            )
        )

    @property
    def tracks(self) -> bool:
        """Whether some rule asks where a value is from, so that sessions must remember."""
        return self._tracks

    def needs_paths(self, tool_name: str) -> bool:
        """Whether some rule on the tool uses ``path()``; kept for the next time."""
        found = self._paths.get(tool_name)
        if found is None:
            name = text.name(tool_name)
            tool = self.catalogue.tool(name)
            found = any(
                "path" in condition.mentions.readers
                for phase in Phase
                for rule in self.rules_for(name, tool, phase)
                for condition in rule.conditions()
            )
            if len(tool_name) <= MAX_NAME:
                if len(self._paths) >= MAX_PLANS:
                    self._paths.clear()
                self._paths[tool_name] = found
        return found

    def balances(self, tool_name: str) -> tuple[str, ...]:
        """Ids of the budgets that some rule on the tool asks for; kept for the next time."""
        if not self._asks:
            return ()
        found = self._balances.get(tool_name)
        if found is None:
            name = text.name(tool_name)
            tool = self.catalogue.tool(name)
            rules = [rule for phase in Phase for rule in self.rules_for(name, tool, phase)]
            found = asked(condition for rule in rules for condition in rule.conditions())
            if len(tool_name) <= MAX_NAME:
                if len(self._balances) >= MAX_PLANS:
                    self._balances.clear()
                self._balances[tool_name] = found
        return found

    def links(
        self, principal: Principal, name: str, tool: Tool, phase: Phase
    ) -> tuple[tuple[Rule, ...], ...]:
        """For each agent of the chain, the rules that concern the tool and the agent."""
        rules = self.rules_for(name, tool, phase)
        user = principal.user
        user_id = None if user is None else user.id
        return tuple(
            tuple(rule for rule in rules if rule.concerns_principal(agent, user_id))
            for agent in acting(principal)
        )

    def plan(self, principal: Principal, tool_name: str, setting: Setting) -> Plan:
        """The plan for a principal and a tool, kept for the next time."""
        plan = self._plan(principal, tool_name, setting)
        if len(tool_name) <= MAX_NAME:
            kept = self.calls if setting.phase is Phase.CALL else self.results
            if len(kept) >= MAX_PLANS:
                kept.clear()
            kept[principal, tool_name] = plan
        return plan

    def _plan(self, principal: Principal, tool_name: str, setting: Setting) -> Plan:
        refusal = refused_identity(principal, tool_name, self.catalogue)
        if refusal is not None:
            return setting.refusal(refusal)
        name = text.name(tool_name)
        tool = self.catalogue.tool(name)
        links = self.links(principal, name, tool, setting.phase)
        chain = tuple(principal.chain())
        hops = tuple(chain.index(agent) for agent in acting(principal))
        orders = tuple(tuple(rule.order for rule in link) for link in links)
        key = (setting.phase, tool.pattern, tool.declared, hops, orders)
        program = self._programs.get(key)
        if program is None:
            program = compile_program(tool, links, hops, setting, self._constants)
            if len(self._programs) >= MAX_PLANS:
                self._programs.clear()
            self._programs[key] = program
        return program


def refused_identity(principal: Principal, tool_name: str, catalogue: Catalogue) -> Reason | None:
    """Why a principal or a tool name is refused before any rule is looked at."""
    for agent in acting(principal):
        if agent.known == "unknown":
            return Reason(
                rule="unknown-agent",
                effect=Effect.DENY,
                because=f"{agent.id[:MAX_NAME]!a} is neither declared in the policy nor "
                "authenticated, so it has no rights.",
                instead="A person can declare it under agents: in the policy.",
            )
    if text.looks_alike(tool_name) and not catalogue.names_exactly(text.name(tool_name)):
        return Reason(
            rule="look-alike-name",
            effect=Effect.DENY,
            because=f"The tool name {tool_name[:MAX_NAME]!a} could be mistaken for "
            f"{text.fold(tool_name)[:MAX_NAME]!a}.",
            instead="Use the tool by its plain name.",
        )
    return None


class Decider:
    """The two settings of a policy set and its planner: everything that ``decide`` needs."""

    __slots__ = ("call", "planner", "result")

    def __init__(
        self, planner: Planner, *, revision: Revision, mode: Mode, default: Effect
    ) -> None:
        self.planner = planner
        self.call = Setting(revision=revision, mode=mode, phase=Phase.CALL, default=default)
        self.result = Setting(
            revision=revision, mode=mode, phase=Phase.RESULT, default=Effect.ALLOW
        )

    def decide(self, request: AccessRequest, facts: Facts) -> Decision:
        """The decision on a call, or on its result if the facts hold an outcome."""
        key = (request.principal, request.action.name)
        if facts.outcome is None:
            plan = self.planner.calls.get(key) or self.planner.plan(*key, self.call)
        else:
            plan = self.planner.results.get(key) or self.planner.plan(*key, self.result)
        if isinstance(plan, Decision):
            return plan
        answer = plan.run(request, facts)
        if type(answer) is int:
            decision = plan.decisions.get(answer)
            if decision is not None:
                return decision
        return plan.decide(answer)
