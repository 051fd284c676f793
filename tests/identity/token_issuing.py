"""An issuer of tokens for tests: real keys, real signatures."""

from __future__ import annotations

import json

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

NOW = 1_800_000_000
"""Seconds."""
NOW_NS = NOW * 1_000_000_000
ISSUER = "https://login.corp.example"


def keys():
    """One key of each kind; the id names the algorithm."""
    return {
        "RS256": RSAKey.generate_key(2048, {"kid": "RS256"}),
        "ES256": ECKey.generate_key("P-256", {"kid": "ES256"}),
        "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "EdDSA"}),
    }


def document(*found):
    """A JWKS document with the public halves."""
    return json.dumps(KeySet(list(found)).as_dict(private=False)).encode()


def claims(**changed):
    """Good claims, with changes; None leaves one out."""
    good = {
        "iss": ISSUER,
        "aud": "remit",
        "sub": "inventory-bot",
        "iat": NOW - 10,
        "exp": NOW + 300,
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


class AnyAlgorithm(JWSRegistry):
    """Signs with whatever is asked for, also with what nobody should."""

    def get_alg(self, name):
        return self.algorithms[name]

    def check_header(self, header):
        pass


def signed(key, algorithm, content, **header):
    """A token."""
    names = {"alg": algorithm, "kid": key.kid} | header
    names = {name: value for name, value in names.items() if value is not None}
    return jwt.encode(names, content, key, registry=AnyAlgorithm(strict_check_header=False))


def shared_secret(text):
    """A symmetric key made of what everybody knows."""
    return OctKey.import_key(text, {"kid": "RS256"})
