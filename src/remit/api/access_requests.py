"""Access requests after a denial (AuthZEN access-request profile, ARAP): people are asked.

An access request is an approval of Remit under the names of the profile: its id is the task's and
the approval's. What a denial was about is found in the log, where every evaluation is recorded.
"""

from __future__ import annotations

import msgspec

from remit.api.decoding import encoded
from remit.api.evaluating import (
    ACCESS_REQUESTS,
    REQUESTABLE,
    RETRY_AFTER,
    Question,
    question_of,
    recorded,
)
from remit.api.frame import Call, Problem, Reply, Route
from remit.api.repeats import Repeatable, repeatable
from remit.api.subjects import Subjects
from remit.approvals import Approval, ApprovalState, state_at
from remit.audit.record import Record, parse_record
from remit.credentials import Right
from remit.governor import EVALUATED
from remit.model import ApprovalId, Effect
from remit.protocols import authzen
from remit.protocols.authzen import (
    AccessRequestBody,
    ApprovalResult,
    Cancellation,
    Task,
    TaskReply,
    TaskResult,
    TaskStatus,
)
from remit.storage import Snapshot, Transaction
from remit.verdict import ApprovalUse

_ASKING = ApprovalUse(asks=True, uses=None)
_STATUS: dict[ApprovalState, TaskStatus] = {
    ApprovalState.PENDING: "pending",
    ApprovalState.APPROVED: "approved",
    ApprovalState.USED: "approved",
    ApprovalState.REJECTED: "denied",
    ApprovalState.EXPIRED: "expired",
    ApprovalState.WITHDRAWN: "cancelled",
}


async def submit(call: Call) -> Reply:
    """Ask people to approve what an evaluation denied."""
    asked: AccessRequestBody = call.body
    question, again = question_of(call, _subjects(call), asked.evaluation()), repeatable(call)

    def work(t: Transaction) -> bytes:
        answered = _answered_before(again, t)
        if answered is None:
            approval = _asked_for(t, call, question, asked.denial.evaluation_id)
            answered = encoded(_task(call, approval))
            again.keep(t, answered)
        return answered

    body = await recorded(call, work)
    place = msgspec.json.decode(body, type=TaskReply).task.status_endpoint
    return Reply(body=body, headers={"Location": place})


async def show(call: Call) -> Reply:
    """How an access request stands."""
    subjects = _subjects(call)
    approval = await call.parts.read(lambda view: _visible(view, call, subjects))
    reply = _task(call, approval)
    waits = reply.task.status == "pending"
    return Reply(body=reply, headers={"Retry-After": str(RETRY_AFTER)} if waits else {})


async def cancel(call: Call) -> Reply:
    """Take an access request back before people have decided."""
    asked: Cancellation = call.body or Cancellation()
    parts, subjects = call.parts, _subjects(call)
    reason = " ".join(filter(None, (asked.reason, asked.comment)))

    def work(t: Transaction) -> Approval:
        approval = _visible(t, call, subjects)
        if state_at(approval, parts.clock()) is not ApprovalState.PENDING:
            raise _problem(409, "invalid_task_state", "It has been decided, or its time is over.")
        return parts.governor.withdraw(t, approval.id, approval.requester, reason)

    approval = await recorded(call, work)
    parts.changes.announce(approval.id)
    return Reply(body=_task(call, approval))


def _asked_for(t: Transaction, call: Call, question: Question, evaluation: str) -> Approval:
    """The approval that waits for people, new or not, after checking what it is about.

    Raises:
        Problem: the denial is another's, too old, or nothing that people could approve.
    """
    parts = call.parts
    denied = _denial(t, evaluation)
    if parts.clock() // 1000 >= denied.at + REQUESTABLE // 1000:
        raise _problem(410, "expired_denial", "The denial is too old. Evaluate again, then ask.")
    admission = parts.governor.evaluate(t, question.request, _ASKING, question.objection)
    if denied.revision != admission.decision.revision:
        raise _problem(410, "expired_denial", "The policy has changed. Evaluate again, then ask.")
    if denied.digest != admission.digest:
        raise _problem(
            400,
            "invalid_denial_binding",
            "The denial was about another subject, action or resource. Send them unchanged.",
        )
    approval = None if admission.approval is None else t.approval(admission.approval)
    if approval is None:
        raise _problem(
            400, "not_requestable", "No person can approve this as things are. Evaluate again."
        )
    return approval


