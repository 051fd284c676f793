"""Approvals: what waits for the person who is signed in, and their answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from remit import standing
from remit.api import news
from remit.api.frame import Call, Problem, Reply, Route
from remit.approvals import MAX_REASON, Approval, ApprovalState
from remit.console import pages
from remit.console.held import (
    Coverage,
    HeldCall,
    coverage,
    held,
    may_decide,
    open_ones,
    reviewers,
    shape,
)
from remit.console.pages import PREFIX, READERS, REVIEWERS
from remit.credentials import Right
from remit.errors import ApprovalError
from remit.governor import Governor
from remit.identity.principals import with_policy
from remit.journal import Journal
from remit.model import ApprovalId, Principal
from remit.storage import Snapshot, Transaction

MOST_AT_ONCE = 50
"""Approvals that one click decides at most."""
_MINUTE = 60_000_000_000


class AnswerForm(Struct, frozen=True, kw_only=True):
    """What a person says to a held call."""

    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""
    also: Annotated[tuple[str, ...], Meta(max_length=MOST_AT_ONCE)] = ()
    """Further approvals, of identical shape."""
    covers: Literal["once", "session", "until"] = "once"
    """Only this call; or calls like it, in its session or in any, for ``minutes``."""
    minutes: Annotated[int, Meta(ge=1, le=24 * 60)] = 60
    names: Annotated[tuple[str, ...], Meta(max_length=200)] = ()
    """Of the arguments, in the order of ``patterns``."""
    patterns: Annotated[tuple[str, ...], Meta(max_length=200)] = ()
    """What each of them may be; an empty one stays as it is."""

    @property
    def fits(self) -> dict[str, str]:
        """The patterns by argument."""
        pairs = zip(self.names, self.patterns, strict=False)
        return {name: pattern for name, pattern in pairs if pattern}


class SaidQuery(Struct, frozen=True, kw_only=True):
    """What came of the last answer, to be told on the next page."""

    said: Annotated[str, Meta(max_length=40)] = ""


_Step: TypeAlias = Callable[[Governor, Transaction, ApprovalId, Principal, str], Approval]


async def inbox(call: Call) -> Reply:
    """What waits; the first of it in full."""
    waiting = await call.parts.read(lambda view: open_ones(view, call.parts.clock()))
    first = waiting[0].id if waiting else None
    return await _shown(call, first, waiting)


async def one(call: Call) -> Reply:
    """One of them."""
    wanted = ApprovalId(call.params["id"])
    waiting = await call.parts.read(lambda view: open_ones(view, call.parts.clock()))
    return await _shown(call, wanted, waiting)


async def approve(call: Call) -> Reply:
    """A yes, to one or to several of identical shape."""
    return await _decide(call, Governor.approve, "approved")


async def reject(call: Call) -> Reply:
    """A no, whose reason reaches the model."""
    return await _decide(call, Governor.reject, "rejected")


async def withdraw(call: Call) -> Reply:
    """Take back a yes that nobody has used."""
    return await _decide(call, Governor.withdraw, "withdrawn")


async def _decide(call: Call, step: _Step, word: str) -> Reply:
    asked: AnswerForm = call.body
    parts = call.parts
    first = ApprovalId(call.params["id"])
    wanted = [first, *(ApprovalId(each) for each in asked.also if each != first)]
    by = with_policy(call.identity.principal, parts.policies.current)

    def work(t: Transaction) -> list[Approval]:
        _alike(t, wanted)
        moved = [step(parts.governor, t, each, by, asked.reason.strip()) for each in wanted]
        if word == "approved" and asked.covers != "once":
            _stand(call, t, moved[0], by)
        return moved

    try:
        moved = await parts.write(work)
    except ApprovalError as error:
        waiting = await parts.read(lambda view: open_ones(view, parts.clock()))
        return await _shown(call, first, waiting, problem=str(error))
    news.tell(parts.changes, *moved)
    if word == "approved" and any(each.state is ApprovalState.PENDING for each in moved):
        word = "counted"
    if len(moved) == 1:
        return pages.to(f"approvals/{first}?said={word}")
    return pages.to(f"approvals?said={word}-{len(moved)}")


def _stand(call: Call, t: Transaction, approval: Approval, by: Principal) -> None:
    """Say yes to calls like the one that was just approved."""
    asked: AnswerForm = call.body
    journal = Journal.begin(t, call.parts.clock(), call.parts.entropy)
    standing.give(
        journal,
        approval,
        by,
        fits=asked.fits,
        until=journal.now + asked.minutes * _MINUTE,
        session=approval.session if asked.covers == "session" else None,
    )


async def covered(call: Call) -> Reply:
    """What an answer would cover, before it is given."""
    asked: AnswerForm = call.body
    wanted = ApprovalId(call.params["id"])

    def read(view: Snapshot) -> tuple[Approval, Coverage]:
        approval = view.approval(wanted)
        if approval is None:
            raise Problem(404, "no-such-approval", "There is no such approval.")
        session = approval.session if asked.covers == "session" else None
        return approval, coverage(view, approval, asked.fits, session)

    approval, found = await call.parts.read(read)
    return pages.fragment(
        call,
        "covers.html",
        asked=asked,
        a=approval,
        found=found,
        until=call.parts.clock() + asked.minutes * _MINUTE,
    )


async def take_back(call: Call) -> Reply:
    """End a standing approval."""
    wanted, parts = call.params["id"], call.parts
    by = with_policy(call.identity.principal, parts.policies.current)

    def work(t: Transaction) -> None:
        standing.take_back(Journal.begin(t, parts.clock(), parts.entropy), wanted, by)

    try:
        await parts.write(work)
    except ApprovalError as error:
        raise Problem(404, "no-such-approval", f"{error}.") from None
    return pages.to("approvals?said=withdrawn")


def _alike(view: Snapshot, wanted: list[ApprovalId]) -> None:
    """Refuse to decide different things at once.

    Raises:
        Problem: they are, or one of them is not there.
    """
    found = [view.approval(each) for each in wanted]
    there = [each for each in found if each is not None]
    if len(there) < len(found):
        raise Problem(404, "no-such-approval", "There is no such approval.")
    if len({shape(each) for each in there}) > 1:
        raise Problem(
            422, "not-alike", "Only calls of identical shape can be decided together; go back."
        )


async def _shown(
    call: Call, wanted: ApprovalId | None, waiting: list[Approval], problem: str = ""
) -> Reply:
    now = call.parts.clock()

    def read(view: Snapshot) -> tuple[HeldCall | None, list[object], list[object]]:
        approval = None if wanted is None else view.approval(wanted)
        if wanted is not None and approval is None:
            raise Problem(404, "no-such-approval", "There is no such approval.")
        found = None if approval is None else held(view, approval, now)
        return found, list(reviewers(view, now)), list(standing.in_force(view, now))

    found, people, lasting = await call.parts.read(read)
    who = with_policy(call.identity.principal, call.parts.policies.current)
    return await pages.page(
        call,
        "approvals.html",
        422 if problem else 200,
        waiting=waiting,
        it=found,
        people=people,
        lasting=lasting,
        problem=problem,
        said="" if call.query is None else call.query.said,
        hindrance=None if found is None else may_decide(found.approval, who),
        reviewer=pages.may(call, Right.REVIEWER),
    )


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/approvals",
        handler=inbox,
        rights=REVIEWERS | READERS,
        summary="What waits for people",
        query=SaidQuery,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/approvals/{{id}}",
        handler=one,
        rights=REVIEWERS | READERS,
        summary="One held call",
        query=SaidQuery,
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/standing/{{id}}/end",
        handler=take_back,
        rights=REVIEWERS,
        summary="End a standing approval",
        body=AnswerForm,
    ),
    *(
        Route(
            method="POST",
            path=f"{PREFIX}/approvals/{{id}}/{word}",
            handler=handler,
            rights=REVIEWERS,
            summary=summary,
            body=AnswerForm,
        )
        for word, handler, summary in (
            ("approve", approve, "Say yes"),
            ("covers", covered, "What a yes would cover"),
            ("reject", reject, "Say no"),
            ("withdraw", withdraw, "Take a yes back"),
        )
    ),
)
