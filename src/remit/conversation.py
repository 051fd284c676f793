"""Sessions in a transaction: opened for a task, what the user says in them, ended. No I/O."""

from __future__ import annotations

import msgspec

from remit import breakers, ledger, recall, remits, sessions
from remit.errors import AuditError, InvalidRequest
from remit.journal import Journal
from remit.model import Principal, Session, SessionId, TaskRemit
from remit.policy import PolicySet

GIVEN = "whoever opened the session"
"""Who a task remit is from that came with the opening of a session."""


def opened(
    journal: Journal,
    policies: PolicySet,
    principal: Principal,
    *,
    intent: str | None,
    parent: SessionId | None,
    session_id: SessionId | None,
    remit: TaskRemit | None,
    max_depth: int,
) -> Session:
    """Open a session and record it, narrowed to its task by policy and by whoever opens it.

    Raises:
        InvalidRequest: the id is taken or unusable, the parent cannot delegate, or the remit is
            none.
    """
    t, caller = journal.t, None
    if parent is not None:
        caller = t.session(parent)
        if caller is None:
            raise InvalidRequest("there is no such parent session; open it first")
    chosen = session_id if session_id is not None else SessionId(journal.new_id("s"))
    narrowed = remits.derived(policies, principal, intent)
    if remit is not None:
        narrowed = (*narrowed, _given(policies, remit))
    session = sessions.start(
        chosen,
        principal,
        journal.now,
        intent=intent,
        parent=caller,
        remits=narrowed,
        max_depth=max_depth,
    )
    if t.session(chosen) is not None:
        raise InvalidRequest(f"session {chosen} exists; leave the id out to get a new one")
    if caller is not None:
        delegating, session = breakers.delegated(caller, session, policies.breakers, journal.now)
        journal.keep(caller, delegating)
    _record(journal, session, intent)
    t.put_session(session)
    recall.opened(t, policies, session, caller)
    return session


def said(journal: Journal, policies: PolicySet, session_id: SessionId, words: str) -> Session:
    """Take in what the user said in a session after its intent, and record that they did.

    Raises:
        InvalidRequest: there is no such session, it has ended, it is a sub-agent's, or the words
            are none or too many.
    """
    session = journal.t.session(session_id)
    if session is None or session.ended_at is not None:
        what = "there is no such session" if session is None else "the session has ended"
        raise InvalidRequest(f"{what}; nothing was taken in")
    if session.parent is not None:
        raise InvalidRequest(
            f"session {session_id} was delegated: nobody but its caller speaks in it; say it in "
            f"{session.task}"
        )
    if not words.strip() or len(words) > sessions.MAX_INTENT:
        raise InvalidRequest(
            f"what the user says has 1 to {sessions.MAX_INTENT} characters, and this has "
            f"{len(words)}"
        )
    _record(journal, session, words, "said")
    recall.said(journal.t, policies, session, words)
    return session


def ended(journal: Journal, policies: PolicySet, session_id: SessionId) -> Session:
    """End a session and record it. Its labels join the session that delegated to it.

    Raises:
        InvalidRequest: there is no such session.
    """
    t = journal.t
    session = t.session(session_id)
    if session is None:
        raise InvalidRequest("there is no such session; nothing was ended")
    if session.ended_at is not None:
        return session
    closed = breakers.forgotten(sessions.end(session, journal.now))
    t.put_session(closed)
    journal.hand_up(closed)
    recall.ended(t, policies, closed)
    journal.append(ledger.session(closed, now=journal.now, args=None, note=journal.note))
    return closed


def _given(policies: PolicySet, remit: TaskRemit) -> TaskRemit:
    if remit.asked and not policies.tracks:
        raise InvalidRequest(
            "asked needs a policy that keeps what the user said: one with a rule or a task that "
            "asks where values are from (docs/information-flow.md)"
        )
    return remits.given(remit, GIVEN)


def _record(
    journal: Journal, session: Session, words: str | None, status: str | None = None
) -> None:
    """Record a session with what it is narrowed to, and a commitment to the user's words.

    Raises:
        InvalidRequest: the words cannot be kept.
    """
    told: dict[str, object] = {} if words is None else {"intent": words}
    if status is None and session.remits:
        told["remits"] = msgspec.to_builtins(session.remits)
    args, values = journal.seal(told or None)
    record = ledger.session(session, now=journal.now, args=args, note=journal.note, status=status)
    try:
        journal.append(record, values)
    except AuditError as problem:
        raise InvalidRequest(f"the session was not opened: {problem}") from None
