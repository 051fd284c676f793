"""What sessions have seen, in a transaction: remembered when a result comes, recalled to decide.

Only where a rule of the policy asks where values are from. A session that began before such a rule
was in force, or whose results nobody reported, answers as if everything in it could be anything.
No I/O of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from remit.model import AccessRequest, Does, Facts, Outcome, Principal, Session, SessionId
from remit.policy import PolicySet
from remit.policy.catalogue import Tool
from remit.policy.origins import at
from remit.provenance.forms import digest, identity
from remit.provenance.grounding import Provenance, leaves, recalled, stored
from remit.provenance.memory import Memory, join, say
from remit.provenance.observing import Fields, observe
from remit.storage import Snapshot, Transaction


def known(t: Snapshot, policies: PolicySet, session: Session) -> Provenance | None:
    """What the session has seen; None where no rule asks."""
    if not policies.tracks:
        return None
    body = t.memory(_key(session.id))
    found = recalled(body) if body is not None else Provenance(_fresh(session))
    missing = set(session.labels).difference(found.memory.seen, found.memory.overflown)
    if not missing:
        return found
    overflown = tuple(sorted(missing.union(found.memory.overflown)))
    return Provenance(replace(found.memory, overflown=overflown))


def facts(t: Snapshot, policies: PolicySet, session: Session, now: int) -> Facts:
    """What a decision about a call of this session may depend on."""
    return Facts(now=now, session=session, provenance=known(t, policies, session))


def opened(t: Transaction, policies: PolicySet, session: Session, caller: Session | None) -> None:
    """Begin to remember for a session. A sub-agent's begins with what its caller has seen.

    The intent of a sub-agent is the caller's word, not the user's: what the user said counts on.
    """
    if not policies.tracks:
        return
    memory = _fresh(session)
    if caller is not None and (before := known(t, policies, caller)) is not None:
        memory = before.memory
    t.put_memory(_key(session.id), stored(memory))


def ended(t: Transaction, policies: PolicySet, session: Session) -> None:
    """Let a caller remember what a sub-agent has seen; forget a session that nobody waits for."""
    if not policies.tracks:
        return
    seen = known(t, policies, session)
    caller = None if session.parent is None else t.session(session.parent)
    if caller is not None and seen is not None:
        before = known(t, policies, caller)
        assert before is not None, "the same policy"
        t.put_memory(_key(caller.id), stored(join(before.memory, seen.memory)))
    t.put_memory(_key(session.id), stored(forgotten(Memory(), session.labels)))


def said(t: Transaction, policies: PolicySet, session: Session, words: str) -> None:
    """Remember what the user said after the intent. It is the user's word from now on."""
    before = known(t, policies, session)
    if before is not None and words not in before.memory.said:
        t.put_memory(_key(session.id), stored(say(before.memory, words)))


def observed(
    t: Transaction,
    policies: PolicySet,
    session: Session,
    request: AccessRequest,
    outcome: Outcome | None,
    labels: Sequence[str],
) -> None:
    """Remember a result that the agent is shown, and put labels on what the call kept.

    Args:
        t: the transaction.
        policies: those in force.
        session: before the labels of the result joined it.
        request: as it ran.
        outcome: as it is shown; None: it is withheld.
        labels: those that the result puts on the session.
    """
    kept(t, policies, request, session)
    before = known(t, policies, session)
    if before is None or outcome is None:
        return
    tool = policies.tool(request.action.name)
    fields = _fields(tool, labels)
    result = outcome.error if outcome.result is None else outcome.result
    memory = before.memory
    if result is None:
        memory = forgotten(memory, labels)
    else:
        memory = observe(memory, result, request.arguments, fields)
    t.put_memory(_key(session.id), stored(memory))
    if session.ended_at is not None:
        ended(t, policies, session)


def unreported(t: Transaction, session: Session, labels: Sequence[str]) -> None:
    """Remember that a result with these labels came, or may have, and that nobody told it."""
    body = t.memory(_key(session.id))
    if body is not None and labels:
        t.put_memory(_key(session.id), stored(forgotten(recalled(body).memory, labels)))


def forgotten(memory: Memory, labels: Iterable[str]) -> Memory:
    """The memory of a session that may have seen anything with these labels."""
    return replace(memory, overflown=tuple(sorted({*memory.overflown, *labels})))


# Labels follow what is kept


def inherited(t: Snapshot, policies: PolicySet, request: AccessRequest) -> tuple[str, ...]:
    """The labels of what others kept under the names that this call reads."""
    found: set[str] = set()
    for key in _resources(policies.tool(request.action.name), request):
        body = t.memory(key)
        if body is not None:
            found.update(msgspec.json.decode(body, type=list[str]))
    return tuple(sorted(found))


def kept(t: Transaction, policies: PolicySet, request: AccessRequest, session: Session) -> None:
    """Put the labels of a session on what it writes."""
    tool = policies.tool(request.action.name)
    if not session.labels or set(tool.does) == {Does.READ}:
        return
    before = inherited(t, policies, request)
    labels = sorted({*before, *session.labels})
    for key in _resources(tool, request):
        t.put_memory(key, msgspec.json.encode(labels))


def _resources(tool: Tool, request: AccessRequest) -> list[str]:
    names = [
        identity(str(leaf))
        for path in tool.resource
        for value in at(request.arguments, path)
        for leaf in leaves(value)
    ]
    return [f"resource/{sha256(name.encode()).hexdigest()}" for name in names]


def _fields(tool: Tool, labels: Sequence[str]) -> Fields:
    """The declaration of a result; labels that it does not speak of lie on all of it."""
    others = tuple(label for label in labels if label not in tool.returns)
    by_path = {path: (*given, *others) for path, given in tool.returns_at.items()}
    return Fields(
        labels=others if by_path else (*tool.returns, *others),
        by_path=by_path,
        platform=tool.platform,
        claimed=tool.claims,
    )


def _fresh(session: Session) -> Memory:
    memory = Memory(own=_own(session.principal), overflown=session.labels)
    words = session.intent if session.parent is None else None
    return memory if words is None else say(memory, words)


def _own(principal: Principal) -> tuple[bytes, ...]:
    user = principal.user
    return () if user is None else (digest(identity(user.id)),)


def _key(session_id: SessionId) -> str:
    return f"session/{session_id}"
