"""Who calls the server: from what a request shows to an ``Identity``.

This package exports the words that everything above it speaks. What needs the ``server`` extra
(tokens, delegation, the authenticator) is imported from its module.
"""

from __future__ import annotations

from remit.credentials import Credential, CredentialId, Right
from remit.errors import AuthenticationError
from remit.identity.model import (
    Identity,
    Narrowing,
    Peer,
    RequestFacts,
    may_act_as,
    may_see,
    may_use,
    permits,
)

__all__ = [
    "AuthenticationError",
    "Credential",
    "CredentialId",
    "Identity",
    "Narrowing",
    "Peer",
    "RequestFacts",
    "Right",
    "may_act_as",
    "may_see",
    "may_use",
    "permits",
]
