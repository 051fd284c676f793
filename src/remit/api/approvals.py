"""Approvals over HTTP: what waits for a person, and the person's answer.

Only a person with the right ``reviewer`` decides, as whom their credential shows; nothing in a
request says who. Reading changes nothing. An agent sees where its own held calls stand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from remit.api import news
from remit.api.decoding import encoded
from remit.api.frame import Call, Parts, Problem, Reply, Route
from remit.api.repeats import repeatable
from remit.approvals import MAX_REASON, OPEN, Approval, ApprovalState, state_at
from remit.credentials import Right
from remit.events import Event, happened
from remit.governor import Governor
from remit.identity.model import Identity, may_use
from remit.identity.principals import with_policy
from remit.model import ApprovalId, Principal
from remit.protocols.approval_views import ApprovalView, approval_view
from remit.protocols.wire import LONGEST_WAIT
from remit.storage import Snapshot, Transaction

STREAM_LIFE = 600.0
"""Seconds after which a stream ends; its reader comes again and shows its credential anew."""
HEARTBEAT = 15.0
"""Seconds after which a stream that has nothing to say says so."""

_SCANNED = 2_000
"""Approvals that one page looks at, at most."""

StateWord: TypeAlias = Literal[
    "pending", "approved", "rejected", "expired", "used", "withdrawn", "open", "all"
]


class ApprovalQuery(Struct, frozen=True, kw_only=True):
    """Which approvals to list."""

    state: StateWord = "open"
    """``open``: pending or approved."""
    cursor: Annotated[str, Meta(max_length=256)] | None = None
    """``next`` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class WaitQuery(Struct, frozen=True, kw_only=True):
    """How long to wait for people."""

    wait: Annotated[float, Meta(ge=0, le=LONGEST_WAIT)] = 0
    """Seconds to wait for as long as the approval is pending."""


