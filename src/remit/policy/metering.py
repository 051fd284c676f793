"""What a request counts against, what it takes at most, and what it took. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from remit import text
from remit.budgets.limits import Budget, Line, Takes, line
from remit.errors import InvalidArgument
from remit.model import AccessRequest, Facts, Principal, RateLimit, Session, SessionId, Usage
from remit.policy import patterns
from remit.policy.amounts import MOST, AmountError
from remit.policy.catalogue import Catalogue
from remit.policy.comparison import ConditionError, MissingFact
from remit.policy.costs import ToolCost, charged, cost_of, most
from remit.policy.rules import acting
from remit.policy.scope import scope_of
from remit.policy.spending import ModelPrice, ReadLimits

MAX_KEPT = 1024
"""Most tool names whose limits are kept."""
MAX_NAME = 200
"""Longest name of a tool, model or the like that is kept or counted by whole."""

_MEASURED_BY_EDGE = frozenset({"usd", "tokens", "input_tokens", "output_tokens"})


_Counted: TypeAlias = tuple[Principal, str, SessionId, SessionId, str | None]
"""What decides which lines a request counts against: who, tool, session, task and model."""


class Meter:
    """The limits, costs and prices of one policy set."""

    __slots__ = ("_catalogue", "_constants", "_costs", "_kept", "_limits", "_lines", "_prices")

    def __init__(
        self,
        limits: ReadLimits,
        costs: Mapping[str, ToolCost],
        prices: tuple[ModelPrice, ...],
        catalogue: Catalogue,
        constants: Mapping[str, Any],
    ) -> None:
        self._limits = limits
        self._prices = prices
        self._costs = MappingProxyType(dict(costs))
        self._catalogue = catalogue
        self._constants = constants
        self._kept: dict[str, tuple[Budget, ...]] = {}
        self._lines: dict[_Counted, tuple[Line, ...]] = {}

    @property
    def rates(self) -> tuple[RateLimit, ...]:
        """Limits on call frequency, in the order of the documents."""
        return self._limits.rates

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """What counts in windows, in the order of the documents."""
        return self._limits.budgets

    @property
    def prices(self) -> tuple[ModelPrice, ...]:
        """What the documents say that models take, the most exact patterns first."""
        return self._prices

    @property
    def downgrades(self) -> tuple[str, ...]:
        """Models that a budget may put in the place of another."""
        named = (budget.on_exceed.model for budget in self.budgets)
        return tuple(dict.fromkeys(name for name in named if name))

    def rates_for(self, request: AccessRequest) -> tuple[tuple[RateLimit, str], ...]:
        """The limits on call frequency that a request counts against, each with its key."""
        if not self.rates:
            return ()
        name = text.name(request.action.name)
        declared = self._catalogue.tool(name).declared
        found: dict[tuple[str, str], tuple[RateLimit, str]] = {}
        for limit in self.rates:
            if any(patterns.matches(pattern, name) for pattern in limit.tools):
                for agent in acting(request.principal):
                    scope = _scope(request, agent, name if declared else "", request.session)
                    values = "/".join(_escaped(scope[by]) for by in limit.by)
                    key = f"rate/{limit.id}/{values}"
                    found[limit.id, key] = limit, key
        return tuple(found.values())

    def lines(self, request: AccessRequest, session: Session) -> tuple[Line, ...]:
        """What a request counts against, ordered by key.

        A budget by agent or team counts for every agent of the chain. Calls without a user, a team
        or a model count together, and so do calls of all tools that nobody declared.
        """
        if not self.budgets:
            return ()
        model = None if request.estimate is None else request.estimate.model
        task = session.task or session.id
        asked = (request.principal, request.action.name, request.session, task, model)
        found = self._lines.get(asked)
        if found is None:
            found = self._found(request, session)
            if max(map(len, (request.action.name, request.session, model or ""))) <= MAX_NAME:
                if len(self._lines) >= MAX_KEPT:
                    self._lines.clear()
                self._lines[asked] = found
        return found

    def _found(self, request: AccessRequest, session: Session) -> tuple[Line, ...]:
        found: dict[str, Line] = {}
        for budget in self._budgets_of(text.name(request.action.name)):
            if not _counts_model(budget, request):
                continue
            for scope in self.scopes(budget, request, session):
                for limit in budget.limits:
                    one = line(budget, limit, scope)
                    found[one.series] = one
        return tuple(found[series] for series in sorted(found))

    def scopes(
        self, budget: Budget, request: AccessRequest, session: Session
    ) -> tuple[tuple[str, ...], ...]:
        """The scopes of a budget that a request falls into: one, or more with delegation."""
        name = text.name(request.action.name)
        tool = name if self._catalogue.tool(name).declared else ""
        task = session.task or session.id
        found = []
        for agent in acting(request.principal):
            scope = _scope(request, agent, tool, task)
            found.append(tuple(scope[by] for by in budget.by))
        return tuple(dict.fromkeys(found))

    def most(self, request: AccessRequest, facts: Facts, lease: int) -> Takes:
        """The most that a request takes: what is declared of its tool, or what its edge says.

        Args:
            request: the request.
            facts: what the decision was made on.
            lease: nanoseconds after which it counts as over.

        Raises:
            AmountError: that cannot be known; the message says why.
        """
        cost = self._cost(request)
        said = Usage() if request.estimate is None else request.estimate.usage
        if not is_sound(said):
            raise AmountError("the edge's estimate is not made of whole numbers from 0 up")
        if not cost:
            return Takes(said, 1, lease // 1000, timed=False)
        try:
            declared = most(cost, self._scope_of(request, facts))
        except (AmountError, ConditionError, MissingFact, InvalidArgument) as problem:
            raise AmountError(f"the declared cost of the tool fails: {problem}") from None
        time, timed = declared.microseconds, declared.microseconds is not None
        most_used = _greater(said, declared.usage)
        return Takes(most_used, 1, lease // 1000 if time is None else time, timed=timed)

    def is_idle(self, request: AccessRequest) -> bool:
        """Whether nothing counts what a request takes: no budget, no cost, no word of its edge."""
        return not self._limits.budgets and not self._costs and request.estimate is None

    def took(self, request: AccessRequest, facts: Facts, held: Usage) -> Usage:
        """What an action took, given the outcome in ``facts`` and what was held for it.

        Nobody says what it took, or says nonsense: then that is what was held.
        """
        outcome = facts.outcome
        assert outcome is not None, "asked once there is an outcome"
        cost = self._cost(request)
        said = outcome.usage
        if said is not None and not is_sound(said):
            said = None
        if not cost:
            return held if said is None else said
        if outcome.status != "ok" and said is None:
            return held
        declared = charged(cost, self._scope_of(request, facts), held).usage
        return declared if said is None else _greater(declared, said)

    def _cost(self, request: AccessRequest) -> ToolCost:
        if not self._costs:
            return ()
        return cost_of(self._costs, self._catalogue.tool(text.name(request.action.name)))

    def _scope_of(self, request: AccessRequest, facts: Facts) -> Any:
        tool = self._catalogue.tool(text.name(request.action.name))
        return scope_of(request.principal, tool, self._constants, request, facts)

    def _budgets_of(self, name: str) -> tuple[Budget, ...]:
        """The budgets that count a tool, kept for the next time."""
        found = self._kept.get(name)
        if found is None:
            found = tuple(
                budget
                for budget in self.budgets
                if any(patterns.matches(pattern, name) for pattern in budget.tools)
            )
            if len(name) <= MAX_NAME:
                if len(self._kept) >= MAX_KEPT:
                    self._kept.clear()
                self._kept[name] = found
        return found


def is_sound(usage: Usage) -> bool:
    """Whether a usage is made of integers from 0 up that a record can hold."""
    amounts = (usage.nano_usd, usage.input_tokens, usage.output_tokens)
    return all(type(each) is int and 0 <= each <= MOST for each in amounts)


def needs_estimate(lines: tuple[Line, ...], request: AccessRequest) -> bool:
    """Whether a model is called without a word on what it takes, and a budget counts that."""
    if request.action.kind != "model" or request.estimate is not None:
        return False
    return any(line.limit.measure in _MEASURED_BY_EDGE for line in lines)


def _counts_model(budget: Budget, request: AccessRequest) -> bool:
    if budget.models is None:
        return True
    model = None if request.estimate is None else request.estimate.model
    if model is None:
        return False
    name = text.name(model)
    return any(patterns.matches(pattern, name) for pattern in budget.models)


def _scope(request: AccessRequest, agent: Principal, tool: str, task: str) -> dict[str, str]:
    user, estimate = request.principal.user, request.estimate
    model = None if estimate is None else estimate.model
    return {
        "org": "org",
        "team": agent.team or "",
        "agent": agent.id,
        "user": user.id if user else "",
        "session": request.session,
        "task": task,
        "tool": tool,
        "model": text.name(model)[:MAX_NAME] if model else "",
    }


def _greater(one: Usage, other: Usage) -> Usage:
    return Usage(
        nano_usd=max(one.nano_usd, other.nano_usd),
        input_tokens=max(one.input_tokens, other.input_tokens),
        output_tokens=max(one.output_tokens, other.output_tokens),
    )


def _escaped(word: str) -> str:
    return word.replace("%", "%25").replace("/", "%2F")


__all__ = ["Meter", "is_sound", "needs_estimate"]
