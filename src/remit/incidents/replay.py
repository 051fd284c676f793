"""Replaying an incident: each of its calls is decided by a real governor over a real store.

Where a call is granted, the trace says what the tool gave, and the session has seen it from then
on; where it is refused, the hijacked agent goes on with the next call.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from remit import canonical
from remit.governor import Governor
from remit.incidents.case import CallTrace, Incident, IncidentCall, Opening
from remit.model import (
    AccessRequest,
    Action,
    Admission,
    Finding,
    Outcome,
    Principal,
    Session,
)
from remit.policy import PolicySet, load
from remit.storage.memory import MemoryStore

_START = 1_767_225_600_000_000_000
"""The first moment of 2026, in nanoseconds."""
_PACE = 1_000_000_000
"""Nanoseconds between two calls."""


class Played(Struct, frozen=True, kw_only=True):
    """One call of a trace, as it was decided."""

    step: IncidentCall
    effect: str
    """``allow``, ``ask``, ``defer``, ``deny``, or ``withheld``: it ran and was not shown."""
    rules: tuple[str, ...]
    """What decided, strictest first."""
    because: str
    ran: int
    """How many times it ran."""

    @property
    def met(self) -> bool:
        """Whether it ended as the trace says it must."""
        step = self.step
        fits = self.effect == step.expect and (not step.rule or step.rule in self.rules)
        return fits and (step.at_most == 0 or self.ran <= step.at_most)

    @property
    def stopped(self) -> bool:
        """Whether it did not run, or its result was not shown."""
        return self.effect != "allow" and not self.step.approve


class Replayed(Struct, frozen=True, kw_only=True):
    """An incident and its twin, as they were decided."""

    incident: Incident
    attack: tuple[Played, ...]
    twin: tuple[Played, ...]

    @property
    def ok(self) -> bool:
        """Whether everything ended as it must: the attack stopped, the twin not."""
        stopped = any(each.stopped for each in self.attack)
        passed = not any(each.stopped for each in self.twin)
        return stopped and passed and all(each.met for each in (*self.attack, *self.twin))


def replay(incident: Incident) -> Replayed:
    """Decide on every call of an incident and of its twin.

    Raises:
        PolicyError: the policy of the incident is faulty.
    """
    policies = load(incident.documents())
    return Replayed(
        incident=incident,
        attack=_Stage(policies, incident.attack).play(),
        twin=_Stage(policies, incident.twin).play(),
    )


class _Stage:
    """A governor, a store and a clock for one trace."""

    def __init__(self, policies: PolicySet, trace: CallTrace) -> None:
        self._policies = policies
        self._trace = trace
        self._store = MemoryStore()
        self._ticks = count(_START, _PACE)
        self._seeds = count(1)
        self._governor = Governor(policies=lambda: policies, clock=self._now, entropy=self._entropy)
        self._sessions: dict[str, Session] = {}

    def play(self) -> tuple[Played, ...]:
        for name, opening in self._trace.sessions.items():
            self._sessions[name] = self._open(opening)
        return tuple(self._played(step) for step in self._trace.steps)

    def _now(self) -> int:
        return next(self._ticks)

    def _entropy(self, size: int) -> bytes:
        return next(self._seeds).to_bytes(size, "big")

    def _open(self, opening: Opening) -> Session:
        principal = self._policies.principal(opening.agent, user=opening.user)
        parent = None if opening.parent is None else self._sessions[opening.parent].id
        return self._store.write(
            lambda t: self._governor.open_session(t, principal, opening.intent, parent)
        )

    def _played(self, step: IncidentCall) -> Played:
        ran = 0
        for _ in range(step.repeat):
            request = self._request(step)
            admission = self._admitted(request, step)
            if not admission.granted:
                return _told(step, admission, ran)
            ran += 1
            if admission.arguments is not None:
                request = replace(request, arguments=admission.arguments)
            if self._withheld(step, request, admission):
                return _told(step, admission, ran, "withheld")
        return _told(step, admission, ran)

    def _request(self, step: IncidentCall) -> AccessRequest:
        session = self._sessions[step.session]
        found = tuple(Finding(kind=kind, where="args", message=kind) for kind in step.findings)
        return AccessRequest(
            principal=session.principal,
            session=session.id,
            action=Action(name=step.call, kind=step.kind),
            arguments=canonical.check(step.args, "args"),
            findings=found,
        )

    def _admitted(self, request: AccessRequest, step: IncidentCall) -> Admission:
        admission = self._store.write(lambda t: self._governor.admit(t, request))
        held = admission.approval
        if admission.granted or held is None or not step.approve:
            return admission
        person: Principal = self._policies.person(step.approve)
        self._store.write(lambda t: self._governor.approve(t, held, person, "seen"))
        return self._store.write(lambda t: self._governor.admit(t, request))

    def _withheld(self, step: IncidentCall, request: AccessRequest, admission: Admission) -> bool:
        result: Any = canonical.check(step.result, "result")
        outcome = Outcome(status="ok", result=result, duration=1)
        settlement = self._store.write(
            lambda t: self._governor.settle(t, admission.id, request, outcome)
        )
        return settlement.withheld


def _told(step: IncidentCall, admission: Admission, ran: int, effect: str = "") -> Played:
    decision = admission.decision
    shown = "allow" if admission.granted else decision.effect.value
    reasons = sorted(decision.reasons, key=lambda each: -each.effect.strictness)
    return Played(
        step=step,
        effect=effect or shown,
        rules=tuple(each.rule for each in reasons),
        because=reasons[0].because if reasons else "",
        ran=ran,
    )
