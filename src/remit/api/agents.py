"""Credentials over HTTP: admins manage them, the first admin begins, agents narrow theirs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from remit import custody
from remit.api.frame import ANY_RIGHT, PUBLIC, Call, Problem, Reply, Route
from remit.credentials import Credential, CredentialId, Kind, Right, sorted_rights
from remit.errors import InvalidRequest
from remit.identity.delegation import narrowing_of
from remit.identity.keys import IssuedKey
from remit.identity.names import MAX_ID
from remit.journal import Journal
from remit.storage import Transaction

_SECOND = 1_000_000_000
_MAX_SECONDS = 10 * 365 * 86_400

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=100)]
LifeSeconds = Annotated[int, Meta(ge=1, le=_MAX_SECONDS)]


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to make a key for. ``rights`` may be left out for an agent."""

    principal: Id
    kind: Kind = "agent"
    rights: tuple[Right, ...] | None = None
    expires_in: LifeSeconds | None = None
    agents: Ids = ()
    note: Annotated[str, Meta(max_length=200)] = ""


class RotateKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the old key goes on beside the new one."""

    grace: Annotated[int, Meta(ge=0, le=_MAX_SECONDS)] = 0
    """Seconds."""


class Bootstrap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The secret that the server printed at its first start, and who the first admin is."""

    secret: Annotated[str, Meta(max_length=200)]
    principal: Id


class NewDelegation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a delegation token is for."""

    expires_in: LifeSeconds | None = None
    """Seconds; left out, or more than the server allows: as long as it allows."""
    tools: Ids = ()
    sessions: Ids = ()


class CredentialView(Struct, frozen=True, kw_only=True):
    """A credential as admins see it. Times are nanoseconds since the epoch."""

    id: CredentialId
    principal: str
    kind: Kind
    rights: tuple[Right, ...]
    state: Literal["active", "expired", "revoked"]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    agents: tuple[str, ...]
    note: str


class KeyView(Struct, frozen=True, kw_only=True):
    """A new key. ``key`` is shown this once."""

    credential: CredentialView
    key: str


class AgentView(Struct, frozen=True, kw_only=True):
    """Somebody who has an active key."""

    id: str
    kind: Kind
    rights: tuple[Right, ...]
    """Those of all its keys together."""
    declared: bool
    """Whether the policy in force declares it."""
    credentials: tuple[CredentialView, ...]


class DelegationView(Struct, frozen=True, kw_only=True):
    """A delegation token, and the public key that it takes to narrow it further."""

    token: str
    expires_at: int
    public_key: str


class IdentityView(Struct, frozen=True, kw_only=True):
    """Who the caller is to the server."""

    id: str
    kind: Kind
    rights: tuple[Right, ...]
    credential: str
    roles: tuple[str, ...]
    team: str | None
    on_behalf_of: tuple[str, ...]
    agents: tuple[str, ...]


class CredentialQuery(Struct, frozen=True, kw_only=True):
    """Which credentials to list."""

    principal: str | None = None
    all: bool = False
    """Revoked and expired ones as well."""


def view(credential: Credential, now: int) -> CredentialView:
    """A credential without its digest."""
    state: Literal["active", "expired", "revoked"] = "active"
    if not credential.active(now):
        state = "expired" if credential.revoked_at is None else "revoked"
    return CredentialView(
        id=credential.id,
        principal=credential.principal,
        kind=credential.kind,
        rights=credential.rights,
        state=state,
        created_at=credential.created_at,
        expires_at=credential.expires_at,
        revoked_at=credential.revoked_at,
        last_used_at=credential.last_used_at,
        agents=credential.agents,
        note=credential.note,
    )


async def list_agents(call: Call) -> Reply:
    """Everybody who has an active key."""
    now = call.parts.clock()
    found: dict[str, list[Credential]] = {}
    for each in await call.parts.read(lambda t: list(t.credentials())):
        if each.active(now) and each.purpose == "key":
            found.setdefault(each.principal, []).append(each)
    return Reply(body=[_agent(call, held, now) for held in found.values()])


async def add_agent(call: Call) -> Reply:
    """Give somebody its first key."""
    return await _issue(call, first=True)


async def revoke_agent(call: Call) -> Reply:
    """Revoke every key of somebody."""
    name, by = call.params["id"], call.identity.principal

    def work(t: Transaction) -> tuple[Iterable[Credential], int]:
        journal = _journal(call, t)
        return custody.revoke_all(journal, by, name), journal.now

    revoked, now = await call.parts.write(work)
    if not revoked:
        raise _not_found(f"{name} has no active key.")
    return Reply(body=[view(each, now) for each in revoked])


async def list_credentials(call: Call) -> Reply:
    """Credentials, in the order in which they were made."""
    query: CredentialQuery = call.query
    now = call.parts.clock()
    found = await call.parts.read(lambda t: list(t.credentials()))
    return Reply(
        body=[
            view(each, now)
            for each in found
            if (query.all or each.active(now))
            and query.principal in (None, each.principal)
            and each.purpose == "key"
        ]
    )


async def show_credential(call: Call) -> Reply:
    """One credential."""
    wanted = CredentialId(call.params["id"])
    found = await call.parts.read(lambda t: t.credential(wanted))
    if found is None:
        raise _not_found(f"There is no credential {wanted}.")
    return Reply(body=view(found, call.parts.clock()))


async def add_credential(call: Call) -> Reply:
    """Make a key, also for somebody who has one."""
    return await _issue(call, first=False)


async def revoke_credential(call: Call) -> Reply:
    """Revoke a key; a second time changes nothing."""
    wanted, by = CredentialId(call.params["id"]), call.identity.principal
    found = await call.parts.write(lambda t: custody.revoke_key(_journal(call, t), by, wanted))
    if found is None:
        raise _not_found(f"There is no credential {wanted}.")
    return Reply(body=view(found, call.parts.clock()))


async def rotate_credential(call: Call) -> Reply:
    """Replace a key by another with the same rights."""
    asked: RotateKey = call.body or RotateKey()
    wanted, by = CredentialId(call.params["id"]), call.identity.principal

    def work(t: Transaction) -> IssuedKey | None:
        return custody.rotate_key(_journal(call, t), by, wanted, asked.grace * _SECOND)

    issued = await call.parts.write(work)
    if issued is None:
        raise _not_found(f"There is no credential {wanted}.")
    return _shown(issued)


async def bootstrap(call: Call) -> Reply:
    """Exchange the bootstrap secret for the first admin's key, once."""
    asked: Bootstrap = call.body

    def work(t: Transaction) -> IssuedKey:
        return custody.exchange_bootstrap(_journal(call, t), asked.secret, asked.principal)

    return _shown(await call.parts.write(work))


