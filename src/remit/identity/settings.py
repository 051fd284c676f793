"""``[identity]`` of ``remit.toml``: whose credentials are believed, and for whom they stand.

Every struct refuses unknown keys; what cannot be right is refused when it is read, with
``ValueError`` (which msgspec turns into an error that names the place).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from remit.credentials import Kind, Right, ungrantable
from remit.identity.names import check_principal_id, check_spiffe_pattern

Algorithm: TypeAlias = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
]
"""Signature algorithms that a token may use. All have a public half: no ``none``, no ``HS*``."""

Seconds: TypeAlias = Annotated[int, Meta(ge=1)]


class Grant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a credential that fits a rule stands for."""

    kind: Kind = "agent"
    roles: tuple[str, ...] = ()
    team: str | None = None
    rights: tuple[Right, ...] = ()
    agents: tuple[str, ...] = ()
    """Agents that a service may act as, by id."""

    def __post_init__(self) -> None:
        problem = ungrantable(self.kind, frozenset(self.rights))
        if problem is not None:
            raise ValueError(problem)
        if self.agents and (self.kind != "service" or Right.AGENT not in self.rights):
            raise ValueError("`agents` is for a service with the right agent")


class PeerRule(Grant, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[identity.peers]]``: an operating system user, for callers on the Unix socket."""

    principal: str
    uid: Annotated[int, Meta(ge=0)] | None = None
    user: str | None = None
    """Name of the user; either this or ``uid``. It is looked up once, at start."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_principal_id(self.principal)
        if (self.uid is None) == (self.user is None):
            raise ValueError("give either `uid` or `user`")


class CertificateRule(Grant, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[identity.certificates]]``: a SPIFFE id, for callers with a client certificate.

    ``spiffe`` is a whole id, or ends in ``/*`` for any one last segment; without ``principal``
    that segment is the id of the principal.
    """

    spiffe: str
    principal: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_spiffe_pattern(self.spiffe)
        if self.principal is not None:
            check_principal_id(self.principal)
        elif not self.spiffe.endswith("/*"):
            raise ValueError("`principal` may be left out only where `spiffe` ends in /*")


class ClaimRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[identity.issuers.rules]]``: what a claim adds to the caller of a token.

    It applies where the claim equals ``equals``, or is a list that contains it: whole and exactly.
    ``kind`` is for rules that tell people from agents; rules must not contradict each other.
    """

    claim: str
    equals: str
    kind: Kind | None = None
    roles: tuple[str, ...] = ()
    team: str | None = None
    rights: tuple[Right, ...] = ()
    agents: tuple[str, ...] = ()


class TokenIssuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[identity.issuers]]``: somebody whose tokens (JWT) are believed, and how far."""

    name: str
    """For logs: a token's credential is ``jwt:<name>``."""
    issuer: str
    """The claim ``iss``, exactly."""
    audience: tuple[str, ...]
    """One of these must be in the claim ``aud``."""
    jwks_url: str | None = None
    jwks_file: Path | None = None
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256", "EdDSA")
    leeway: Annotated[int, Meta(ge=0, le=600)] = 60
    """Seconds that clocks may differ."""
    max_lifetime: Seconds = 86_400
    """Longest time between ``iat`` (or now) and ``exp`` that is believed, in seconds."""
    required: tuple[str, ...] = ()
    """Claims that must be there besides ``iss``, ``aud``, ``exp`` and the one for the id."""
    id_claim: str = "sub"
    id_prefix: str = ""
    """Put before the claim's value, so that two issuers cannot speak for one principal."""
    kind: Kind = "agent"
    rights: tuple[Right, ...] = ()
    """What every token of this issuer may do, before rules add to it."""
    roles_claim: str | None = None
    allowed_roles: tuple[str, ...] = ()
    """Values of ``roles_claim`` that become roles; others are dropped."""
    team_claim: str | None = None
    allowed_teams: tuple[str, ...] = ()
    rules: tuple[ClaimRule, ...] = ()
    delegation: bool = False
    """Whether tokens with an ``act`` claim (RFC 8693) are believed: then the actor is an agent."""

    def __post_init__(self) -> None:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("give either `jwks_url` or `jwks_file`")
        if self.jwks_url is not None and not self.jwks_url.startswith(_SAFE_URLS):
            raise ValueError("`jwks_url` must begin with https:// (or name this machine)")
        if not self.audience or not self.algorithms:
            raise ValueError("`audience` and `algorithms` must not be empty")
        for claim, allowed in (
            (self.roles_claim, self.allowed_roles),
            (self.team_claim, self.allowed_teams),
        ):
            if (claim is None) == bool(allowed):
                raise ValueError("a claim for roles or a team goes with the values it may have")
        problem = ungrantable(self.kind, frozenset(self.rights))
        if problem is not None:
            raise ValueError(problem)


_SAFE_URLS = ("https://", "http://127.0.0.1:", "http://[::1]:", "http://localhost:")


class IdentitySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[identity]``. API keys need no setting; everything else is off until it is set."""

    issuers: tuple[TokenIssuer, ...] = ()
    certificates: tuple[CertificateRule, ...] = ()
    peers: tuple[PeerRule, ...] = ()
    delegation_key: Path = Path("remit.delegation")
    """File of the root key of delegation tokens, mode 0600; made when it is first needed."""
    delegation_lifetime: Annotated[int, Meta(ge=60, le=604_800)] = 3_600
    """Longest life of a delegation token, seconds."""

    def __post_init__(self) -> None:
        for what, values in (
            ("name", [each.name for each in self.issuers]),
            ("issuer", [each.issuer for each in self.issuers]),
            ("id_prefix", [each.id_prefix for each in self.issuers]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"two issuers have the same {what}: they could not be told apart")
