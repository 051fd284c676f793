"""Who calls, as data: what a request shows of its caller, and whom it turned out to be.

Pure. Nothing in an ``Identity`` is secret; all of it may be logged.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from remit import text
from remit.credentials import Right, ungrantable
from remit.model import Effect, Principal, Reason, SessionId

NARROWED = "narrowed"
"""Rule id of the refusal that a narrowed credential makes by itself, before policy."""


class Peer(Struct, frozen=True):
    """The process at the other end of a Unix socket, as the operating system names it."""

    pid: int
    uid: int
    gid: int


class RequestFacts(Struct, frozen=True, kw_only=True):
    """What a request shows of its caller. The transport fills it; nothing here is believed yet.

    ``authorization`` holds every ``Authorization`` header as it came. ``certificate`` is the
    client certificate (DER) of a TLS connection whose chain the TLS layer HAS verified against
    the configured roots; never one that a header carried. ``peer`` comes from the socket.
    """

    transport: Literal["tcp", "tls", "unix"]
    authorization: tuple[str, ...] = ()
    certificate: bytes | None = None
    peer: Peer | None = None


class Narrowing(Struct, frozen=True, kw_only=True):
    """Restrictions that a delegated credential carries. They only ever take away.

    ``tools`` holds one group of patterns for each block that named tools: a call must fit one
    pattern of every group. A pattern is a tool name, or the beginning of one and a final ``*``,
    in the form of ``text.name``.
    """

    tools: tuple[tuple[str, ...], ...] = ()
    sessions: frozenset[str] | None = None
    """Sessions that it may be used in; None: any, and new ones."""
    until: int | None = None
    """Nanoseconds since the epoch from which it is worth nothing."""

    def __and__(self, other: Narrowing) -> Narrowing:
        """What both let through."""
        return Narrowing(
            tools=tuple(dict.fromkeys(self.tools + other.tools)),
            sessions=_common(self.sessions, other.sessions),
            until=_earlier(self.until, other.until),
        )

    def objection(self, tool: str, session: SessionId | None, now: int) -> str | None:
        """Why a call may not be made, or None."""
        if self.until is not None and now >= self.until:
            return "it has expired"
        if self.sessions is not None and session not in self.sessions:
            return "it is bound to another session"
        name = text.name(tool)
        if not all(any(_fits(pattern, name) for pattern in group) for group in self.tools):
            return f"it does not cover the tool {name!r}"
        return None


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _earlier(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


class Identity(Struct, frozen=True, kw_only=True):
    """An authenticated caller.

    ``principal`` has only what the credential proves; ``remit.identity.principals`` adds what
    policy declares of it. ``credential`` names what was shown, for logs: ``key:<id>``,
    ``jwt:<issuer name>``, ``spiffe:<id>``, ``uid:<n>``, ``delegation:<key id>``.

    Raises:
        ValueError: the rights do not go with the kind of principal.
    """

    principal: Principal
    rights: frozenset[Right]
    credential: str
    agents: tuple[str, ...] = ()
    """Agents that a service may act as, by id."""
    narrowed: Narrowing | None = None

    def __post_init__(self) -> None:
        problem = ungrantable(self.principal.kind, self.rights)
        if problem is not None:
            raise ValueError(f"{self.credential}: {problem}")


def permits(identity: Identity, tool: str, session: SessionId | None, now: int) -> Reason | None:
    """Whether the credential itself lets a call through; asked before the governor is.

    Args:
        identity: Who calls.
        tool: Name of the tool.
        session: The session that the call is made in, if there is one.
        now: Nanoseconds since the epoch.

    Returns:
        The reason to refuse it, or None.
    """
    return within(identity.narrowed, tool, session, now)


def within(
    narrowed: Narrowing | None, tool: str, session: SessionId | None, now: int
) -> Reason | None:
    """``permits``, for the restrictions of a credential alone; None: it has none."""
    if narrowed is None:
        return None
    objection = narrowed.objection(tool, session, now)
    if objection is None:
        return None
    return Reason(
        rule=NARROWED,
        effect=Effect.DENY,
        because=f"The delegated credential does not cover this call: {objection}.",
        instead="Use a credential that covers it, or ask whoever delegated this one.",
    )


def may_act_as(identity: Identity, agent: str) -> bool:
    """Whether the caller may open a session of ``agent``: its own, or one a service speaks for.

    A credential that is bound to sessions opens no others.
    """
    bound = identity.narrowed is not None and identity.narrowed.sessions is not None
    return not bound and _speaks_for(identity, agent)


def may_use(identity: Identity, owner: Principal, session: SessionId | None) -> bool:
    """Whether the caller may act in ``session``, which belongs to the principal ``owner``.

    A caller that acts for somebody acts only in sessions for the same chain of people and agents.
    ``session`` None stands for what belongs to ``owner`` but to no one session.
    """
    if owner.kind != "agent" or not _speaks_for(identity, owner.id):
        return False
    narrowed = identity.narrowed
    if narrowed is not None and narrowed.sessions is not None and session not in narrowed.sessions:
        return False
    shown = identity.principal.on_behalf_of
    return shown is None or _ids(shown) == _ids(owner.on_behalf_of)


def may_see(identity: Identity, owner: Principal, session: SessionId | None = None) -> bool:
    """Whether the caller may see ``session`` of ``owner``: one of its own, or any for an auditor.

    For a list, ask for each entry.
    """
    return Right.AUDITOR in identity.rights or may_use(identity, owner, session)


def _speaks_for(identity: Identity, agent: str) -> bool:
    if Right.AGENT not in identity.rights:
        return False
    if identity.principal.kind == "service":
        return agent in identity.agents
    return agent == identity.principal.id


def _ids(principal: Principal | None) -> list[tuple[str, str]]:
    return [(link.kind, link.id) for link in principal.chain()] if principal is not None else []
