"""Who calls, as data: what a request shows of its caller, and whom it turned out to be.

Pure. Both names of an identity appear in logs, so neither is secret.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, Protocol

from msgspec import Struct

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


class Narrowing(Protocol):
    """Restrictions that a credential carries with it. They only ever take away."""

    @property
    @abstractmethod
    def checks(self) -> tuple[str, ...]:
        """The restrictions as text, for people."""

    @abstractmethod
    def objection(self, tool: str, session: SessionId | None, now: int) -> str | None:
        """Why this call may not be made at ``now`` (ns), or None."""


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
    if identity.narrowed is None:
        return None
    objection = identity.narrowed.objection(tool, session, now)
    if objection is None:
        return None
    return Reason(
        rule=NARROWED,
        effect=Effect.DENY,
        because=f"The delegated credential does not cover this call: {objection}.",
        instead="Use a credential that covers it, or ask whoever delegated this one.",
    )


def may_act_as(identity: Identity, agent: str) -> bool:
    """Whether the caller may open a session of ``agent``: its own, or one a service speaks for."""
    if Right.AGENT not in identity.rights:
        return False
    if identity.principal.kind == "service":
        return agent in identity.agents
    return agent == identity.principal.id


def may_see(identity: Identity, owner: Principal) -> bool:
    """Whether the caller may see what belongs to ``owner``, a session's principal.

    An auditor sees everything; see ``may_use`` for acting. A caller that acts for somebody sees
    only what was done for the same chain of people and agents.
    """
    return Right.AUDITOR in identity.rights or may_use(identity, owner)


def may_use(identity: Identity, owner: Principal) -> bool:
    """Whether the caller may act in a session of ``owner``."""
    if owner.kind != "agent" or not may_act_as(identity, owner.id):
        return False
    shown = identity.principal.on_behalf_of
    return shown is None or _ids(shown) == _ids(owner.on_behalf_of)


def _ids(principal: Principal | None) -> list[tuple[str, str]]:
    return [(link.kind, link.id) for link in principal.chain()] if principal is not None else []
