"""``explain``: why a request is decided as it is, and what would have to be otherwise.

This is the slow way to a decision: every rule that speaks of the tool is walked by the reference
evaluator, and the values that it read are kept. The decision comes out the same as that of
``decide``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from remit import canonical, text
from remit.errors import InvalidArgument
from remit.model import (
    AccessRequest,
    Decision,
    Effect,
    Facts,
    Location,
    Obligation,
    Phase,
    Principal,
    Reason,
)
from remit.policy.arguments import Expected
from remit.policy.catalogue import Tool
from remit.policy.comparison import ConditionError, MissingFact
from remit.policy.dialects import in_dialect
from remit.policy.evaluate import Scope, Trace, trace, value_of
from remit.policy.policyset import PolicySet
from remit.policy.render import render
from remit.policy.rules import Rule, acting
from remit.policy.ruling import FailedRule
from remit.policy.scope import scope_of
from remit.policy.syntax import Logic, Node


class Seen(Struct, frozen=True):
    """A part of a condition as written, and its value as short printable text."""

    text: str
    value: str


class MatchedRule(Struct, frozen=True, kw_only=True):
    """A rule that counted, for one agent of the chain, and what made it count.

    ``error`` is set where the rule could not be evaluated, which counts too.
    """

    rule: str
    effect: Effect
    at: Location
    agent: str
    after: tuple[str, ...] = ()
    condition: str | None = None
    values: tuple[Seen, ...] = ()
    error: str | None = None


class NearMiss(Struct, frozen=True, kw_only=True):
    """A rule that speaks of the tool but did not match, and the first thing that kept it from it.

    ``missing`` says which kind of thing: a part of the condition (``condition``), a label of the
    session (``after``), or who acts (``principal``). ``wanted`` is that part as written.
    """

    rule: str
    effect: Effect
    at: Location
    agent: str
    missing: Literal["condition", "after", "principal"]
    wanted: str
    values: tuple[Seen, ...] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """A decision with everything that led to it."""

    tool: str
    decision: Decision
    matched: tuple[MatchedRule, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    to_allow: tuple[str, ...] = ()
    """What would have to be otherwise for the request to be allowed, one sentence each."""

    def refusal(self) -> str:
        """What to tell an agent whose request was not allowed: what, why and what to do next."""
        return refusal(self.tool, self.decision)


def refusal(tool: str, decision: Decision) -> str:
    """The text of a refusal, for a model and for a person. Needs nothing but the decision."""
    name = render(tool)
    told = {
        Effect.ALLOW: f"{name} is allowed.",
        Effect.ASK: f"{name} was not run: a person must approve it first.",
        Effect.DEFER: f"{name} was not run: it waits for a fact or a person.",
        Effect.DENY: f"{name} was not run: it is not allowed.",
    }
    lines = [told[decision.effect]]
    if decision.phase is Phase.RESULT and decision.effect is Effect.DENY:
        lines = [f"{name} was run, but its result may not be shown."]
    for reason in decision.reasons:
        if reason.effect is decision.effect:
            place = "" if reason.at is None else f" ({reason.at})"
            because = f": {reason.because}" if reason.because else ""
            lines.append(f"- {reason.rule}{place}{because}")
            if reason.instead:
                lines.append(f"  What to do next: {reason.instead}")
    return "\n".join(lines)


def explain(policies: PolicySet, request: AccessRequest, facts: Facts) -> Explanation:
    """Decide like ``decide`` and say why, with the values that mattered. Pure, and slow."""
    return _Explainer(policies, request, facts).explanation()


class _Explainer:
    def __init__(self, policies: PolicySet, request: AccessRequest, facts: Facts) -> None:
        self._policies = policies
        self._request = request
        self._facts = facts
        self._phase = Phase.CALL if facts.outcome is None else Phase.RESULT
        self._decided: dict[int, Rule] = {}
        self._failed: dict[int, FailedRule] = {}
        self._obligations: list[Obligation] = []
        self._matched: list[MatchedRule] = []
        self._near: list[NearMiss] = []

    def explanation(self) -> Explanation:
        decision = self._refused() or self._decision()
        return Explanation(
            tool=self._request.action.name,
            decision=decision,
            matched=tuple(self._matched),
            near_misses=tuple(self._near),
            to_allow=tuple(dict.fromkeys(self._to_allow(decision))),
        )

    def _refused(self) -> Decision | None:
        """The decision where it falls before any rule is looked at."""
        setting = self._policies.setting(self._phase)
        name = self._request.action.name
        reason = self._policies.refused_identity(self._request.principal, name)
        if reason is None and self._phase is Phase.CALL:
            fault = Expected(self._policies.tool(name)).refused(self._request.arguments)
            reason = None if fault is None else fault.reason
        return None if reason is None else setting.refusal(reason)

    def _decision(self) -> Decision:
        """The decision by walking all rules."""
        name = text.name(self._request.action.name)
        tool = self._policies.tool(name)
        uncovered = False
        user = self._request.principal.user
        for agent in acting(self._request.principal):
            scope = scope_of(agent, tool, self._policies.constants, self._request, self._facts)
            covered = False
            for rule in self._policies.rules:
                if rule.phase is self._phase and rule.concerns_tool(name, tool):
                    if not rule.concerns_principal(agent, None if user is None else user.id):
                        self._miss(rule, agent, "principal", _principals(rule))
                    elif self._counts(rule, agent, scope, tool):
                        covered = True
            uncovered = uncovered or not covered
        return self._policies.setting(self._phase).decision(
            tuple(self._decided.values()),
            tuple(self._failed.values()),
            self._obligations,
            uncovered=uncovered,
        )

    def _counts(self, rule: Rule, agent: Principal, scope: Scope, tool: Tool) -> bool:
        """Whether a rule that concerns the agent matches, or fails, which counts as well."""
        for label in rule.after:
            if label not in self._facts.session.labels:
                self._miss(rule, agent, "after", f"after: {label}")
                return False
        found = Trace(True, None, ())
        if rule.condition is not None:
            node = in_dialect(rule.condition.node, tool)
            found = trace(node, scope, rule.restricts)
            if found.value is False:
                part, part_found = _first_false(node, scope, rule.restricts)
                self._miss(rule, agent, "condition", part.text, part_found)
                return False
        error = found.error or self._oblige(rule, scope, tool)
        if error is None:
            self._decided[rule.order] = rule
        else:
            self._failed[rule.order] = FailedRule(rule, error)
        self._matched.append(
            MatchedRule(
                rule=rule.id,
                effect=rule.effect,
                at=rule.at,
                agent=agent.id,
                after=rule.after,
                condition=None if rule.condition is None else rule.condition.node.text,
                values=_seen(found),
                error=None if error is None else str(getattr(error, "message", error)),
            )
        )
        return True

    def _oblige(self, rule: Rule, scope: Scope, tool: Tool) -> Exception | None:
        """Note the obligations of a rule; the error if one of their values cannot be had."""
        obligations = []
        for duty in rule.duties:
            value = duty.value
            if duty.expression is not None:
                try:
                    node = in_dialect(duty.expression.node, tool)
                    value = canonical.check(value_of(node, scope))
                except (ConditionError, MissingFact, InvalidArgument) as error:
                    return error
            obligations.append(duty.bound(rule.id, value))
        self._obligations += obligations
        return None

    def _miss(
        self,
        rule: Rule,
        agent: Principal,
        missing: Literal["condition", "after", "principal"],
        wanted: str,
        found: Trace | None = None,
    ) -> None:
        self._near.append(
            NearMiss(
                rule=rule.id,
                effect=rule.effect,
                at=rule.at,
                agent=agent.id,
                missing=missing,
                wanted=wanted,
                values=() if found is None else _seen(found),
            )
        )

    def _to_allow(self, decision: Decision) -> Iterator[str]:
        if decision.effect is Effect.ALLOW:
            return
        for reason in decision.reasons:
            if reason.rule == "default":
                yield from self._grants()
            elif reason.effect is not Effect.ALLOW:
                yield self._without(reason)

    def _grants(self) -> Iterator[str]:
        """What the rules would need that could have granted the request."""
        granting = [miss for miss in self._near if miss.effect is not Effect.DENY]
        for miss in granting:
            yield (
                f"The rule {miss.rule!r} at {miss.at} would {miss.effect.value} it for "
                f"{miss.agent!r} if this held: {miss.wanted}{_values(miss.values)}"
            )
        if not granting:
            yield f"No rule speaks for {render(self._request.action.name)}: add one."

    def _without(self, reason: Reason) -> str:
        """What would have to change for a reason not to stop the request."""
        match = next((match for match in self._matched if match.at == reason.at), None)
        if match is None:
            return reason.instead
        rule = f"the rule {match.rule!r} at {match.at}"
        if match.error is not None:
            return f"For {rule} to be evaluated, this must be put right: {match.error}"
        if match.condition is None:
            session = f" of a session that has seen: {', '.join(match.after)}"
            calls = f"every such call{session if match.after else ''}"
            without = f"{rule[0].upper()}{rule[1:]} stops {calls}; it would have to change"
        else:
            without = f"For {rule} not to match, this must not hold: {match.condition}"
            without += _values(match.values)
        return without if reason.effect is Effect.DENY else f"A person approves it. Or: {without}"


def _first_false(node: Node, scope: Scope, restricts: bool) -> tuple[Node, Trace]:
    """The first part of a condition that is false; the whole, unless it is a chain of ``&&``."""
    if isinstance(node, Logic) and node.operator == "&&":
        parts = ((part, trace(part, scope, restricts)) for part in node.operands)
        part = next(part for part, found in parts if found.value is False)
        return _first_false(part, scope, restricts)
    return node, trace(node, scope, restricts)


def _seen(found: Trace) -> tuple[Seen, ...]:
    return tuple(Seen(part, value) for part, value in found.seen)


def _values(values: tuple[Seen, ...]) -> str:
    if not values:
        return ""
    return " [" + ", ".join(f"{seen.text} = {seen.value}" for seen in values) + "]"


def _principals(rule: Rule) -> str:
    """Whom a rule speaks of, in words."""
    chosen = {
        "agents": rule.agents,
        "roles": rule.roles,
        "teams": rule.teams,
        "users": rule.users,
    }
    return ", ".join(f"{key}: {' or '.join(words)}" for key, words in chosen.items() if words)


__all__ = ["Explanation", "MatchedRule", "NearMiss", "Seen", "explain", "refusal"]
