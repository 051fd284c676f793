"""Rehearsal: a real governor over a store of its own decides on calls that nobody makes.

For replays of incidents and for red teams: what is decided is what would be decided, and the log,
the budgets and the sessions of the deployment do not move. Deterministic: its clock ticks by
itself, and its ids count up.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from remit import canonical
from remit.governor import Governor
from remit.model import AccessRequest, Action, Admission, Finding, Outcome, Principal, Session
from remit.policy import PolicySet
from remit.storage.memory import MemoryStore

_START = 1_767_225_600_000_000_000
"""The first moment of 2026, in nanoseconds."""
_PACE = 1_000_000_000
"""Nanoseconds between two steps."""

Verdict = Literal["allow", "ask", "defer", "deny", "withheld"]


class Rehearsed(Struct, frozen=True, kw_only=True):
    """One call, as it was decided."""

    admission: Admission
    withheld: bool = False
    """It ran, and what it gave was not shown."""

    @property
    def verdict(self) -> Verdict:
        """``allow`` it ran and was shown; ``withheld`` it ran; the others: it did not run."""
        if self.admission.granted:
            return "withheld" if self.withheld else "allow"
        return self.admission.decision.effect.value

    @property
    def rules(self) -> tuple[str, ...]:
        """What decided, strictest first."""
        reasons = self.admission.decision.reasons
        return tuple(
            each.rule for each in sorted(reasons, key=lambda each: -each.effect.strictness)
        )

    @property
    def because(self) -> str:
        """What the strictest reason says."""
        reasons = self.admission.decision.reasons
        return max(reasons, key=lambda each: each.effect.strictness).because if reasons else ""


class Rehearsal:
    """One stage: sessions and calls under one policy, none of which really happens."""

    def __init__(self, policies: PolicySet) -> None:
        self._policies = policies
        self._store = MemoryStore()
        self._ticks = count(_START, _PACE)
        self._seeds = count(1)
        self._governor = Governor(policies=lambda: policies, clock=self._now, entropy=self._entropy)

    def open(
        self,
        agent: str,
        *,
        user: str | None = None,
        intent: str | None = None,
        parent: Session | None = None,
    ) -> Session:
        """Open a session; with a ``parent``, delegate from that one.

        Raises:
            InvalidRequest: it could not be opened.
        """
        principal = self._policies.principal(agent, user=user)
        above = None if parent is None else parent.id
        return self._store.write(lambda t: self._governor.open_session(t, principal, intent, above))

    def call(
        self,
        session: Session,
        action: Action,
        arguments: Mapping[str, Any],
        *,
        result: Any = None,
        findings: tuple[Finding, ...] = (),
        approver: str = "",
    ) -> Rehearsed:
        """Have a call decided; where it is granted, it gives ``result``.

        Args:
            session: from ``open``.
            action: the tool.
            arguments: JSON, every argument by name.
            result: what the tool would give.
            findings: what an edge's detectors would have seen.
            approver: a person who approves it once, if it is held.

        Raises:
            InvalidRequest: the call is malformed.
            ApprovalError: the person may not approve it.
        """
        request = AccessRequest(
            principal=session.principal,
            session=session.id,
            action=action,
            arguments=canonical.check(dict(arguments), "args"),
            findings=findings,
        )
        admission = self._admitted(request, approver)
        if not admission.granted:
            return Rehearsed(admission=admission)
        if admission.arguments is not None:
            request = replace(request, arguments=admission.arguments)
        outcome = Outcome(status="ok", result=canonical.check(result, "result"), duration=1)
        settlement = self._store.write(
            lambda t: self._governor.settle(t, admission.id, request, outcome)
        )
        return Rehearsed(admission=admission, withheld=settlement.withheld)

    def _admitted(self, request: AccessRequest, approver: str) -> Admission:
        admission = self._store.write(lambda t: self._governor.admit(t, request))
        held = admission.approval
        if admission.granted or held is None or not approver:
            return admission
        person: Principal = self._policies.person(approver)
        self._store.write(lambda t: self._governor.approve(t, held, person, "seen"))
        return self._store.write(lambda t: self._governor.admit(t, request))

    def _now(self) -> int:
        return next(self._ticks)

    def _entropy(self, size: int) -> bytes:
        return next(self._seeds).to_bytes(size, "big")
