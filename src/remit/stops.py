"""The stop switch: what is stopped, what a stop covers, and how a call is told of it. Pure.

A stop is a row that every admission reads in its own transaction, so it holds for the next call of
every process on the store. It is no rule: policy is not asked, no mode and no approval lifts it.
It only ever keeps calls from starting; what runs already is settled like everything else.

Names are compared generously (``text.fold``): a stop that catches one spelling too many does less
harm than one that misses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NewType, TypeAlias

from msgspec import Struct

from remit import text
from remit.errors import InvalidRequest
from remit.model import Effect, Principal, Reason, SessionId

StopId = NewType("StopId", str)
Scope: TypeAlias = Literal["agent", "session", "tool", "all"]

MAX_STOPS = 1_000
"""Stops in force at a time: every call is held against each of them."""
MAX_VALUE = 200
"""Characters of a name or pattern."""
MAX_REASON = 1_000
"""Characters that are kept of what a person gives as the reason."""


class Stop(Struct, frozen=True, kw_only=True):
    """One stop in force.

    ``agent``: ``value`` is an id anywhere in the chain of who acts on whose behalf. ``session``: a
    session and every session delegated from it. ``tool``: a name, or a pattern with ``*``.
    ``all``: every call; ``value`` is empty.
    """

    id: StopId
    scope: Scope
    value: str
    reason: str
    by: str
    at: int
    """When, nanoseconds since the Unix epoch."""


class FirstRefusal(Struct, frozen=True, kw_only=True):
    """The first call that a stop refused."""

    position: int
    """Of its record."""
    after: int
    """Nanoseconds from the stop to the refusal, by the times of their records."""
    session: str
    tool: str


class Subject(Struct, frozen=True, kw_only=True):
    """What a stop is held against: who acts, in which session, with which tool."""

    principal: Principal
    sessions: Collection[SessionId]
    """The session, and those that it was delegated from."""
    tool: str


def start(
    stop_id: StopId,
    scope: Scope,
    value: str,
    *,
    by: Principal,
    now: int,
    reason: str,
    standing: Sequence[Stop] = (),
) -> Stop:
    """A new stop.

    Args:
        stop_id: its id, which is not in use.
        scope: what ``value`` names.
        value: empty for the scope ``all``.
        by: who stops.
        now: nanoseconds since the epoch.
        reason: why, for the refusals and for the record.
        standing: the stops in force already.

    Raises:
        InvalidRequest: it would cover nothing, or there are too many.
    """
    require_person_or_service(by)
    if scope == "all":
        if value:
            raise InvalidRequest("a stop of everything names nothing else; leave the value out")
    elif not text.fold(value) or len(value) > MAX_VALUE or not value.isprintable():
        raise InvalidRequest(f"name the {scope} to stop, in 1 to {MAX_VALUE} printable characters")
    if len(standing) >= MAX_STOPS:
        raise InvalidRequest(
            f"{MAX_STOPS} stops are in force; resume some, or stop everything with the scope 'all'"
        )
    return Stop(id=stop_id, scope=scope, value=value, reason=reason[:MAX_REASON], by=by.id, at=now)


def require_person_or_service(by: Principal) -> None:
    """Refuse an agent at the switch.

    Raises:
        InvalidRequest: ``by`` is an agent.
    """
    if by.kind == "agent":
        raise InvalidRequest("an agent cannot stop or resume; ask a person")


def covers(stop: Stop, subject: Subject) -> bool:
    """Whether the stop holds for a call."""
    if stop.scope == "all":
        return True
    wanted = text.fold(stop.value)
    if stop.scope == "agent":
        return any(text.fold(link.id) == wanted for link in subject.principal.chain())
    if stop.scope == "session":
        return stop.value in subject.sessions
    return text.matches(text.name(stop.value), text.name(subject.tool)) or text.matches(
        wanted, text.fold(subject.tool)
    )


def find(standing: Iterable[Stop], subject: Subject) -> Stop | None:
    """The first stop that covers a call, or None."""
    return next((stop for stop in standing if covers(stop, subject)), None)


def named(standing: Iterable[Stop], scope: Scope, value: str) -> list[Stop]:
    """The stops of exactly this scope and name, however it is spelt."""
    wanted = text.fold(value)
    return [stop for stop in standing if stop.scope == scope and wanted == text.fold(stop.value)]


def described(stop: Stop) -> str:
    """What is stopped, in words."""
    return "everything" if stop.scope == "all" else f"{stop.scope} {stop.value}"


def refusal(stop: Stop) -> Reason:
    """Why a call does not run: who stopped what, why, and how it goes on."""
    why = f": {stop.reason}" if stop.reason else ""
    return Reason(
        rule="stopped",
        effect=Effect.DENY,
        because=f"{stop.by} stopped {described(stop)}{why}.",
        instead="Do nothing more and wait; asking again or another way does not help. An admin "
        f"lets it go on with: remit resume {stop.id}",
    )
