"""Requests that come again: what has an ``Idempotency-Key`` is sent once, across restarts too.

Before a request is sent, a mark is made durable; after it was answered, the answer is kept beside
it. A mark is never dropped: where nobody knows whether a request arrived, or its answer is kept no
longer, the same key sends nothing. A mark holds no arguments; answers can be erased.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from remit.api.frame import Parts, Problem
from remit.gateway.legacy_answers import ShownAnswer
from remit.model import Principal, SessionId
from remit.storage import KeptReply, Snapshot, Transaction

_KEY = re.compile(r"[!-~]{1,200}")
_MOST_KEPT = 1_048_576
"""Bytes of an answer that is kept."""


class RequestMark(Struct, frozen=True, kw_only=True):
    """What became of a request."""

    digest: str
    """SHA-256 of the request."""
    state: Literal["sending", "answered", "free"]
    """``sending``: it is, or nobody knows what came of it. ``free``: it certainly was not sent, so
    that the key may be used again."""
    session: SessionId
    labelled: bool = False
    """Whether the answer put labels on its session."""
    status: int = 0


class RepeatedRequests:
    """The marks of requests with an ``Idempotency-Key``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def of(
        self, principal: Principal, session: SessionId, upstream: str, key: str, digest: str
    ) -> KeyedRequest:
        """One request, to be recognised when it comes again.

        Keys of different callers never meet.

        Raises:
            Problem: the key is malformed.
        """
        if not _KEY.fullmatch(key):
            raise Problem(
                400, "invalid-key", "An Idempotency-Key has 1 to 200 visible ASCII characters."
            )
        chain = [f"{link.kind} {link.id}" for link in principal.chain()]
        scope = "\n".join([upstream, *chain, key])
        name = f"legacy:{hashlib.sha256(scope.encode()).hexdigest()}"
        return KeyedRequest(self._parts, name, session, digest)


class KeyedRequest:
    """One request with a key. Whoever works with it holds a lock on its ``name``."""

    def __init__(self, parts: Parts, name: str, session: SessionId, digest: str) -> None:
        self.name = name
        self._parts = parts
        self._session = session
        self._digest = digest

    async def before(self) -> ShownAnswer | None:
        """What was answered before; None where it is to be sent now.

        Raises:
            Problem: it was sent, and cannot be answered; or the key belongs to another request.
        """
        return await self._parts.read(self._answered)

    async def begin(self) -> None:
        """Make it durable that the request is being sent from now on.

        Raises:
            Problem: it was sent in the meantime.
        """

        def work(t: Transaction) -> None:
            if self._answered(t) is not None:
                raise Problem(409, "done-before", "Another server sent this request just now.")
            self._put(t, "sending")

        await self._parts.write(work)

    async def free(self) -> None:
        """It was not sent after all."""
        await self._parts.write(lambda t: self._put(t, "free"))

    async def answered(self, answer: ShownAnswer, *, labelled: bool) -> None:
        """It was answered: keep what was shown."""
        kept = msgspec.msgpack.encode(answer)

        def work(t: Transaction) -> None:
            self._put(t, "answered", status=answer.status, labelled=labelled)
            if len(kept) <= _MOST_KEPT and t.reply(self.name) is None:
                digest, now = bytes.fromhex(self._digest), self._parts.clock()
                t.put_reply(KeptReply(key=self.name, at=now, digest=digest, body=kept))

        await self._parts.write(work)

    def _put(
        self,
        t: Transaction,
        state: Literal["sending", "answered", "free"],
        *,
        status: int = 0,
        labelled: bool = False,
    ) -> None:
        mark = RequestMark(
            digest=self._digest,
            state=state,
            session=self._session,
            status=status,
            labelled=labelled,
        )
        t.put_memory(self.name, _encode(mark))

    def _answered(self, view: Snapshot) -> ShownAnswer | None:
        stored = view.memory(self.name)
        mark = None if stored is None else _decode(stored)
        if mark is None or mark.state == "free":
            return None
        if mark.digest != self._digest:
            raise Problem(
                422,
                "key-reused",
                "This Idempotency-Key was used for another request. Give each request its own.",
            )
        if mark.state == "sending":
            raise Problem(409, "outcome-unknown", _UNKNOWN)
        reply = view.reply(self.name)
        if reply is None or (mark.labelled and mark.session != self._session):
            raise Problem(
                409,
                "done-before",
                f"This request was sent before and answered with {mark.status}. Its answer is not "
                "kept any longer, or belongs to another session. Nothing was sent now.",
                members={"answered": mark.status},
            )
        return msgspec.msgpack.decode(reply.body, type=ShownAnswer)


_UNKNOWN = (
    "This request was sent before, and nobody knows whether it arrived: the server behind, or this "
    "one, ended before it was answered. Nothing was sent now. Look whether it has happened; if it "
    "has not, send it with another Idempotency-Key."
)
_encode: Callable[[RequestMark], bytes] = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RequestMark).decode
