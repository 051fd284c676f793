"""Replaying an incident: each of its calls is decided by a real governor over a real store.

Where a call is granted, the trace says what the tool gave, and the session has seen it from then
on; where it is refused, the hijacked agent goes on with the next call.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from remit.incidents.case import CallTrace, Incident, IncidentCall
from remit.model import Action, Finding, Session
from remit.policy import PolicySet, load
from remit.rehearsal import Rehearsal, Rehearsed


class Played(Struct, frozen=True, kw_only=True):
    """One call of a trace, as it was decided; repeated ones as the last was."""

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
        attack=tuple(_played(policies, incident.attack)),
        twin=tuple(_played(policies, incident.twin)),
    )


def _played(policies: PolicySet, trace: CallTrace) -> Iterator[Played]:
    stage = Rehearsal(policies)
    sessions: dict[str, Session] = {}
    for name, opening in trace.sessions.items():
        sessions[name] = stage.open(
            opening.agent,
            user=opening.user,
            intent=opening.intent,
            parent=None if opening.parent is None else sessions[opening.parent],
        )
    for step in trace.steps:
        ran, decided = _made(stage, sessions[step.session], step)
        yield Played(
            step=step,
            effect=decided.verdict,
            rules=decided.rules,
            because=decided.because,
            ran=ran,
        )


def _made(stage: Rehearsal, session: Session, step: IncidentCall) -> tuple[int, Rehearsed]:
    """Make a call as often as the trace says, until it is stopped: how often it ran."""
    found = tuple(Finding(kind=kind, where="args", message=kind) for kind in step.findings)
    ran = 0
    while True:
        decided = stage.call(
            session,
            Action(name=step.call, kind=step.kind),
            step.args,
            result=step.result,
            findings=found,
            approver=step.approve,
        )
        ran += decided.admission.granted
        if decided.verdict != "allow" or ran == step.repeat:
            return ran, decided
