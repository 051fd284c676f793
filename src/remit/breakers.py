"""Runaway agents: calls that repeat, go in circles or get nowhere, agents that multiply. Pure.

A session keeps a short trail of the calls that were let through: a digest of tool and arguments, a
digest of the result, the time. A breaker of the policy says what in it is too much. Nothing here
knows values, only whether two are the same; the trail is bounded, and kept only where some breaker
reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from remit import text
from remit.model import ApprovalTerms, Effect, Location, Session, SessionId, TrailStep

MAX_CYCLE = 4
"""Calls in a circle that is still seen as one."""
MAX_COUNT = 50
"""The most repeats or stalls that a breaker can wait for."""
MAX_CHILDREN = 200
"""The most delegated sessions that a breaker can count."""
MAX_TOOL = 200
"""Characters of a tool's name that are kept."""

Sight: TypeAlias = Literal["repeats", "stalls", "children", "depth", "burn"]

_LOOKS_BACK = 4
_SECOND = 1_000_000_000
_DIGITS = 16


class Breaker(Struct, frozen=True, kw_only=True):
    """One entry of ``breakers:``: what a session may not do on and on."""

    id: str
    sees: Sight
    """Calls that repeat, alone or in circles; calls whose result stays the same; delegated
    sessions; depth of delegation; a budget that is used up too fast."""
    count: int
    """How often is too often; of ``children`` and ``depth`` how many are allowed."""
    effect: Effect
    """``ALLOW`` only says so in the record and to who is notified."""
    within: int = 0
    """Nanoseconds in which it counts; of ``depth`` and ``burn`` without meaning."""
    stops: bool = False
    """Whether the session is stopped as well."""
    tools: tuple[str, ...] = ("*",)
    """Patterns of the tools whose calls count."""
    exempt: tuple[str, ...] = ()
    """Patterns of the tools whose calls do not, such as those that are made to be repeated."""
    budget: str | None = None
    """Of ``burn``: id of the budget."""
    terms: ApprovalTerms | None = None
    because: str = ""
    instead: str = ""
    at: Location | None = None


class Trip(Struct, frozen=True, kw_only=True):
    """A breaker that a call trips, and what it saw."""

    breaker: Breaker
    saw: str
    """A sentence for people and models. It names tools, no values."""
    brief: str
    """The same in a few words, for the record."""


def fingerprint(session_id: SessionId, kind: str, content: bytes) -> str:
    """By what a session knows a call or a result again: 16 hex digits.

    Args:
        session_id: fingerprints of two sessions cannot be compared.
        kind: the tool of a call, the status of a result.
        content: canonical JSON of its arguments, or of the result.
    """
    head = f"{len(session_id)} {session_id} {len(kind)} {kind} ".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + content).hexdigest()[:_DIGITS]


def call_step(session_id: SessionId, tool: str, arguments: bytes, now: int) -> TrailStep:
    """A call as a step of a trail."""
    name = text.name(tool)
    call = fingerprint(session_id, name, arguments)
    return TrailStep(call=call, tool=name[:MAX_TOOL], at=now)


def memory(breakers: Iterable[Breaker]) -> int:
    """How many steps a trail keeps for these breakers."""
    return max((_steps(each) for each in breakers), default=0)


def _steps(breaker: Breaker) -> int:
    if breaker.sees == "repeats":
        return breaker.count * MAX_CYCLE
    return breaker.count * _LOOKS_BACK if breaker.sees == "stalls" else 0


def tripped(
    breakers: Iterable[Breaker], session: Session, step: TrailStep, now: int
) -> tuple[Trip, ...]:
    """The breakers that one more call trips, in their order.

    Args:
        breakers: of the policy in force.
        session: with its trail.
        step: the call, which is not in the trail yet.
        now: nanoseconds since the Unix epoch.
    """
    found = (_trip(each, session, step, now) for each in breakers if concerns(each, step.tool))
    return tuple(trip for trip in found if trip is not None)


def concerns(breaker: Breaker, tool: str) -> bool:
    """Whether the calls of a tool count, by its name as ``text.name`` gives it."""
    return any(text.matches(each, tool) for each in breaker.tools) and not any(
        text.matches(each, tool) for each in breaker.exempt
    )


def noted(session: Session, step: TrailStep, keep: int) -> Session:
    """The session with one more step, and no more than ``keep`` of them."""
    if keep <= 0:
        return replace(session, trail=()) if session.trail else session
    return replace(session, trail=(*session.trail[-keep + 1 :], step) if keep > 1 else (step,))


