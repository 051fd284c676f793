"""How a message is signed: Standard Webhooks 1.0, symmetric signatures (HMAC-SHA-256). Pure.

Receivers check with any library for Standard Webhooks: the signature covers the id, the time of
sending and the body, so neither an old message nor another one can be passed off as new.
"""

from __future__ import annotations

import base64
import hmac

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

TOLERANCE = 300
"""Seconds that the time of sending may differ from the receiver's clock."""


def signed_headers(key: bytes, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of a message that is sent at ``seconds`` since the epoch."""
    return {
        ID: message_id,
        TIMESTAMP: str(seconds),
        SIGNATURE: f"v1,{_signature(key, message_id, str(seconds), body)}",
    }


def verify(key: bytes, message_id: str, timestamp: str, signature: str, body: bytes) -> bool:
    """Whether one of the signatures in the header ``signature`` is good. For receivers in Python.

    The time is not looked at: refuse a ``timestamp`` that is ``TOLERANCE`` off, and an id that was
    seen before.
    """
    wanted = f"v1,{_signature(key, message_id, timestamp, body)}".encode()
    return any(hmac.compare_digest(each.encode(), wanted) for each in signature.split(" "))


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), body)
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
