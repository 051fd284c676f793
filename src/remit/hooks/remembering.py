"""What hooks remember between two processes: the session of a host's session, and its open calls.

It lies in the governor's store, where no agent reaches it that cannot reach the log either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from remit.model import AccessRequest, Admission, SessionId
from remit.storage import Snapshot, Transaction

_MOST_OPEN = 64
"""Calls of one session that may be open; the oldest is forgotten, and its lease ends."""


class HookedCall(Struct, frozen=True, kw_only=True):
    """A call that was granted and has not ended yet."""

    request: AccessRequest
    admission: Admission
    looks_at_result: bool = False


class HostSession(Struct, frozen=True, kw_only=True):
    """What is remembered of one session of a host."""

    session: SessionId
    calls: Mapping[str, tuple[HookedCall, ...]] = field(default_factory=dict)
    """By the host's id of the call. Where hosts give none, the same call may be open twice."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(HostSession).decode


def memory_key(owner: str, host: str, session: str) -> str:
    """The key in the store of a host's session.

    Args:
        owner: whose hooks they are, so that one caller cannot take up another one's session.
        host: its name.
        session: its own name for the session.
    """
    digest = hashlib.sha256(f"{owner}\n{host}\n{session}".encode()).hexdigest()
    return f"hooks:{digest}"


def remembered(view: Snapshot, key: str) -> HostSession | None:
    """What is remembered under a key."""
    body = view.memory(key)
    return None if body is None else _decode(body)


def keep_session(t: Transaction, key: str, session: SessionId) -> None:
    """Remember a host's session, with no open calls."""
    t.put_memory(key, _encode(HostSession(session=session)))


def keep_call(t: Transaction, key: str, call: str, opened: HookedCall) -> None:
    """Remember that a call was granted."""
    known = remembered(t, key)
    assert known is not None, "a call is granted in a session"
    calls = {**known.calls, call: (*known.calls.get(call, ()), opened)}
    while sum(map(len, calls.values())) > _MOST_OPEN:
        oldest = next(iter(calls))
        calls = _without_first(calls, oldest)
    t.put_memory(key, _encode(replace(known, calls=calls)))


def take_call(t: Transaction, key: str, call: str) -> HookedCall | None:
    """Take an open call out, the oldest of that id; None when nothing was granted."""
    known = remembered(t, key)
    if known is None or call not in known.calls:
        return None
    t.put_memory(key, _encode(replace(known, calls=_without_first(known.calls, call))))
    return known.calls[call][0]


def _without_first(
    calls: Mapping[str, tuple[HookedCall, ...]], call: str
) -> dict[str, tuple[HookedCall, ...]]:
    left = {**calls, call: calls[call][1:]}
    return {each: opened for each, opened in left.items() if opened}
