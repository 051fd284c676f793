"""The stop switch over HTTP: admins set and lift stops, and see when one took hold."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Annotated

from msgspec import Meta, Struct

from remit.api import news
from remit.api.decoding import encoded
from remit.api.frame import Call, Problem, Reply, Route
from remit.api.repeats import repeatable
from remit.approvals import Approval
from remit.credentials import Right
from remit.identity.principals import with_policy
from remit.protocols.approval_views import StopSeen, StopSet, StopView, stop_view
from remit.protocols.wire import LONGEST_WAIT
from remit.stops import MAX_REASON, MAX_VALUE, Scope, Stop, StopId
from remit.storage import Snapshot, Transaction
from remit.switch import first_refusal

_LOOK = 0.05
"""Seconds between two looks for the first refusal."""


class NewStop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to stop."""

    scope: Scope
    value: Annotated[str, Meta(max_length=MAX_VALUE)] = ""
    """An agent, a session, a tool or a pattern of tools; left out for ``all``."""
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class Resumption(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a stop is lifted."""

    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class StopPlace(Struct, frozen=True, kw_only=True):
    """Where to look for the first refusal, and how long."""

    since: Annotated[int, Meta(ge=0, le=1 << 53)]
    """``position`` of the stop."""
    wait: Annotated[float, Meta(ge=0, le=LONGEST_WAIT)] = 0
    """Seconds to wait for it."""


async def list_stops(call: Call) -> Reply:
    """The stops in force."""
    found = await call.parts.read(lambda view: view.stops())
    return Reply(body=[stop_view(each) for each in found])


async def set_stop(call: Call) -> Reply:
    """Stop something, from the next call on."""
    asked: NewStop = call.body
    parts, again = call.parts, repeatable(call)
    by = with_policy(call.identity.principal, parts.policies.current)
    closed: list[Approval] = []

    def work(t: Transaction) -> bytes:
        closed.clear()
        answered = again.found(t)
        if answered is None:
            effect = parts.governor.stop(t, asked.scope, asked.value, by, asked.reason)
            closed.extend(effect.closed)
            answered = encoded(
                StopSet(
                    stop=stop_view(effect.stop),
                    position=effect.position,
                    closed=tuple(each.id for each in effect.closed),
                )
            )
            again.keep(t, answered)
        return answered

    answered = await parts.write(work)
    news.tell(parts.changes, *closed)
    parts.changes.announce(news.STOPS)
    return Reply(body=answered)


async def show_refusal(call: Call) -> Reply:
    """The first call that a stop refused, if need be once there is one."""
    asked: StopPlace = call.query
    parts, wanted = call.parts, StopId(call.params["id"])
    stop = _there(await parts.read(lambda view: _found(view, wanted)))
    deadline, since = monotonic() + asked.wait, asked.since
    while True:
        refusal, since = await parts.read(partial(first_refusal, stop=stop, since=since))
        left = deadline - monotonic()
        if refusal is not None or left <= 0 or parts.changes.draining:
            return Reply(body=StopSeen(stop=stop_view(stop), first_refusal=refusal))
        await parts.changes.wait(wanted, min(_LOOK, left))


async def resume(call: Call) -> Reply:
    """Lift a stop."""
    asked: Resumption = call.body or Resumption()
    parts, again, wanted = call.parts, repeatable(call), StopId(call.params["id"])
    by = with_policy(call.identity.principal, parts.policies.current)

    def work(t: Transaction) -> bytes:
        answered = again.found(t)
        if answered is None:
            _there(_found(t, wanted))
            answered = encoded(stop_view(parts.governor.resume(t, wanted, by, asked.reason)))
            again.keep(t, answered)
        return answered

    answered = await parts.write(work)
    parts.changes.announce(news.STOPS)
    return Reply(body=answered)


def _found(view: Snapshot, wanted: StopId) -> Stop | None:
    return next((each for each in view.stops() if each.id == wanted), None)


def _there(stop: Stop | None) -> Stop:
    if stop is None:
        raise Problem(404, "no-such-stop", "There is no such stop in force.")
    return stop


_ADMIN = frozenset({Right.ADMIN})
_TAG = "stops"

ROUTES = (
    Route(
        method="GET",
        path="/v1/stops",
        handler=list_stops,
        rights=_ADMIN,
        summary="The stops in force, oldest first",
        tag=_TAG,
        reply=list[StopView],
    ),
    Route(
        method="POST",
        path="/v1/stops",
        handler=set_stop,
        rights=_ADMIN,
        summary="Stop an agent, a session, tools, or everything",
        description="Holds from the next call on, also for calls that wait for a person.",
        tag=_TAG,
        body=NewStop,
        reply=StopSet,
        status=201,
        problems=(422,),
    ),
    Route(
        method="GET",
        path="/v1/stops/{id}/refusal",
        handler=show_refusal,
        rights=_ADMIN,
        summary="The first call that a stop refused, and how soon",
        tag=_TAG,
        query=StopPlace,
        reply=StopSeen,
        problems=(404,),
        waits=LONGEST_WAIT,
    ),
    Route(
        method="POST",
        path="/v1/stops/{id}/resume",
        handler=resume,
        rights=_ADMIN,
        summary="Lift a stop",
        tag=_TAG,
        body=Resumption,
        body_optional=True,
        reply=StopView,
        problems=(404, 422),
    ),
)
