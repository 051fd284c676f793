"""Breakers within a transaction: what a call trips joins the decision on it, and its record.

What a breaker sees is in ``remit.breakers``. No I/O of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from remit import breakers, canonical, switch, text
from remit.breakers import Breaker, Sight, Trip
from remit.budgets.burning import Burn, burning, marked
from remit.budgets.cells import balance
from remit.fulfilment import Ruling
from remit.journal import Journal
from remit.model import (
    AccessRequest,
    ApprovalTerms,
    Decision,
    Effect,
    Finding,
    Mode,
    Outcome,
    Principal,
    Reason,
    Session,
    TrailStep,
)
from remit.spending import Bill
from remit.stops import MAX_STOPS

RUNAWAY = "runaway"
"""Kind of the finding that a tripped breaker leaves in the record."""
BREAKER = Principal(id="remit-breaker", kind="service", known="declared")
"""Who stops a session for a breaker."""

_INSTEAD: dict[Sight, str] = {
    "repeats": "Do not make this call again. Work with what came back, try another way, or say "
    "that you are stuck.",
    "stalls": "Do not make this call again: its result stays the same. Try another way, or say "
    "that you are stuck.",
    "children": "Do this step in the session that delegated, or wait until fewer are opened.",
    "depth": "Let the agent that asked do this step itself.",
    "burn": "Wait, or ask for the limit to be raised.",
}


class Braked(Struct, frozen=True, kw_only=True):
    """A call after the breakers have looked at it."""

    ruling: Ruling
    step: TrailStep | None = None
    """What the trail of its session is to keep of it, if it is let through."""
    keep: int = 0
    """How many steps that trail keeps."""
    trips: tuple[Trip, ...] = ()


def brake(policy: Sequence[Breaker], session: Session, ruling: Ruling, now: int) -> Braked:
    """Hold a call against the breakers of the policy. Pure; nothing changes where it has none."""
    if not policy:
        return Braked(ruling=ruling)
    tool = ruling.request.action.name
    step = breakers.call_step(session.id, tool, ruling.ran_arguments, now)
    braked = Braked(ruling=ruling, step=step, keep=breakers.memory(policy))
    return _tripped(braked, breakers.tripped(policy, session, step, now))


def burn(policy: Sequence[Breaker], braked: Braked, bill: Bill, now: int) -> tuple[Braked, Bill]:
    """Hold what a call would be charged to against the breakers of budgets. Pure.

    Returns:
        The call, and the bill with cells that keep how fast they are used up.
    """
    watched = {each.budget: each for each in policy if each.sees == "burn"}
    if not watched:
        return braked, bill
    trips: list[Trip] = []
    held = []
    for each in bill.held:
        breaker = watched.get(each.line.budget.id)
        if breaker is None:
            held.append(each)
            continue
        before, period = each.before, each.before.ends - each.before.starts
        stands = balance(before, now)
        marks = marked(before.marks, stands.spent, period, now)
        held.append(each._replace(cell=replace(each.cell, marks=marks)))
        found = burning(marks, stands.spent, stands.limit, period, now)
        tool = text.name(braked.ruling.request.action.name)
        if found is not None and each.hold.amount and breakers.concerns(breaker, tool):
            trips.append(_burn_trip(breaker, found))
    return _tripped(braked, trips), replace(bill, held=held)


def _burn_trip(breaker: Breaker, found: Burn) -> Trip:
    rate = f"{found.tenths // 10}.{found.tenths % 10}"
    saw = (
        f"Budget {breaker.budget} is being used up {rate} times as fast as would last for its "
        f"period: over the last {_time(found.long)}, and still over the last {_time(found.short)}."
    )
    return Trip(breaker=breaker, saw=saw, brief=f"{rate} times, {_time(found.long)}")


def _time(nanoseconds: int) -> str:
    """A length of time in the largest unit of which it is two or more."""
    seconds = max(1, round(nanoseconds / 1_000_000_000))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{round(seconds / size)} {unit}"
    return f"{seconds} s"


def _tripped(braked: Braked, trips: Sequence[Trip]) -> Braked:
    """The call with breakers that it trips."""
    if not trips:
        return braked
    ruling = braked.ruling
    decision = _with_trips(ruling.decision, trips)
    seen = (*ruling.seen, *(_finding(each) for each in trips))
    return replace(
        braked, ruling=replace(ruling, decision=decision, seen=seen), trips=(*braked.trips, *trips)
    )


def noted(session: Session, braked: Braked) -> Session:
    """The session after a call was let through."""
    if braked.step is None:
        return breakers.forgotten(session) if session.trail else session
    return breakers.noted(session, braked.step, braked.keep)


def stop_if_tripped(journal: Journal, session: Session, braked: Braked) -> None:
    """Stop the session, if a breaker that stops was tripped and the policy binds."""
    stopping = next((trip for trip in braked.trips if trip.breaker.stops), None)
    if stopping is None or braked.ruling.decision.mode is Mode.SHADOW:
        return
    if len(journal.t.stops()) >= MAX_STOPS:
        return  # the call is denied all the same, as every one after it
    why = f"{stopping.breaker.id}: {stopping.saw}"
    switch.set_stop(journal, "session", session.id, BREAKER, why)


def answered(session: Session, request: AccessRequest, outcome: Outcome) -> Session:
    """The session with what came of a call in its trail."""
    if not session.trail:
        return session
    arguments = canonical.encode(request.arguments)
    step = breakers.call_step(session.id, request.action.name, arguments, 0)
    sealed = outcome.error if outcome.result is None else outcome.result
    result = breakers.fingerprint(session.id, outcome.status, canonical.encode(sealed))
    return breakers.returned(session, step.call, result)


def _with_trips(decision: Decision, trips: Sequence[Trip]) -> Decision:
    """The decision, as strict as the strictest breaker, with the reasons of all."""
    reasons = tuple(_reason(trip) for trip in trips)
    strictest = max((decision.effect, *(each.effect for each in reasons)), key=_strictness)
    together = replace(decision, effect=strictest, reasons=(*reasons, *decision.reasons))
    if strictest is Effect.DENY:
        return replace(together, obligations=(), terms=())
    terms = tuple(
        trip.breaker.terms or ApprovalTerms() for trip in trips if trip.breaker.effect is Effect.ASK
    )
    return replace(together, terms=(*decision.terms, *terms))


def _strictness(effect: Effect) -> int:
    return effect.strictness


def _reason(trip: Trip) -> Reason:
    breaker = trip.breaker
    because = f"{trip.saw} {breaker.because}".rstrip()
    if breaker.stops:
        because = f"{because} The session is stopped."
    return Reason(
        rule=breaker.id,
        effect=breaker.effect,
        at=breaker.at,
        because=because,
        instead=breaker.instead or _INSTEAD[breaker.sees],
    )


def _finding(trip: Trip) -> Finding:
    return Finding(kind=RUNAWAY, where=f"{trip.breaker.id}: {trip.brief}", message=trip.saw)
