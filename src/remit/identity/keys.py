"""API keys: made, shown once, kept as a digest, checked, replaced, revoked.

The text of a key is ``remit_<id>_<secret>``. The id (16 characters) is no secret; the secret is
32 random bytes in base32 (52 characters), so a plain SHA-256 keeps it: there is nothing to guess.
The fixed shape lets secret scanners find keys that were committed by mistake.

Functions here take a transaction and values; they read no clock and roll no dice themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b32encode
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from remit.credentials import Credential, CredentialId, Kind, Right, sorted_rights, ungrantable
from remit.errors import AuthenticationError, InvalidRequest
from remit.identity.names import check_principal_id

PREFIX = "remit_"
BOOTSTRAP_LIFETIME = 3_600_000_000_000
"""Nanoseconds in which the first admin has to come."""
MAX_NOTE = 200
_HOUR = 3_600_000_000_000
_SHAPE = re.compile(r"remit_([a-z2-7]{16})_([a-z2-7]{52})")
_NO_DIGEST = bytes(32)
_BAD_KEY = "The API key is not valid. Check that it is complete, or ask an admin for another."

T = TypeVar("T")
Entropy = Callable[[int], bytes]
"""That many random bytes, fit for secrets."""
Lookup = Callable[[CredentialId], Credential | None]


class CredentialReader(Protocol):
    """The part of a snapshot that keys need."""

    def credential(self, credential_id: CredentialId) -> Credential | None:
        """One credential, or None."""
        ...

    def credentials(self) -> Sequence[Credential]:
        """All of them."""
        ...


class CredentialWriter(CredentialReader, Protocol):
    """The part of a transaction that keys need."""

    def put_credential(self, credential: Credential) -> None:
        """Insert or replace a credential."""
        ...


class CredentialStore(Protocol):
    """The part of a store that ``first_admin`` needs."""

    def write(self, work: Callable[[CredentialWriter], T]) -> T:
        """Run ``work`` in a transaction."""
        ...


class IssuedKey(Struct, frozen=True):
    """A new key: the only moment at which its text exists. It does not show in ``repr``."""

    credential: Credential
    text: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.credential.id})"


def issue(
    t: CredentialWriter,
    *,
    principal: str,
    kind: Kind,
    rights: frozenset[Right],
    now: int,
    entropy: Entropy,
    expires_at: int | None = None,
    agents: Sequence[str] = (),
    note: str = "",
) -> IssuedKey:
    """Make a key for a principal and store its digest.

    Raises:
        InvalidRequest: the principal cannot have these rights, or a value cannot be kept.
    """
    _check(principal, kind, rights, agents, note)
    if not rights:
        raise InvalidRequest("A key without a right opens nothing; name at least one right.")
    if expires_at is not None and expires_at <= now:
        raise InvalidRequest("The key would have expired already; give a time that is to come.")
    unused = Credential(
        id=CredentialId(""),
        digest=b"",
        principal=principal,
        kind=kind,
        rights=sorted_rights(rights),
        created_at=now,
        expires_at=expires_at,
        agents=tuple(dict.fromkeys(agents)),
        note=note,
    )
    return _put_new(t, unused, entropy)


def check_key(key: str, lookup: Lookup, now: int) -> Credential:
    """The credential that ``key`` is the text of.

    An unknown id takes the same path as a wrong secret: one lookup, one hash, one comparison.

    Raises:
        AuthenticationError: it is not valid; that it is revoked or expired is told only to who
            holds the whole key.
    """
    credential = _match(key, lookup)
    if credential is None or credential.purpose != "key":
        raise AuthenticationError(_BAD_KEY)
    if credential.revoked_at is not None:
        raise AuthenticationError(f"The API key {credential.id} has been revoked.")
    if not credential.active(now):
        raise AuthenticationError(f"The API key {credential.id} has expired.")
    return credential


def revoke(t: CredentialWriter, credential_id: CredentialId, now: int) -> Credential | None:
    """Revoke a credential; a second time changes nothing. None if there is no such credential."""
    credential = t.credential(credential_id)
    if credential is None or credential.revoked_at is not None:
        return credential
    revoked = msgspec.structs.replace(credential, revoked_at=now)
    t.put_credential(revoked)
    return revoked


def rotate(
    t: CredentialWriter,
    credential_id: CredentialId,
    *,
    now: int,
    entropy: Entropy,
    grace: int = 0,
) -> IssuedKey | None:
    """Replace a key by another with the same rights and the same lifetime.

    The old one goes on for ``grace`` nanoseconds, never beyond its own end; with 0 it is revoked.

    Returns:
        The new key, or None if there is no such credential.

    Raises:
        InvalidRequest: it is not an active key.
    """
    old = t.credential(credential_id)
    if old is None:
        return None
    if not old.active(now) or old.purpose != "key":
        raise InvalidRequest(f"{credential_id} is not an active key; make a new one instead.")
    if grace > 0:
        ends = now + grace if old.expires_at is None else min(now + grace, old.expires_at)
        t.put_credential(msgspec.structs.replace(old, expires_at=ends))
    else:
        t.put_credential(msgspec.structs.replace(old, revoked_at=now))
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    new = msgspec.structs.replace(
        old,
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
        last_used_at=None,
    )
    return _put_new(t, new, entropy)


def record_uses(t: CredentialWriter, uses: Mapping[CredentialId, int]) -> None:
    """Keep when credentials were last used, to the hour."""
    for credential_id, at in uses.items():
        credential = t.credential(credential_id)
        hour = at - at % _HOUR
        if credential is not None and hour > (credential.last_used_at or 0):
            t.put_credential(msgspec.structs.replace(credential, last_used_at=hour))


def first_admin(store: CredentialStore, *, now: int, entropy: Entropy) -> str | None:
    """A one-time secret for the first admin, if no admin key is active. Earlier ones end.

    Returns:
        The secret, good for one ``exchange`` within an hour; None where there is an admin.
    """
    return store.write(lambda t: _bootstrap(t, now, entropy))


def exchange(
    t: CredentialWriter, secret: str, *, principal: str, now: int, entropy: Entropy
) -> IssuedKey:
    """Turn a bootstrap secret into an admin key for the person ``principal``, once.

    Raises:
        AuthenticationError: it is not valid, was used, or has expired.
        InvalidRequest: ``principal`` cannot be an id.
    """
    credential = _match(secret, t.credential)
    if credential is None or credential.purpose != "bootstrap" or not credential.active(now):
        raise AuthenticationError(
            "The bootstrap secret is not valid. It can be used once, within an hour; restart the "
            "server to get another one, or make a key on its machine: remit agents add."
        )
    issued = issue(
        t,
        principal=principal,
        kind="person",
        rights=frozenset({Right.ADMIN}),
        now=now,
        entropy=entropy,
        note="first admin",
    )
    t.put_credential(msgspec.structs.replace(credential, revoked_at=now))
    return issued


def _bootstrap(t: CredentialWriter, now: int, entropy: Entropy) -> str | None:
    known = t.credentials()
    if any(Right.ADMIN in each.rights and each.active(now) for each in known):
        return None
    for each in known:
        if each.purpose == "bootstrap":
            revoke(t, each.id, now)
    unused = Credential(
        id=CredentialId(""),
        digest=b"",
        principal="bootstrap",
        kind="service",
        rights=(),
        created_at=now,
        expires_at=now + BOOTSTRAP_LIFETIME,
        purpose="bootstrap",
    )
    return _put_new(t, unused, entropy).text


def _put_new(t: CredentialWriter, unused: Credential, entropy: Entropy) -> IssuedKey:
    """Give ``unused`` an id and a secret of its own, and store it."""
    credential_id = CredentialId(b32encode(entropy(10)).decode().lower())
    secret = b32encode(entropy(32)).decode().lower().rstrip("=")
    if t.credential(credential_id) is not None:
        raise InvalidRequest("The random numbers repeat themselves; no key was made.")
    credential = msgspec.structs.replace(unused, id=credential_id, digest=_digest(secret))
    t.put_credential(credential)
    return IssuedKey(credential, f"{PREFIX}{credential_id}_{secret}")


def _match(key: str, lookup: Lookup) -> Credential | None:
    """The credential whose secret is in ``key``, whatever its state."""
    shape = _SHAPE.fullmatch(key)
    if shape is None:
        return None
    credential = lookup(CredentialId(shape[1]))
    expected = _NO_DIGEST if credential is None else credential.digest
    same = hmac.compare_digest(_digest(shape[2]), expected)
    return credential if same else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _check(
    principal: str, kind: Kind, rights: frozenset[Right], agents: Sequence[str], note: str
) -> None:
    problem = ungrantable(kind, rights)
    if problem is not None:
        raise InvalidRequest(f"{principal}: {problem}.")
    try:
        for each in (principal, *agents):
            check_principal_id(each)
    except ValueError as fault:
        raise InvalidRequest(f"{fault}.") from None
    if agents and (kind != "service" or Right.AGENT not in rights):
        raise InvalidRequest("Only a service with the right agent acts as other agents.")
    if len(note) > MAX_NOTE or not (note.isprintable() or not note):
        raise InvalidRequest(f"A note is one line of at most {MAX_NOTE} characters.")
