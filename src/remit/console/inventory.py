"""Agents: who there is, what they may do and what of it they do, and the stop switch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from remit import custody
from remit.api import news
from remit.api.frame import Call, Problem, Reply, Route
from remit.approvals import Approval
from remit.console import pages
from remit.console.decisions import Link, Wanted, newest
from remit.console.pages import ADMINS, PREFIX, READERS
from remit.credentials import GRANTABLE, Credential, CredentialId, Kind, Right
from remit.errors import InvalidRequest
from remit.identity.keys import IssuedKey
from remit.identity.principals import with_policy
from remit.journal import Journal
from remit.model import Principal
from remit.policy import PolicySet
from remit.stops import MAX_REASON, MAX_VALUE, FirstRefusal, Scope, Stop, StopId
from remit.storage import Snapshot, Transaction
from remit.switch import first_refusal

SCANNED = 6_000
"""Records at the end of the log that say when somebody was last seen, and with what."""
_SESSIONS = b'"kind":"session"'
_DECISIONS = b'"kind":"decision"'


class UsedTool(Struct, frozen=True, kw_only=True):
    """A tool, and how often the end of the log has seen it called."""

    name: str
    calls: int


class Inhabitant(Struct, frozen=True, kw_only=True):
    """Somebody who is declared, has a key, or was seen."""

    id: str
    kind: Kind
    roles: tuple[str, ...] = ()
    team: str | None = None
    declared: bool = False
    keys: tuple[Credential, ...] = ()
    seen: int | None = None
    revision: str = ""
    """The policy that decided its last call."""
    used: tuple[UsedTool, ...] = ()
    unused: tuple[str, ...] = ()
    """Tools that policy declares and would let it have, but that it has not called."""


class Delegated(Struct, frozen=True, order=True):
    """Somebody acts on behalf of somebody: an edge of the graph."""

    by: str
    by_kind: str
    to: str
    to_kind: str
    sessions: int


class StoppedThing(Struct, frozen=True, kw_only=True):
    """A stop in force, and the first call that it refused."""

    stop: Stop
    first: FirstRefusal | None
    points: tuple[PointRefused, ...]


class PointRefused(Struct, frozen=True, kw_only=True):
    """Where a stop was seen to hold: the first refusal of one agent."""

    agent: str
    after: int
    """Nanoseconds since the stop."""
    position: int


class StopForm(Struct, frozen=True, kw_only=True):
    """What to stop."""

    scope: Scope
    value: Annotated[str, Meta(max_length=MAX_VALUE)] = ""
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class ResumeForm(Struct, frozen=True, kw_only=True):
    """Why a stop is lifted."""

    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class KeyRequest(Struct, frozen=True, kw_only=True):
    """Whom to make a key for."""

    principal: Annotated[str, Meta(min_length=1, max_length=200)]
    kind: Literal["agent", "person"] = "agent"
    rights: Annotated[tuple[Right, ...], Meta(max_length=5)] = ()


class RevokeForm(Struct, frozen=True, kw_only=True):
    """A button."""


async def agents(call: Call) -> Reply:
    """Everybody, and the stops in force."""
    return await _shown(call)


async def one_agent(call: Call) -> Reply:
    """One of them, with every tool."""
    name = call.params["id"]
    everybody, _, _ = await _read(call)
    found = next((each for each in everybody if each.id == name), None)
    if found is None:
        raise Problem(404, "no-such-agent", "Nobody of this name is declared, has a key or acts.")
    rows = await call.parts.read(lambda view: newest(view, Wanted(agent=name), 20).rows)
    return await pages.page(call, "agent.html", it=found, rows=rows)


async def set_stop(call: Call) -> Reply:
    """Stop something, from the next call on."""
    asked: StopForm = call.body
    parts = call.parts
    by = with_policy(call.identity.principal, parts.policies.current)
    closed: list[Approval] = []
    value = "" if asked.scope == "all" else asked.value.strip()

    def work(t: Transaction) -> None:
        effect = parts.governor.stop(t, asked.scope, value, by, asked.reason.strip())
        closed[:] = effect.closed

    try:
        await parts.write(work)
    except InvalidRequest as error:
        return await _shown(call, problem=str(error))
    news.tell(parts.changes, *closed)
    parts.changes.announce(news.STOPS)
    return pages.to("agents")


async def resume(call: Call) -> Reply:
    """Lift a stop."""
    asked: ResumeForm = call.body
    parts, wanted = call.parts, StopId(call.params["id"])
    by = with_policy(call.identity.principal, parts.policies.current)
    try:
        await parts.write(lambda t: parts.governor.resume(t, wanted, by, asked.reason.strip()))
    except InvalidRequest as error:
        return await _shown(call, problem=str(error))
    parts.changes.announce(news.STOPS)
    return pages.to("agents")


async def add_key(call: Call) -> Reply:
    """Make a key, and show it this once with the ways to use it."""
    asked: KeyRequest = call.body
    rights = frozenset({Right.AGENT}) if asked.kind == "agent" else frozenset(asked.rights)
    by = call.identity.principal

    def work(t: Transaction) -> IssuedKey:
        journal = Journal.begin(t, call.parts.clock(), call.parts.entropy)
        return custody.add_key(
            journal,
            by,
            principal=asked.principal.strip(),
            kind=asked.kind,
            rights=rights,
            note="console",
        )

    try:
        issued = await call.parts.write(work)
    except InvalidRequest as error:
        return await _shown(call, problem=str(error))
    return await pages.page(
        call,
        "key.html",
        key=issued.text,
        it=issued.credential,
        url=call.base_url,
        agent=issued.credential.principal,
    )


async def revoke_key(call: Call) -> Reply:
    """Revoke a key."""
    wanted, by = CredentialId(call.params["id"]), call.identity.principal

    def work(t: Transaction) -> Credential | None:
        journal = Journal.begin(t, call.parts.clock(), call.parts.entropy)
        return custody.revoke_key(journal, by, wanted)

    if await call.parts.write(work) is None:
        raise Problem(404, "not-found", "There is no such key.")
    return pages.to("agents")


async def _shown(call: Call, problem: str = "") -> Reply:
    everybody, edges, stops = await _read(call)
    return await pages.page(
        call,
        "agents.html",
        422 if problem else 200,
        everybody=everybody,
        edges=edges,
        stops=stops,
        problem=problem,
        admin=pages.may(call, Right.ADMIN),
        grantable=sorted(right.value for right in GRANTABLE["person"]),
    )


async def _read(
    call: Call,
) -> tuple[list[Inhabitant], list[Delegated], list[StoppedThing]]:
    policies, now = call.parts.policies.current, call.parts.clock()
    return await call.parts.read(
        lambda view: (
            list(inhabitants(view, policies, now)),
            delegations(view),
            [_stopped(view, each) for each in view.stops()],
        )
    )


class _Sighting(Struct, frozen=True):
    kind: str
    granted: bool = False
    principal: tuple[Link, ...] = ()
    revision: str = ""
    rules: tuple[Link, ...] = ()
    status: str = ""
    tool: str = ""


_sighting = msgspec.json.Decoder(_Sighting)


def inhabitants(view: Snapshot, policies: PolicySet, now: int) -> Iterable[Inhabitant]:
    """Everybody who is declared, has a key, or was seen of late; by kind and name."""
    found: dict[str, Inhabitant] = {}
    for name, who in (*policies.agents.items(), *policies.people.items()):
        found[name] = _declared(name, who)
    for key in view.credentials():
        if key.purpose == "key" and key.active(now):
            known = found.get(key.principal) or Inhabitant(id=key.principal, kind=key.kind)
            found[key.principal] = msgspec.structs.replace(known, keys=(*known.keys, key))
    for name, (at, revision, used) in _sightings(view).items():
        known = found.get(name) or Inhabitant(id=name, kind="agent")
        tools = tuple(UsedTool(name=tool, calls=calls) for tool, calls in sorted(used.items()))
        found[name] = msgspec.structs.replace(known, seen=at, revision=revision, used=tools)
    for each in sorted(found.values(), key=lambda one: (one.kind, one.id)):
        yield _with_unused(each, policies)


def delegations(view: Snapshot) -> list[Delegated]:
    """Who acted on whose behalf in the sessions that the end of the log has seen begin."""
    counts: dict[tuple[str, str, str, str], int] = {}
    size = view.log_size()
    for kept in view.records(max(0, size - SCANNED), size):
        if _SESSIONS not in kept.body:
            continue
        seen = _sighting.decode(kept.body)
        if seen.status == "started":
            for by, to in zip(seen.principal, seen.principal[1:], strict=False):
                edge = (by.id, by.kind, to.id, to.kind)
                counts[edge] = counts.get(edge, 0) + 1
    return sorted(Delegated(*edge, count) for edge, count in counts.items())


def _sightings(view: Snapshot) -> dict[str, tuple[int, str, dict[str, int]]]:
    """When each agent was last seen, under which policy, and which tools it was let call."""
    found: dict[str, tuple[int, str, dict[str, int]]] = {}
    size = view.log_size()
    for kept in view.records(max(0, size - SCANNED), size):
        if _DECISIONS not in kept.body:
            continue
        seen = _sighting.decode(kept.body)
        if seen.principal:
            _, _, used = found.get(seen.principal[0].id, (0, "", {}))
            if seen.granted:
                used[seen.tool] = used.get(seen.tool, 0) + 1
            found[seen.principal[0].id] = (kept.at, seen.revision, used)
    return found


def _declared(name: str, who: Principal) -> Inhabitant:
    return Inhabitant(id=name, kind=who.kind, roles=who.roles, team=who.team, declared=True)


def _with_unused(each: Inhabitant, policies: PolicySet) -> Inhabitant:
    if each.kind != "agent":
        return each
    used = {tool.name for tool in each.used}
    who = policies.principal(each.id)
    names = {pattern for tool in policies.tools for pattern in (str(tool.pattern),)}
    unused = sorted(
        name
        for name in names
        if name not in used
        and not any(_fits(name, other) for other in used)
        and policies.visible(who, name.replace("*", "any"))
    )
    return msgspec.structs.replace(each, unused=tuple(unused))


def _fits(pattern: str, name: str) -> bool:
    return pattern.endswith("*") and name.startswith(pattern[:-1])


def _stopped(view: Snapshot, stop: Stop) -> StoppedThing:
    start = _since(view, stop)
    first, _ = first_refusal(view, stop, start)
    points: dict[str, PointRefused] = {}
    size = view.log_size()
    for kept in view.records(start, size):
        if b'"id":"stopped"' in kept.body:
            seen = _sighting.decode(kept.body)
            if seen.principal and seen.principal[0].id not in points:
                agent = seen.principal[0].id
                points[agent] = PointRefused(
                    agent=agent, after=kept.at - stop.at, position=kept.position
                )
    covered = tuple(points.values()) if first is not None else ()
    return StoppedThing(stop=stop, first=first, points=covered)


def _since(view: Snapshot, stop: Stop) -> int:
    """Position of the record of a stop, or where the part of the log begins that is looked at."""
    size = view.log_size()
    mark = f'"id":"{stop.id}"'.encode()
    for kept in view.records(max(0, size - SCANNED), size):
        if mark in kept.body:
            return kept.position
    return max(0, size - SCANNED)


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/agents",
        handler=agents,
        rights=READERS | ADMINS,
        summary="Everybody, and what is stopped",
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/agents/{{id}}",
        handler=one_agent,
        rights=READERS | ADMINS,
        summary="One of them",
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/agents/keys",
        handler=add_key,
        rights=ADMINS,
        summary="Make a key",
        body=KeyRequest,
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/agents/keys/{{id}}/revoke",
        handler=revoke_key,
        rights=ADMINS,
        summary="Revoke a key",
        body=RevokeForm,
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/stops",
        handler=set_stop,
        rights=ADMINS,
        summary="Stop something",
        body=StopForm,
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/stops/{{id}}/resume",
        handler=resume,
        rights=ADMINS,
        summary="Let it go on",
        body=ResumeForm,
    ),
)