def _denial(view: Snapshot, evaluation: str) -> Record:
    """The record of a denied evaluation that people could approve.

    Raises:
        Problem: there is no such evaluation, or it was no such denial.
    """
    place = authzen.recorded_at(evaluation)
    record = None if place is None else _record(view, place[0])
    if place is None or record is None or record.action != place[1]:
        raise _problem(400, "invalid_denial_binding", "There was no such evaluation.")
    held = record.effect in (Effect.ASK.value, Effect.DEFER.value)
    if record.granted or record.status != EVALUATED or not held:
        raise _problem(400, "not_requestable", "No person was to approve that evaluation.")
    return record


def _record(view: Snapshot, position: int) -> Record | None:
    return next((parse_record(each.body) for each in view.records(position, position + 1)), None)


def _visible(view: Snapshot, call: Call, subjects: Subjects) -> Approval:
    """The approval of the path, if the caller may ask about its subject.

    Raises:
        Problem: 404.
    """
    approval = view.approval(ApprovalId(call.params["id"]))
    if approval is None or not subjects.covers(approval.requester):
        raise _problem(404, "unknown_task", "There is no such access request of yours.")
    return approval


def _task(call: Call, approval: Approval) -> TaskReply:
    """An approval under the names of the profile."""
    status = _STATUS[state_at(approval, call.parts.clock())]
    place = f"{call.base_url}{ACCESS_REQUESTS}/{approval.id}"
    until = authzen.timestamp(approval.expires_at)
    task = Task(
        id=approval.id,
        status=status,
        status_endpoint=place,
        expires_at=until,
        links={"cancel": f"{place}/cancel"} if status == "pending" else {},
        display={"description": approval.because} if approval.because else {},
    )
    if status != "approved":
        return TaskReply(task=task)
    result = TaskResult(approval=ApprovalResult(id=approval.id, approved_until=until))
    return TaskReply(task=task, result=result)


def _answered_before(again: Repeatable, t: Transaction) -> bytes | None:
    """What was answered to the same request before.

    Raises:
        Problem: 409, its key was used for another request.
    """
    try:
        return again.found(t)
    except Problem as problem:
        raise _problem(409, "duplicate_request", problem.detail) from None


def _problem(status: int, name: str, detail: str) -> Problem:
    uri = f"urn:openid:authzen:access-request:error:{name}"
    return Problem(status, name.replace("_", "-"), detail, type_uri=uri)


def _subjects(call: Call) -> Subjects:
    parts = call.parts
    return Subjects(call.identity, parts.policies.current, parts.config.authzen)


_AGENT = frozenset({Right.AGENT})

ROUTES = (
    Route(
        method="POST",
        path=ACCESS_REQUESTS,
        handler=submit,
        rights=_AGENT,
        summary="Ask people to approve a denied evaluation (AuthZEN ARAP)",
        description="With an `Idempotency-Key` it can be sent again: the answer is the same.",
        tag="authzen",
        body=AccessRequestBody,
        reply=TaskReply,
        status=202,
        problems=(403, 409, 410),
        wrong_media=400,
    ),
    Route(
        method="GET",
        path=f"{ACCESS_REQUESTS}/{{id}}",
        handler=show,
        rights=_AGENT,
        summary="How an access request stands (AuthZEN ARAP)",
        tag="authzen",
        reply=TaskReply,
        problems=(404,),
    ),
    Route(
        method="POST",
        path=f"{ACCESS_REQUESTS}/{{id}}/cancel",
        handler=cancel,
        rights=_AGENT,
        summary="Take an access request back (AuthZEN ARAP)",
        tag="authzen",
        body=Cancellation,
        body_optional=True,
        reply=TaskReply,
        problems=(404, 409),
        wrong_media=400,
    ),
)
