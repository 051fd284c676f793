"""A governor elsewhere: its HTTP API as functions, over TCP, TLS or a Unix socket.

Blocking and safe for threads; it needs nothing but the standard library and msgspec.
"""

from __future__ import annotations

from remit.client.endpoint import Endpoint, read_endpoint
from remit.client.governor import GovernorClient, Unsettled, settle_key
from remit.client.transport import Transport

__all__ = ["Endpoint", "GovernorClient", "Transport", "Unsettled", "read_endpoint", "settle_key"]
