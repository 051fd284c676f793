"""Requests that come again: the same ``Idempotency-Key`` gets the same answer, carried out once.

The answer is kept in the transaction that it is about, so neither is there without the other.
"""

from __future__ import annotations

import hashlib
import re

from msgspec import Struct

from remit.api.frame import Call, Problem
from remit.storage import KeptReply, Transaction

KEPT = 600_000_000_000
"""Nanoseconds for which an answer is kept at least: ten minutes."""

_KEY = re.compile(r"[!-~]{1,200}")
_FORGET_ONE_IN = 64
_FORGET = 256


class Repeatable(Struct, frozen=True):
    """One request, by the key that its sender gave it; without one it is always new."""

    key: str | None
    digest: bytes
    now: int

    def found(self, t: Transaction) -> bytes | None:
        """What was answered before; None when it is new.

        Raises:
            Problem: the key was used for another request.
        """
        kept = None if self.key is None else t.reply(self.key)
        if kept is None:
            return None
        if kept.digest != self.digest:
            raise Problem(
                422,
                "key-reused",
                "This Idempotency-Key was used for another request. Give each request its own.",
            )
        return kept.body

    def keep(self, t: Transaction, body: bytes) -> None:
        """Keep the answer; now and then drop old ones, more of them than came since."""
        if self.key is None:
            return
        t.put_reply(KeptReply(key=self.key, at=self.now, digest=self.digest, body=body))
        if self.digest[0] < 256 // _FORGET_ONE_IN:
            t.forget_replies(self.now - KEPT, _FORGET)


def repeatable(call: Call) -> Repeatable:
    """The request of ``call``, to be recognised when it comes again.

    Keys of different callers never meet, also where they share an issuer of credentials.

    Raises:
        Problem: the key is malformed.
    """
    given, now = call.headers.get("Idempotency-Key"), call.parts.clock()
    if given is None:
        return Repeatable(None, b"", now)
    if _KEY.fullmatch(given) is None:
        raise Problem(
            400, "invalid-key", "An Idempotency-Key has 1 to 200 visible ASCII characters."
        )
    identity = call.identity
    chain = "\n".join(f"{link.kind} {link.id}" for link in identity.principal.chain())
    route = call.route
    target = "\n".join((route.method, route.path, *call.params.values(), ""))
    digest = hashlib.sha256(target.encode() + call.raw).digest()
    return Repeatable(f"{given}\n{identity.credential}\n{chain}", digest, now)