async def delegate(call: Call) -> Reply:
    """Mint a delegation token for the API key that the caller shows."""
    asked: NewDelegation = call.body or NewDelegation()
    shown = CredentialId(call.identity.credential.removeprefix("key:"))
    credential = await call.parts.read(lambda t: t.credential(shown))
    if credential is None or credential.kind != "agent":
        raise Problem(
            403, "not-delegable", "Only an agent's API key can be delegated; show that key."
        )
    now, longest = call.parts.clock(), call.parts.config.identity.delegation_lifetime
    until = now + min(asked.expires_in or longest, longest) * _SECOND
    narrowing = narrowing_of(tools=asked.tools, sessions=asked.sessions, until=until)
    root = call.parts.authenticator.root
    token = root.mint(credential, narrowing)
    body = DelegationView(token=token, expires_at=narrowing.until or 0, public_key=root.public_key)
    return Reply(body=body)


async def who_am_i(call: Call) -> Reply:
    """Who the caller is to the server."""
    identity = call.identity
    principal = identity.principal
    body = IdentityView(
        id=principal.id,
        kind=principal.kind,
        rights=sorted_rights(identity.rights),
        credential=identity.credential,
        roles=principal.roles,
        team=principal.team,
        on_behalf_of=tuple(each.id for each in principal.chain())[1:],
        agents=identity.agents,
    )
    return Reply(body=body)


