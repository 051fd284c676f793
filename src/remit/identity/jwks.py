"""The public keys of a token issuer (JWKS, RFC 7517), kept between requests.

No I/O: whoever can fetch asks ``due``, and gives what came to ``load``. Only public halves of
asymmetric keys are taken from a document, so no token can be checked with a shared secret.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any, TypeAlias

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from msgspec import Struct

from remit.errors import ConfigError

MAX_DOCUMENT = 1_048_576
"""Bytes of a key set."""
MAX_AGE = 3_600_000_000_000
"""Nanoseconds after which keys are fetched anew, so that withdrawn ones go."""
PATIENCE = 86_400_000_000_000
"""Nanoseconds after which keys that could not be fetched anew are no longer believed."""
MIN_INTERVAL = 30_000_000_000
"""Nanoseconds between two attempts, however many unknown key ids are shown."""
_MIN_RSA = 256  # bytes of the modulus: 2,048 bits
_PUBLIC = {
    "RSA": ("kty", "kid", "alg", "use", "key_ops", "n", "e"),
    "EC": ("kty", "kid", "alg", "use", "key_ops", "crv", "x", "y"),
    "OKP": ("kty", "kid", "alg", "use", "key_ops", "crv", "x"),
}

PublicKey: TypeAlias = RSAKey | ECKey | OKPKey


class _Document(Struct):
    keys: list[dict[str, Any]]


class KeyRing:
    """The keys of one issuer as last loaded.

    ``load`` and ``attempted`` are called by one thread at a time; ``find`` by any.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        """URL or file that the keys come from, for messages."""
        self._keys: tuple[PublicKey, ...] = ()
        self._loaded_at: int | None = None
        self._attempted_at: int | None = None

    def load(self, document: bytes, now: int) -> None:
        """Put the keys of a JWKS document in place of those before.

        Raises:
            ConfigError: it is no key set or has no key that can be used; the keys stay as they are.
        """
        keys = tuple(self._parse(document))
        if not keys:
            raise ConfigError(f"{self.source}: the key set has no public signature key")
        self._keys = keys
        self._loaded_at = self._attempted_at = now

    def attempted(self, now: int) -> None:
        """Note that keys are being fetched, so that nobody else does so right away."""
        self._attempted_at = now

    def due(self, now: int) -> bool:
        """Whether an attempt to fetch may be made."""
        return self._attempted_at is None or now - self._attempted_at >= MIN_INTERVAL

    def stale(self, now: int) -> bool:
        """Whether the keys are missing or old enough to be fetched anew."""
        return self._loaded_at is None or now - self._loaded_at >= MAX_AGE

    def find(self, kid: str | None, now: int) -> PublicKey | None:
        """The key that a token names; without a name, the only one there is."""
        if self._loaded_at is None or now - self._loaded_at >= PATIENCE:
            return None
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        named = [key for key in self._keys if key.kid == kid]
        return named[0] if len(named) == 1 else None

    def _parse(self, document: bytes) -> list[PublicKey]:
        if len(document) > MAX_DOCUMENT:
            raise ConfigError(f"{self.source}: the key set is larger than {MAX_DOCUMENT} bytes")
        try:
            entries = msgspec.json.decode(document, type=_Document).keys
        except msgspec.MsgspecError as fault:
            raise ConfigError(f"{self.source}: not a key set: {fault}") from None
        found = (_public_key(entry) for entry in entries)
        return [key for key in found if key is not None]


def _public_key(entry: dict[str, Any]) -> PublicKey | None:
    """A key that can check signatures, or None for any other (RFC 7517, section 5)."""
    members = _PUBLIC.get(str(entry.get("kty")))
    if members is None or entry.get("use", "sig") != "sig" or not _verifies(entry.get("key_ops")):
        return None
    public = {name: entry[name] for name in members if name in entry}
    try:
        if public["kty"] == "RSA" and len(_decoded(public["n"])) < _MIN_RSA:
            return None
        key = JWKRegistry.import_key(public)
        key.public_key  # noqa: B018 (whether the numbers are a key shows only now)
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


def _verifies(operations: object) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _decoded(value: str) -> bytes:
    return urlsafe_b64decode(value + "=" * (-len(value) % 4)).lstrip(b"\0")
