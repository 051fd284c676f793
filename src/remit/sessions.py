"""Sessions: one task of one agent, what it has seen and what it has done.

Labels only grow, counters only count up, and an ended session admits nothing. A child session (a
sub-agent) starts with its parent's labels; when it ends, its labels join its parent, which from
then on may know what the child knew. Pure: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from remit.errors import InvalidRequest
from remit.model import AccessRequest, Effect, Principal, Reason, Session, SessionId, TaskRemit

MAX_DEPTH = 8
"""How deep delegation may go, unless configured otherwise."""

MAX_COUNTED = 256
"""How many tool names a session counts by name; calls of all others count under ``*``."""

MAX_NAME = 200
"""Characters. A longer tool name counts under ``*``; a longer session id is refused."""

MAX_INTENT = 10_000
"""Characters. Of each thing that the user says later, too."""

MAX_REMITS = 32
"""Task remits of one session, those of the sessions above it included."""


def start(
    session_id: SessionId,
    principal: Principal,
    now: int,
    *,
    intent: str | None = None,
    parent: Session | None = None,
    remits: tuple[TaskRemit, ...] = (),
    max_depth: int = MAX_DEPTH,
) -> Session:
    """A new session. With a ``parent``, it acts on behalf of the parent's principal.

    What the parent is narrowed to, it is narrowed to as well, besides ``remits``.

    Raises:
        InvalidRequest: the id or the intent is unusable, or the parent cannot delegate (any more).
    """
    if not session_id or len(session_id) > MAX_NAME or not session_id.isprintable():
        raise InvalidRequest(
            f"a session id has 1 to {MAX_NAME} printable characters; leave it out to get one"
        )
    if intent is not None and len(intent) > MAX_INTENT:
        raise InvalidRequest(
            f"the intent has {len(intent)} characters; say it in {MAX_INTENT} or fewer"
        )
    if parent is None:
        return Session(
            id=session_id, principal=principal, started_at=now, intent=intent, remits=remits
        )
    if parent.ended_at is not None:
        raise InvalidRequest(f"session {parent.id} has ended; delegate from an open session")
    if parent.depth + 1 > max_depth:
        raise InvalidRequest(
            f"session {parent.id} is {parent.depth} delegations deep and {max_depth} are allowed; "
            "let the agent that asked do this step itself"
        )
    if principal.on_behalf_of not in (None, parent.principal):
        raise InvalidRequest(
            f"{principal.id} already acts on behalf of another than {parent.principal.id}; "
            "delegate to the agent alone"
        )
    both = (*parent.remits, *remits)
    if len(both) > MAX_REMITS:
        raise InvalidRequest(f"the session would have more than {MAX_REMITS} task remits")
    return Session(
        id=session_id,
        principal=replace(principal, on_behalf_of=parent.principal),
        started_at=now,
        intent=intent,
        labels=parent.labels,
        parent=parent.id,
        depth=parent.depth + 1,
        task=parent.task or parent.id,
        remits=tuple(each for at, each in enumerate(both) if each not in both[:at]),
    )


def end(session: Session, now: int) -> Session:
    """The session, ended. Ending it again changes nothing."""
    return session if session.ended_at is not None else replace(session, ended_at=now)


def join(session: Session, labels: Iterable[str]) -> Session:
    """The session with ``labels`` added; the same object when it has them all."""
    added = set(labels).difference(session.labels)
    if not added:
        return session
    return replace(session, labels=tuple(sorted(added.union(session.labels))))


def added(before: Session, after: Session) -> tuple[str, ...]:
    """The labels that ``after`` has and ``before`` had not, sorted."""
    if after is before:
        return ()
    return tuple(label for label in after.labels if label not in before.labels)


def count(session: Session, tool: str) -> Session:
    """The session with one more admitted call of ``tool``."""
    calls = dict(session.calls)
    name = tool
    if name not in calls and (len(calls) >= MAX_COUNTED - 1 or len(name) > MAX_NAME):
        name = "*"
    calls[name] = calls.get(name, 0) + 1
    return replace(session, calls=calls)


def pay(session: Session, nano_usd: int) -> Session:
    """The session with what one more action has cost; below zero where a charge is corrected."""
    if not nano_usd:
        return session
    return replace(session, nano_usd=max(0, session.nano_usd + nano_usd))


def carrier(session: Session | None, request: AccessRequest) -> Session | Reason:
    """The session, if it can carry the request; else why not, whatever policy says."""
    if session is None:
        return _stop(
            "session-unknown",
            "There is no such session.",
            "Open a session for the agent, then call the tool in it.",
        )
    if not _same(session.principal, request.principal):
        return _stop(
            "session-principal",
            "The session belongs to another principal.",
            "Call the tool in the agent's own session, or delegate to it from this one.",
        )
    if session.ended_at is not None:
        return _stop("session-ended", "The session has ended.", "Open a new session.")
    return session


def _same(one: Principal, other: Principal) -> bool:
    """Whether two chains name the same actors; roles may have changed with the policy."""
    if one is other:
        return True
    return [(link.kind, link.id) for link in one.chain()] == [
        (link.kind, link.id) for link in other.chain()
    ]


def _stop(rule: str, because: str, instead: str) -> Reason:
    return Reason(rule=rule, effect=Effect.DENY, because=because, instead=instead)