def returned(session: Session, call: str, result: str) -> Session:
    """The session with the result of a call in its trail; unchanged when the call is not in it.

    Args:
        session: with its trail.
        call: fingerprint of the call. Of several that run at a time the oldest is answered first.
        result: fingerprint of the result.
    """
    for index, step in enumerate(session.trail):
        if step.call == call and not step.result:
            answered = replace(step, result=result)
            trail = (*session.trail[:index], answered, *session.trail[index + 1 :])
            return replace(session, trail=trail)
    return session


def delegated(
    parent: Session, child: Session, breakers: Iterable[Breaker], now: int
) -> tuple[Session, Session]:
    """Parent and child after the parent has delegated to the child.

    The child keeps the breakers that it was one too many for: none of its calls gets past them.
    """
    counting = [each for each in breakers if each.sees == "children"]
    if not counting:
        return parent, child
    opened = (*parent.delegated, now)[-(max(each.count for each in counting) + 1) :]
    crowded = {each.id: len(_since(opened, each, now)) for each in counting}
    over = {each.id: crowded[each.id] for each in counting if crowded[each.id] > each.count}
    return replace(parent, delegated=opened), replace(child, crowded=over)


def forgotten(session: Session) -> Session:
    """The session without what only breakers read: for one that has ended."""
    if not session.trail and not session.delegated:
        return session
    return replace(session, trail=(), delegated=())


def _trip(breaker: Breaker, session: Session, step: TrailStep, now: int) -> Trip | None:
    if breaker.sees == "depth":
        return _deep(breaker, session)
    if breaker.sees == "children":
        return _crowded(breaker, session)
    if breaker.sees not in ("repeats", "stalls"):
        return None
    since = now - breaker.within
    steps = [each for each in session.trail if each.at > since and concerns(breaker, each.tool)]
    if breaker.sees == "stalls":
        return _stall(breaker, steps, step, now)
    return _cycle(breaker, [*steps, step], now)


def _cycle(breaker: Breaker, steps: Sequence[TrailStep], now: int) -> Trip | None:
    """The shortest circle that has come round ``count`` times, this call being its last."""
    for period in range(1, MAX_CYCLE + 1):
        length = period * breaker.count
        if length > len(steps):
            return None
        last = steps[-length:]
        if all(last[at].call == last[at - period].call for at in range(period, length)):
            return _circle(breaker, last, period, now)
    return None


def _circle(breaker: Breaker, steps: Sequence[TrailStep], period: int, now: int) -> Trip:
    took = _seconds(now - steps[0].at)
    tools = ", ".join(step.tool for step in steps[:period])
    if period == 1:
        saw = (
            f"{tools} is called with the same arguments for the {_th(breaker.count)} time in a row"
        )
    else:
        saw = f"The same {period} calls ({tools}) come in turn for the {_th(breaker.count)} time"
    brief = f"{period} calls, {breaker.count} times, {took}"
    return Trip(breaker=breaker, saw=f"{saw}, within {took}.", brief=brief)


def _stall(breaker: Breaker, steps: Sequence[TrailStep], step: TrailStep, now: int) -> Trip | None:
    """The same call, whose newest ``count`` results were all the same."""
    same = [each for each in steps if each.call == step.call and each.result][-breaker.count :]
    if len(same) < breaker.count or len({each.result for each in same}) > 1:
        return None
    took = _seconds(now - same[0].at)
    saw = (
        f"{step.tool} was called with the same arguments {breaker.count} times within {took} and "
        "each time gave the same result."
    )
    return Trip(breaker=breaker, saw=saw, brief=f"same result, {breaker.count} times, {took}")


def _deep(breaker: Breaker, session: Session) -> Trip | None:
    if session.depth <= breaker.count:
        return None
    saw = f"The session is delegated {session.depth} deep; {breaker.count} is allowed."
    return Trip(breaker=breaker, saw=saw, brief=f"{session.depth} deep")


def _crowded(breaker: Breaker, session: Session) -> Trip | None:
    number = session.crowded.get(breaker.id)
    if number is None or number <= breaker.count:
        return None
    saw = (
        f"The session is one of more than {breaker.count} that its parent delegated within "
        f"{_seconds(breaker.within)}."
    )
    return Trip(breaker=breaker, saw=saw, brief=f"{number} delegated sessions")


def _since(opened: Sequence[int], breaker: Breaker, now: int) -> list[int]:
    return [at for at in opened if at > now - breaker.within]


def _seconds(nanoseconds: int) -> str:
    return f"{-(-max(0, nanoseconds) // _SECOND)} s"


def _th(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
