"""Tokens of other issuers: JWT (RFC 7519) signed with a key from the issuer's JWKS.

What may be believed is configured for each issuer (``TokenIssuer``): the issuer is chosen by the
claim ``iss``, its algorithms are a list of asymmetric ones, its audience and expiry are always
checked, and claims become roles, a team, rights and a kind only by exact rules.

A token with an ``act`` claim (RFC 8693, section 4.1) is a delegation: the outermost actor calls,
on behalf of the actors before it, on behalf of the subject. It carries the right ``agent`` and no
other: what the subject may do as a person is not handed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from msgspec import Struct

from remit.credentials import Kind, Right
from remit.errors import AuthenticationError
from remit.identity.jwks import KeyRing
from remit.identity.model import Identity
from remit.identity.names import check_principal_id
from remit.identity.settings import ClaimRule, TokenIssuer
from remit.model import Principal

MAX_TOKEN = 16_384
"""Characters."""
MAX_ACTORS = 8
"""Links of an ``act`` chain."""
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_NANOSECONDS = 1_000_000_000


class _Registry(JWSRegistry):
    """Algorithms of the allow-list and no others. Critical headers must be known ones."""

    max_header_length = 4096

    def __init__(self, algorithms: Sequence[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not allowed")
        return self.algorithms[name]


_READER = _Registry(())
"""For what is read before it is believed: it allows no algorithm."""


class _Issuer(Struct):
    """The one claim that is read before the signature is checked: whose keys to check it with."""

    iss: str


class TokenVerifier:
    """Checks tokens of the configured issuers. ``rings`` holds the keys by issuer name."""

    def __init__(self, issuers: Sequence[TokenIssuer], rings: Mapping[str, KeyRing]) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._rings = rings
        self._registries = {issuer.name: _Registry(issuer.algorithms) for issuer in issuers}

    def identify(self, token: str, now: int) -> Identity:
        """Whose token it is.

        Args:
            token: The compact serialization.
            now: Nanoseconds since the epoch.

        Raises:
            AuthenticationError: it is not believed, and why. ``refresh`` names the issuer if its
                keys, fetched anew, might change that.
        """
        if len(token) > MAX_TOKEN or not token.isascii():
            raise AuthenticationError(f"The token has more than {MAX_TOKEN} characters.")
        header, issuer = self._unverified(token)
        ring = self._rings[issuer.name]
        kid = header.get("kid")
        key = ring.find(kid if isinstance(kid, str) else None, now)
        if key is None:
            raise AuthenticationError(
                f"The token is signed with a key that its issuer {issuer.name!r} does not publish.",
                refresh=issuer.name,
            )
        try:
            decoded = jwt.decode(token, key, registry=self._registries[issuer.name])
        except UnsupportedAlgorithmError:
            raise AuthenticationError(
                f"The token's algorithm is not one that is allowed for {issuer.name!r}."
            ) from None
        except (JoseError, ValueError, TypeError, KeyError):
            raise AuthenticationError("The token's signature does not verify.") from None
        claims = decoded.claims
        _check_claims(claims, issuer, now // _NANOSECONDS)
        return _identity(claims, issuer)

    def _unverified(self, token: str) -> tuple[Mapping[str, Any], TokenIssuer]:
        """The header, and the issuer that the token says it is from."""
        try:
            parts = jws.extract_compact(token.encode(), registry=_READER)
            claimed = msgspec.json.decode(parts.payload, type=_Issuer).iss
            header = parts.headers()
            kind = str(header.get("typ", "JWT")).lower()
        except (JoseError, ValueError, TypeError, KeyError, msgspec.MsgspecError):
            raise AuthenticationError(
                "This is neither an API key of Remit (remit_...) nor a signed token (JWT) with an "
                "issuer."
            ) from None
        issuer = self._issuers.get(claimed)
        if issuer is None:
            raise AuthenticationError("The token's issuer is not one that is believed here.")
        if kind not in _TYPES:
            raise AuthenticationError("The token is of a type that is not for calling this server.")
        return header, issuer


def _check_claims(claims: Mapping[str, Any], issuer: TokenIssuer, now: int) -> None:
    """Check the registered claims (RFC 7519, section 4.1); ``now`` in seconds."""
    wanted = ("exp", "aud", issuer.id_claim, *issuer.required)
    for claim in wanted:
        if claims.get(claim) is None:
            raise AuthenticationError(f"The token has no claim {claim!r}.")
    registry = jwt.JWTClaimsRegistry(
        now=now,
        leeway=issuer.leeway,
        iss={"essential": True, "value": issuer.issuer},
        aud={"essential": True, "values": list(issuer.audience)},
    )
    try:
        registry.validate(dict(claims))
    except ExpiredTokenError:
        raise AuthenticationError("The token has expired; get a new one.") from None
    except JoseError as fault:
        claim = getattr(fault, "claim", "?")
        raise AuthenticationError(f"The token is not for now and here: claim {claim!r}.") from None
    issued_at = claims.get("iat", now)
    if claims["exp"] - min(issued_at, now) > issuer.max_lifetime + issuer.leeway:
        raise AuthenticationError(
            f"The token lives longer than {issuer.max_lifetime} seconds, which is not believed."
        )


def _identity(claims: Mapping[str, Any], issuer: TokenIssuer) -> Identity:
    """The caller that verified claims describe."""
    try:
        if "act" in claims:
            return _delegated(claims, issuer)
        kind, rules = _kind(claims, issuer)
        rights = {*issuer.rights, *(right for rule in rules for right in rule.rights)}
        agents = dict.fromkeys(agent for rule in rules for agent in rule.agents)
        return Identity(
            principal=_subject(claims, issuer, kind, rules),
            rights=frozenset(rights),
            credential=f"jwt:{issuer.name}",
            agents=tuple(agents) if kind == "service" and Right.AGENT in rights else (),
        )
    except ValueError as fault:
        raise AuthenticationError(f"The token's claims make no caller: {fault}.") from None


def _delegated(claims: Mapping[str, Any], issuer: TokenIssuer) -> Identity:
    if not issuer.delegation:
        raise AuthenticationError(
            f"The token is a delegation (act), which is not believed from {issuer.name!r}."
        )
    kind, rules = _kind(claims, issuer, default="person")
    principal = _subject(claims, issuer, kind, rules)
    for actor in reversed(_actors(claims["act"], issuer)):
        principal = Principal(id=actor, known="authenticated", on_behalf_of=principal)
    return Identity(
        principal=principal, rights=frozenset({Right.AGENT}), credential=f"jwt:{issuer.name}"
    )


def _actors(act: object, issuer: TokenIssuer) -> list[str]:
    """Ids of the chain of actors, the one who calls first."""
    found: list[str] = []
    while act is not None:
        if len(found) == MAX_ACTORS:
            raise ValueError(f"more than {MAX_ACTORS} actors")
        if not isinstance(act, Mapping) or act.get("iss", issuer.issuer) != issuer.issuer:
            raise ValueError("an actor that this issuer cannot speak for")
        found.append(_id(act.get("sub"), issuer))
        act = act.get("act")
    if not found:
        raise ValueError("act names nobody")
    return found


def _kind(
    claims: Mapping[str, Any], issuer: TokenIssuer, default: Kind | None = None
) -> tuple[Kind, tuple[ClaimRule, ...]]:
    """What kind of principal the subject is, and the rules that apply to it."""
    rules = tuple(rule for rule in issuer.rules if rule.equals in _values(claims.get(rule.claim)))
    kinds: set[Kind] = {rule.kind for rule in rules if rule.kind is not None}
    if len(kinds) > 1:
        raise ValueError("the rules contradict each other about what kind it is")
    return (kinds.pop() if kinds else default or issuer.kind), rules


def _subject(
    claims: Mapping[str, Any], issuer: TokenIssuer, kind: Kind, rules: Sequence[ClaimRule]
) -> Principal:
    teams = {rule.team for rule in rules if rule.team is not None}
    if issuer.team_claim is not None:
        teams |= _values(claims.get(issuer.team_claim)) & set(issuer.allowed_teams)
    if len(teams) > 1:
        raise ValueError("it names more than one team")
    roles = {role for rule in rules for role in rule.roles}
    if issuer.roles_claim is not None:
        roles |= _values(claims.get(issuer.roles_claim)) & set(issuer.allowed_roles)
    return Principal(
        id=_id(claims[issuer.id_claim], issuer),
        kind=kind,
        roles=tuple(sorted(roles)),
        team=teams.pop() if teams else None,
        known="authenticated",
    )


def _values(claim: object) -> set[str]:
    """A claim's text, or the texts in its list; anything else says nothing."""
    if isinstance(claim, str):
        return {claim}
    return {each for each in claim if isinstance(each, str)} if isinstance(claim, list) else set()


def _id(value: object, issuer: TokenIssuer) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("an id that is not text")
    return check_principal_id(issuer.id_prefix + value)