class GivenReason(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person gives as the reason for what they do."""

    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class ApprovalPage(Struct, frozen=True, kw_only=True):
    """Some approvals, oldest first."""

    items: tuple[ApprovalView, ...]
    next: str | None
    """``cursor`` of the next page; null on the last one."""


class ApprovalEvent(Struct, frozen=True, kw_only=True):
    """One event of the stream."""

    event: str
    at: int
    approval: ApprovalView


async def list_approvals(call: Call) -> Reply:
    """A page of approvals, for the people who decide."""
    asked: ApprovalQuery = call.query
    now = call.parts.clock()
    found, cursor = await call.parts.read(lambda view: _page(view, asked, now))
    items = tuple(approval_view(each, now, details=True) for each in found)
    return Reply(body=ApprovalPage(items=items, next=cursor))


async def show_approval(call: Call) -> Reply:
    """One approval; if asked to, once it is no longer pending."""
    asked: WaitQuery = call.query
    parts, identity = call.parts, call.identity
    wanted = ApprovalId(call.params["id"])

    async def decided() -> Approval | None:
        approval = await parts.read(lambda view: view.approval(wanted))
        return None if approval is None or _pending(approval, parts) else approval

    current = _seen(identity, await parts.read(lambda view: view.approval(wanted)))
    if asked.wait > 0 and _pending(current, parts):
        left = (current.expires_at - parts.clock()) / 1e9
        await news.until(parts.changes, wanted, decided, min(asked.wait, left + 0.001))
        current = _seen(identity, await parts.read(lambda view: view.approval(wanted)))
    details = bool(identity.rights & _PEOPLE)
    return Reply(body=approval_view(current, parts.clock(), details=details))


async def approve(call: Call) -> Reply:
    """One person's yes."""
    return await _decide(call, Governor.approve)


async def reject(call: Call) -> Reply:
    """One person's no, which is final."""
    return await _decide(call, Governor.reject)


async def withdraw(call: Call) -> Reply:
    """Take an approval back, or a request for one."""
    return await _decide(call, Governor.withdraw)


async def stream_approvals(call: Call) -> Reply:
    """What happens to approvals, as server-sent events.

    The id of an event is its position in the log; ``Last-Event-ID`` goes on behind it.
    """
    given = call.headers.get("Last-Event-ID")
    size = await call.parts.read(lambda view: view.log_size())
    if given is None:
        start = size
    elif given.isascii() and given.isdigit() and len(given) <= 16:
        start = min(int(given) + 1, size)
    else:
        raise Problem(400, "invalid-event-id", "Last-Event-ID is the id of an event of this stream")
    headers = {"X-Accel-Buffering": "no"}
    return Reply(stream=_Stream(call.parts, start).run(), headers=headers)


_Step: TypeAlias = Callable[[Governor, Transaction, ApprovalId, Principal, str], Approval]


async def _decide(call: Call, step: _Step) -> Reply:
    """Take a step as the person whom the credential shows."""
    parts, again = call.parts, repeatable(call)
    asked: GivenReason = call.body or GivenReason()
    wanted = ApprovalId(call.params["id"])
    by = with_policy(call.identity.principal, parts.policies.current)
    moved: list[Approval] = []

    def work(t: Transaction) -> bytes:
        moved.clear()
        answered = again.found(t)
        if answered is None:
            _there(t.approval(wanted))
            approval = step(parts.governor, t, wanted, by, asked.reason)
            moved.append(approval)
            answered = encoded(approval_view(approval, parts.clock(), details=True))
            again.keep(t, answered)
        return answered

    answered = await parts.write(work)
    news.tell(parts.changes, *moved)
    return Reply(body=answered)


def _page(
    view: Snapshot, asked: ApprovalQuery, now: int
) -> tuple[list[Approval], ApprovalId | None]:
    """Approvals whose state at ``now`` is the one asked for, and where the next page begins.

    Raises:
        Problem: there is no such place.
    """
    wanted, stored = _states(asked.state)
    place = None if asked.cursor is None else ApprovalId(asked.cursor)
    if place is not None and view.approval(place) is None:
        raise Problem(400, "invalid-cursor", "This is no cursor of an earlier page.")
    found: list[Approval] = []
    scanned = 0
    while scanned < _SCANNED:
        chunk = view.approvals(stored, asked.limit + 1, place)
        for each in chunk:
            if state_at(each, now) in wanted:
                if len(found) == asked.limit:
                    return found, place
                found.append(each)
            place = each.id
        scanned += len(chunk)
        if len(chunk) <= asked.limit:
            return found, None
    return found, place


def _states(word: StateWord) -> tuple[tuple[ApprovalState, ...], tuple[ApprovalState, ...]]:
    """The states that are wanted, and those under which the store may have them."""
    if word == "all":
        return tuple(ApprovalState), tuple(ApprovalState)
    if word == "open":
        return OPEN, OPEN
    state = ApprovalState(word)
    # One whose time has passed stays open in the store until it is swept.
    return (state,), (state, *OPEN) if state is ApprovalState.EXPIRED else (state,)


class _Stream:
    """One reader's place in the log."""

    def __init__(self, parts: Parts, position: int) -> None:
        self._parts = parts
        self._position = position

    async def run(self) -> AsyncIterator[bytes]:
        """The lines of the stream, until its time is over or the server drains."""
        changes, end = self._parts.changes, monotonic() + STREAM_LIFE
        yield _message("ready", self._position - 1, b"{}")
        while not changes.draining and monotonic() < end:
            found = await news.until(changes, news.APPROVALS, self._look, HEARTBEAT)
            yield found if found is not None else b":\n\n"

    async def _look(self) -> bytes | None:
        """What is new, as messages."""
        messages, self._position = await self._parts.read(self._read)
        return b"".join(messages) or None

    def _read(self, view: Snapshot) -> tuple[list[bytes], int]:
        """Go on in the log up to its end, or to what is enough to be sent at once."""
        messages: list[bytes] = []
        start = self._position
        while not messages:
            found = happened(view, start)
            told = (self._told(view, event) for event in found.events)
            messages = [message for message in told if message is not None]
            if found.position == start:
                break
            start = found.position
        return messages, start

    def _told(self, view: Snapshot, event: Event) -> bytes | None:
        approval = view.approval(ApprovalId(event.subject))
        if approval is None or not event.kind.startswith("approval."):
            return None
        shown = approval_view(approval, self._parts.clock(), details=True)
        told = ApprovalEvent(event=event.kind, at=event.at, approval=shown)
        return _message(event.kind, event.position, encoded(told))


def _message(kind: str, position: int, data: bytes) -> bytes:
    """One message of an event stream (HTML standard, section 9.2). JSON has no line feeds."""
    return b"event: %b\nid: %d\ndata: %b\n\n" % (kind.encode(), position, data)


def _pending(approval: Approval, parts: Parts) -> bool:
    return state_at(approval, parts.clock()) is ApprovalState.PENDING


def _there(approval: Approval | None) -> Approval:
    if approval is None:
        raise Problem(404, "no-such-approval", "There is no such approval.")
    return approval


def _seen(identity: Identity, approval: Approval | None) -> Approval:
    """The approval, if the caller may know of it; else there is none for them.

    Raises:
        Problem: 404.
    """
    found = _there(approval)
    if identity.rights & _PEOPLE or may_use(identity, found.requester, found.session or None):
        return found
    return _there(None)


_PEOPLE = frozenset({Right.REVIEWER, Right.AUDITOR})
_REVIEWER = frozenset({Right.REVIEWER})
_TAG = "approvals"

ROUTES = (
    Route(
        method="GET",
        path="/v1/approvals",
        handler=list_approvals,
        rights=_PEOPLE,
        summary="Approvals by state, oldest first",
        tag=_TAG,
        query=ApprovalQuery,
        reply=ApprovalPage,
    ),
    Route(
        method="GET",
        path="/v1/approvals/stream",
        handler=stream_approvals,
        rights=_PEOPLE,
        summary="What happens to approvals, as server-sent events",
        description="Begins with an event `ready`; from then on nothing is missed. Ends after ten "
        "minutes at most: connect again with `Last-Event-ID`.",
        tag=_TAG,
        media="text/event-stream",
        streams=True,
    ),
    Route(
        method="GET",
        path="/v1/approvals/{id}",
        handler=show_approval,
        rights=_PEOPLE | {Right.AGENT},
        summary="One approval, at once or when it is decided",
        description="Agents see their own, without `details`.",
        tag=_TAG,
        query=WaitQuery,
        reply=ApprovalView,
        problems=(404,),
        waits=LONGEST_WAIT,
    ),
    *(
        Route(
            method="POST",
            path=f"/v1/approvals/{{id}}/{word}",
            handler=handler,
            rights=_REVIEWER,
            summary=summary,
            description="The person is the one whom the credential shows.",
            tag=_TAG,
            body=GivenReason,
            body_optional=True,
            reply=ApprovalView,
            problems=(404, 409, 422),
        )
        for word, handler, summary in (
            ("approve", approve, "Say yes; the same call, made again, then runs once"),
            ("reject", reject, "Say no; one no is enough"),
            ("withdraw", withdraw, "Take an approval back, or a request for one"),
        )
    ),
)