async def _issue(call: Call, *, first: bool) -> Reply:
    asked: NewKey = call.body
    by = call.identity.principal
    rights = asked.rights
    if rights is None:
        if asked.kind != "agent":
            raise InvalidRequest(f"Say which rights the {asked.kind} gets.")
        rights = (Right.AGENT,)

    def work(t: Transaction) -> IssuedKey:
        journal = _journal(call, t)
        life = asked.expires_in
        return custody.add_key(
            journal,
            by,
            principal=asked.principal,
            kind=asked.kind,
            rights=frozenset(rights),
            expires_at=None if life is None else journal.now + life * _SECOND,
            agents=asked.agents,
            note=asked.note,
            first=first,
        )

    return _shown(await call.parts.write(work))


def _journal(call: Call, t: Transaction) -> Journal:
    return Journal.begin(t, call.parts.clock(), call.parts.entropy)


def _shown(issued: IssuedKey) -> Reply:
    shown = view(issued.credential, issued.credential.created_at)
    return Reply(body=KeyView(credential=shown, key=issued.text))


def _not_found(detail: str) -> Problem:
    return Problem(404, "not-found", detail)


def _agent(call: Call, held: list[Credential], now: int) -> AgentView:
    first = held[0]
    policies = call.parts.policies.current
    known = "unknown"
    if first.kind == "agent":
        known = policies.principal(first.principal).known
    elif first.kind == "person":
        known = policies.person(first.principal).known
    return AgentView(
        id=first.principal,
        kind=first.kind,
        rights=sorted_rights(frozenset(right for each in held for right in each.rights)),
        declared=known == "declared",
        credentials=tuple(view(each, now) for each in held),
    )


_ADMIN = frozenset({Right.ADMIN})
_TAG = "identity"

ROUTES = (
    Route(
        method="GET",
        path="/v1/agents",
        handler=list_agents,
        rights=_ADMIN,
        summary="Everybody who has an active key",
        tag=_TAG,
        reply=list[AgentView],
    ),
    Route(
        method="POST",
        path="/v1/agents",
        handler=add_agent,
        rights=_ADMIN,
        summary="Give an agent, a person or a service its first key",
        tag=_TAG,
        body=NewKey,
        reply=KeyView,
        status=201,
    ),
    Route(
        method="POST",
        path="/v1/agents/{id}/revoke",
        handler=revoke_agent,
        rights=_ADMIN,
        summary="Revoke every key of somebody",
        tag=_TAG,
        reply=list[CredentialView],
        problems=(404,),
    ),
    Route(
        method="GET",
        path="/v1/credentials",
        handler=list_credentials,
        rights=_ADMIN,
        summary="Credentials",
        tag=_TAG,
        query=CredentialQuery,
        reply=list[CredentialView],
    ),
    Route(
        method="POST",
        path="/v1/credentials",
        handler=add_credential,
        rights=_ADMIN,
        summary="Make another key",
        tag=_TAG,
        body=NewKey,
        reply=KeyView,
        status=201,
    ),
    Route(
        method="GET",
        path="/v1/credentials/{id}",
        handler=show_credential,
        rights=_ADMIN,
        summary="One credential",
        tag=_TAG,
        reply=CredentialView,
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/v1/credentials/{id}/revoke",
        handler=revoke_credential,
        rights=_ADMIN,
        summary="Revoke a key",
        tag=_TAG,
        reply=CredentialView,
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/v1/credentials/{id}/rotate",
        handler=rotate_credential,
        rights=_ADMIN,
        summary="Replace a key by another with the same rights",
        tag=_TAG,
        body=RotateKey,
        body_optional=True,
        reply=KeyView,
        status=201,
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/v1/bootstrap",
        handler=bootstrap,
        rights=PUBLIC,
        summary="Exchange the bootstrap secret for the first admin's key",
        tag=_TAG,
        body=Bootstrap,
        reply=KeyView,
        status=201,
        problems=(401,),
    ),
    Route(
        method="POST",
        path="/v1/delegations",
        handler=delegate,
        rights=frozenset({Right.AGENT}),
        summary="A token that stands for the caller's API key, narrower and for a while",
        tag=_TAG,
        body=NewDelegation,
        body_optional=True,
        reply=DelegationView,
        status=201,
    ),
    Route(
        method="GET",
        path="/v1/identity",
        handler=who_am_i,
        rights=ANY_RIGHT,
        summary="Who the caller is to the server",
        tag=_TAG,
        reply=IdentityView,
    ),
)
