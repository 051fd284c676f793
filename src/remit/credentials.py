"""Credentials as data: the rights there are, and the stored half of a key.

Pure structs below the store, which keeps them; how a credential is presented and checked is in
``remit.identity``. Times are nanoseconds since the Unix epoch.
"""

from __future__ import annotations

import enum
from typing import Literal, NewType, TypeAlias

from msgspec import Struct

CredentialId = NewType("CredentialId", str)
"""Names a credential in logs and lists; no secret. 16 characters of ``a-z2-7``."""

Kind: TypeAlias = Literal["agent", "person", "service"]


class Right(enum.Enum):
    """What a caller of the server may do. None of them implies another.

    ``AGENT`` opens sessions, admits and settles; ``REVIEWER`` decides approvals; ``EDITOR``
    changes policy; ``AUDITOR`` reads the log and every session; ``ADMIN`` manages credentials
    and stops.
    """

    AGENT = "agent"
    REVIEWER = "reviewer"
    EDITOR = "editor"
    AUDITOR = "auditor"
    ADMIN = "admin"


GRANTABLE: dict[Kind, frozenset[Right]] = {
    "agent": frozenset({Right.AGENT}),
    "person": frozenset({Right.REVIEWER, Right.EDITOR, Right.AUDITOR, Right.ADMIN}),
    "service": frozenset({Right.AGENT, Right.EDITOR, Right.AUDITOR, Right.ADMIN}),
}
"""Rights that each kind of principal can be given at all. Only a person approves."""


class Credential(Struct, frozen=True, kw_only=True):
    """One key as stored: everything but the key.

    ``digest`` is the SHA-256 of the secret, 32 bytes. ``agents`` are the agents that a service
    may act as. A ``bootstrap`` credential opens nothing; it is exchanged once for an admin key.
    """

    id: CredentialId
    digest: bytes
    principal: str
    kind: Kind
    rights: tuple[Right, ...]
    """Sorted by value, without repeats."""
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    """Coarse: the start of the hour in which it was last used."""
    agents: tuple[str, ...] = ()
    note: str = ""
    purpose: Literal["key", "bootstrap"] = "key"

    def active(self, now: int) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def ungrantable(kind: Kind, rights: frozenset[Right]) -> str | None:
    """Why a principal of ``kind`` cannot hold ``rights`` together, or None if it can."""
    beyond = rights - GRANTABLE[kind]
    if beyond:
        article = "an" if kind == "agent" else "a"
        names = ", ".join(sorted(right.value for right in beyond))
        return f"{article} {kind} cannot hold the right {names}"
    if Right.AGENT in rights and len(rights) > 1:
        return "the right agent goes with no other: what acts must not govern itself"
    return None


def sorted_rights(rights: frozenset[Right]) -> tuple[Right, ...]:
    """Rights as they are stored."""
    return tuple(sorted(rights, key=lambda right: right.value))
