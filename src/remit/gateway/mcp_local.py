"""Who acts through a gate of this process: one agent, in one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remit import remits
from remit.errors import ConfigError
from remit.guard import Guard, SessionScope
from remit.guard.calls import Caller
from remit.policy import PolicySet


class SessionSubject:
    """The agent of one session of a guard (``GateSubject``)."""

    def __init__(self, guard: Guard, scope: SessionScope) -> None:
        self._guard = guard
        self._scope = scope

    async def caller(self, context: Mapping[str, Any]) -> Caller:
        """Who calls: the session's agent."""
        scope = self._scope
        return Caller(
            session=scope.id,
            principal=scope.principal,
            context={**scope.context, **context},
            trace=scope.trace,
        )

    async def visible(self, actions: Sequence[str]) -> frozenset[str]:
        """What the agent may see. Where policy is with a server, all: calls are decided there."""
        policies = self._policies()
        if policies is None:
            return frozenset(actions)
        principal = policies.principal(self._scope.agent, user=self._scope.user)
        narrowed = self._scope.remits
        return frozenset(
            each
            for each in actions
            if policies.visible(principal, each) and remits.shows(narrowed, each, policies)
        )

    def _policies(self) -> PolicySet | None:
        try:
            return self._guard.policies
        except ConfigError:
            return None
