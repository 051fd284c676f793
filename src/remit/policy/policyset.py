"""``PolicySet``: the policy in force, checked and ready to decide by. It cannot be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, Self

from remit import text
from remit.breakers import Breaker
from remit.budgets.limits import Budget
from remit.model import (
    AccessRequest,
    Effect,
    Fault,
    Mode,
    Phase,
    Principal,
    RateLimit,
    Reason,
    Revision,
)
from remit.policy.catalogue import Catalogue, Tool
from remit.policy.directory import Directory
from remit.policy.inspections import Inspections
from remit.policy.metering import Meter
from remit.policy.planning import Decider, refused_identity
from remit.policy.rules import Rule
from remit.policy.ruling import Setting
from remit.policy.tasks import NarrowedTask


class PolicySet:
    """All documents of one policy together. ``load`` makes it.

    Immutable: a changed policy is another ``PolicySet`` with another ``revision``.
    """

    __slots__ = (
        "_catalogue",
        "_decider",
        "_default",
        "_directory",
        "breakers",
        "bundle",
        "constants",
        "inspections",
        "meter",
        "mode",
        "revision",
        "rules",
        "tasks",
        "warnings",
    )

    _catalogue: Catalogue
    _decider: Decider
    _default: Effect
    _directory: Directory
    breakers: tuple[Breaker, ...]
    """What sessions may not do on and on, in the order of the documents."""
    bundle: bytes
    """Canonical JSON of the documents by file name; ``revision`` is its digest."""
    constants: Mapping[str, Any]
    """Values from ``define:``, deeply read-only."""
    meter: Meter
    """Limits, costs and prices."""
    inspections: Inspections
    """What is looked for in which tools' arguments and results."""
    mode: Mode
    """Whether decisions bind."""
    revision: Revision
    """``sha256:`` and the digest of ``bundle``."""
    rules: tuple[Rule, ...]
    """The rules, in the order of files and lines."""
    tasks: tuple[NarrowedTask, ...]
    """Sessions that are narrowed when they are opened, in the order of files and lines."""
    warnings: tuple[Fault, ...]
    """What looks like a mistake but may be meant."""

    # There is no __init__, because that could be called again later.
    def __new__(  # noqa: D102
        cls,
        *,
        breakers: tuple[Breaker, ...],
        bundle: bytes,
        catalogue: Catalogue,
        constants: Mapping[str, Any],
        decider: Decider,
        default: Effect,
        directory: Directory,
        meter: Meter,
        inspections: Inspections,
        mode: Mode,
        revision: Revision,
        rules: tuple[Rule, ...],
        tasks: tuple[NarrowedTask, ...] = (),
        warnings: tuple[Fault, ...],
    ) -> Self:
        self = super().__new__(cls)
        put = object.__setattr__
        put(self, "_catalogue", catalogue)
        put(self, "_decider", decider)
        put(self, "_default", default)
        put(self, "_directory", directory)
        put(self, "breakers", breakers)
        put(self, "bundle", bundle)
        put(self, "constants", constants)
        put(self, "meter", meter)
        put(self, "inspections", inspections)
        put(self, "mode", mode)
        put(self, "revision", revision)
        put(self, "rules", rules)
        put(self, "tasks", tasks)
        put(self, "warnings", warnings)
        return self

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a PolicySet cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a PolicySet cannot be changed: {name}")

    def __repr__(self) -> str:
        return f"<PolicySet {self.revision[:19]} {self.mode.value}, {len(self.rules)} rules>"

    def setting(self, phase: Phase) -> Setting:
        """What all decisions of a phase have in common."""
        return self._decider.call if phase is Phase.CALL else self._decider.result

    def refused_identity(self, principal: Principal, tool: str) -> Reason | None:
        """Why a principal or a tool name is refused before any rule is looked at."""
        return refused_identity(principal, tool, self._catalogue)

    def principal(self, agent: str, *, user: str | None = None) -> Principal:
        """An agent as the documents declare it, on behalf of a person if one is given.

        An undeclared agent is ``unknown`` and has no rights.
        """
        return self._directory.principal(agent, user)

    def person(self, person_id: str) -> Principal:
        """A person as the documents declare them. An undeclared one is ``unknown``."""
        return self._directory.person(person_id)

    @property
    def open_by_default(self) -> bool:
        """Whether what no rule speaks of is allowed."""
        return self._default is Effect.ALLOW

    @property
    def agents(self) -> Mapping[str, Principal]:
        """The agents that the documents declare, by id."""
        return self._directory.agents

    @property
    def people(self) -> Mapping[str, Principal]:
        """The people that the documents declare, by id."""
        return self._directory.people

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools that the documents declare, the most exact patterns first."""
        return self._catalogue.tools

    def tool(self, name: str) -> Tool:
        """What the documents declare of a tool; the worst class for an undeclared one."""
        return self._catalogue.tool(text.name(name))

    @property
    def tracks(self) -> bool:
        """Whether a rule or a task asks where a value is from, so that sessions must remember."""
        return self._decider.planner.tracks or any(task.remit.asked for task in self.tasks)

    def needs_paths(self, tool: str) -> bool:
        """Whether some rule on the tool uses ``path()``, so that real paths must be supplied."""
        return self._decider.planner.needs_paths(tool)

    def balances_of(self, tool: str) -> tuple[str, ...]:
        """Ids of the budgets that rules on the tool ask for, so that they must be looked up."""
        return self._decider.planner.balances(tool)

    def visible(self, principal: Principal, tool: str) -> bool:
        """Whether some call of the tool could be granted, at once or after approval.

        This is the part of the rules that does not look at arguments: it serves to filter lists
        of tools, and grants nothing. Under ``mode: shadow`` every tool is visible.
        """
        if self.mode is Mode.SHADOW:
            return True
        if self.refused_identity(principal, tool) is not None:
            return False
        name = text.name(tool)
        declared = self._catalogue.tool(name)
        links = self._decider.planner.links(principal, name, declared, Phase.CALL)
        return all(self._may_grant(rules) for rules in links)

    def _may_grant(self, rules: tuple[Rule, ...]) -> bool:
        if any(rule.effect is Effect.DENY and rule.is_unconditional for rule in rules):
            return False
        granting = any(rule.effect is not Effect.DENY for rule in rules)
        return granting or self._default is Effect.ALLOW

    @property
    def rate_limits(self) -> tuple[RateLimit, ...]:
        """Limits on call frequency, in the order of the documents."""
        return self.meter.rates

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """What counts in windows, in the order of the documents."""
        return self.meter.budgets

    @property
    def downgrades(self) -> tuple[str, ...]:
        """Models that a budget may put in the place of another."""
        return self.meter.downgrades

    def limits_for(self, request: AccessRequest) -> tuple[tuple[RateLimit, str], ...]:
        """The call limits that a request counts against, each with the key it counts under.

        A limit by agent or team counts for every agent of the chain. Calls without a user or a
        team count together, and so do calls of all tools that nobody declared.
        """
        return self.meter.rates_for(request)
