"""Rules as they are decided by: checked, normalised, with their conditions parsed.

Which rules concern a tool and a principal is worked out here, once for each tool and principal;
``compile.py`` turns what is left of them into code, ``explain.py`` walks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from remit import text
from remit.model import (
    ApprovalTerms,
    Does,
    Effect,
    Location,
    Obligation,
    Phase,
    Principal,
    Reason,
)
from remit.policy import patterns
from remit.policy.catalogue import Tool
from remit.policy.expressions import Mentions
from remit.policy.syntax import Node


class Condition(Struct, frozen=True):
    """A parsed and checked expression, and what it looks at."""

    node: Node
    mentions: Mentions


class Duty(Struct, frozen=True, kw_only=True):
    """An obligation of a rule. ``value`` is the condition that gives it, if it is not fixed."""

    kind: str
    target: str = ""
    value: Any = None
    expression: Condition | None = None

    def bound(self, rule: str, value: Any) -> Obligation:
        """The obligation with its value, as decisions carry it."""
        return Obligation(kind=self.kind, target=self.target, value=value, rule=rule)


class Rule(Struct, frozen=True, kw_only=True):
    """One rule. ``order`` counts over all documents, sorted by file name.

    Selectors are tuples of words, or None where the rule does not select by them.
    """

    order: int
    id: str
    effect: Effect
    phase: Phase
    at: Location
    tools: tuple[str, ...]
    """Patterns in the form of ``text.name``."""
    agents: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    teams: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    does: tuple[Does, ...] | None = None
    after: tuple[str, ...] = ()
    condition: Condition | None = None
    because: str = ""
    instead: str = ""
    terms: ApprovalTerms | None = None
    duties: tuple[Duty, ...] = ()

    @property
    def restricts(self) -> bool:
        """Whether a match takes something away: then it reads the world widely, else exactly."""
        return self.effect is not Effect.ALLOW

    @property
    def is_unconditional(self) -> bool:
        """Whether it matches every call of its tools by its principals."""
        return self.condition is None and not self.after

    @property
    def reason(self) -> Reason:
        """Why, when it matches."""
        return Reason(
            rule=self.id, effect=self.effect, at=self.at, because=self.because, instead=self.instead
        )

    def conditions(self) -> Iterable[Condition]:
        """Its own condition and those of its obligations."""
        if self.condition is not None:
            yield self.condition
        for duty in self.duties:
            if duty.expression is not None:
                yield duty.expression

    def concerns_tool(self, name: str, tool: Tool) -> bool:
        """Whether it speaks of the tool with that normalised name.

        ``does`` of an allow must list every class of the tool, of another effect any one. A tool
        that nobody declared has every class as far as restrictions go.
        """
        if not any(patterns.matches(pattern, name) for pattern in self.tools):
            return False
        if self.does is None:
            return True
        if not self.restricts:
            return all(each in self.does for each in tool.does)
        return not tool.declared or any(each in self.does for each in tool.does)

    def concerns_principal(self, agent: Principal, user: str | None) -> bool:
        """Whether it speaks of that agent, acting for the person with id ``user``, if any."""
        return (
            self._selects(self.agents, (agent.id,))
            and self._selects(self.roles, agent.roles)
            and self._selects(self.teams, () if agent.team is None else (agent.team,))
            and self._selects(self.users, () if user is None else (user,))
        )

    def _selects(self, wanted: tuple[str, ...] | None, found: tuple[str, ...]) -> bool:
        """Whether any word found is wanted: exactly to permit, in the wide form to restrict."""
        if wanted is None:
            return True
        if not self.restricts:
            return any(word in wanted for word in found)
        wide = {text.fold(word) for word in wanted}
        return any(text.fold(word) in wide for word in found)


def acting(principal: Principal) -> tuple[Principal, ...]:
    """Every link of a chain of delegation whose rights count.

    These are its agents and services; a person counts only where nobody acts for them.
    """
    links = tuple(principal.chain())
    return tuple(link for link in links if link.kind != "person") or links[:1]


def default_reason(effect: Effect) -> Reason:
    """Why, when no rule matches."""
    if effect is Effect.ALLOW:
        return Reason(rule="default", effect=effect, because="No rule is against it.")
    return Reason(
        rule="default",
        effect=effect,
        because="No rule allows it.",
        instead="Do without it, or ask a person to add a rule.",
    )
