"""From an AuthZEN evaluation to a recorded decision, and to the answer that tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct

from remit.api.frame import Call, Parts
from remit.api.subjects import Subjects
from remit.approvals import Approval, ApprovalState, state_at
from remit.guard.inspecting import seen_in_call
from remit.identity.model import permits
from remit.model import (
    AccessRequest,
    Action,
    Admission,
    ApprovalId,
    Effect,
    Mode,
    Reason,
    SessionId,
)
from remit.protocols import authzen
from remit.protocols.authzen import DecisionReply, Evaluation
from remit.storage import Transaction
from remit.verdict import ApprovalUse

T = TypeVar("T")

ACCESS_REQUESTS = "/access/v1/requests"
REQUESTABLE = 600_000_000_000
"""Nanoseconds for which a denial can be followed by an access request: ten minutes."""
RETRY_AFTER = 30
"""Seconds after which an enforcement point may look again whether people have decided."""


class Question(Struct, frozen=True, kw_only=True):
    """An evaluation, read and checked: what the governor is asked."""

    request: AccessRequest
    presented: ApprovalId | None
    """The approval that it wants to use."""
    objection: Reason | None
    """Why its sender's credential does not cover it."""


def question_of(call: Call, subjects: Subjects, evaluation: Evaluation) -> Question:
    """What an evaluation asks.

    Raises:
        Problem: 403, its sender may not ask about the subject.
        InvalidRequest: it contradicts itself, or speaks to Remit in a wrong form.
    """
    resource, action = evaluation.resource, evaluation.action
    tool = authzen.tool_of(resource.type, resource.id, action.name)
    known = next(
        (
            each.properties
            for each in call.parts.config.authzen.known(resource.type)
            if each.id == resource.id
        ),
        None,
    )
    session = SessionId(authzen.session_of(evaluation.context))
    arguments = authzen.arguments_of(resource, action, known)
    need = call.parts.policies.needs.of(tool)
    approval = authzen.presented(evaluation.context)
    return Question(
        request=AccessRequest(
            principal=subjects.principal(evaluation.subject),
            session=session,
            action=Action(name=tool),
            arguments=arguments,
            findings=seen_in_call(need, arguments),
            context=authzen.context_of(evaluation.context, subjects.trusted(evaluation.subject)),
        ),
        presented=None if approval is None else ApprovalId(approval),
        objection=permits(call.identity, tool, session or None, call.parts.clock()),
    )


async def recorded(call: Call, work: Callable[[Transaction], T]) -> T:
    """Run what records decisions, as long as the log can be signed.

    Raises:
        StoreError: nothing was decided.
        Unavailable: the log cannot be signed.
    """
    parts = call.parts
    checkpointer = parts.checkpointer
    unsigned = checkpointer.failed

    def signed(t: Transaction) -> T:
        if unsigned:
            checkpointer.require(t)
        return work(t)

    value = await parts.write(signed)
    if unsigned:
        checkpointer.recovered()
    checkpointer.settled()
    return value


def answered(t: Transaction, parts: Parts, question: Question, base_url: str) -> DecisionReply:
    """Decide, record, and say what was decided.

    Raises:
        InvalidRequest: it cannot be decided; nothing was recorded.
    """
    presented = question.presented
    use = ApprovalUse(asks=False, uses=presented)
    admission = parts.governor.evaluate(t, question.request, use, question.objection)
    approval = None if presented is None else t.approval(presented)
    return _reply(admission, question, approval, parts.clock(), base_url)


def _reply(
    admission: Admission,
    question: Question,
    approval: Approval | None,
    now: int,
    base_url: str,
) -> DecisionReply:
    decision = admission.decision
    context: dict[str, Any] = {
        "evaluation_id": authzen.evaluation_id(admission.id, admission.position),
        "evaluated_at": authzen.timestamp(now),
        "revision": decision.revision,
    }
    if admission.granted:
        if decision.mode is Mode.ENFORCE:
            duties = authzen.obligations_of(decision)
            if duties:
                context["obligations"] = duties
        if approval is not None and admission.approval == approval.id:
            until = authzen.timestamp(approval.expires_at)
            context["approval"] = {"id": approval.id, "approved_until": until}
        return DecisionReply(decision=True, context=context)
    context |= authzen.reasons_of(decision)
    held = decision.effect in (Effect.ASK, Effect.DEFER)
    if held:
        context["access_request"] = {
            "endpoint": base_url + ACCESS_REQUESTS,
            "expires_at": authzen.timestamp(now + REQUESTABLE),
        }
    if admission.retry_at is not None:
        context["retry_after"] = max(1, -(-(admission.retry_at - now) // 1_000_000_000))
    context["reason"] = "approval_required" if held else decision.reasons[0].rule
    if question.presented is not None:
        context |= _not_used(admission, approval, now)
    return DecisionReply(decision=False, context=context)


def _not_used(admission: Admission, approval: Approval | None, now: int) -> dict[str, Any]:
    """Why the approval that was presented did not help, and what to do (ARAP)."""
    held = admission.decision.effect in (Effect.ASK, Effect.DEFER)
    if approval is None:
        return {"reason": "approval_unverifiable", "next_action": "none"}
    if not held:
        return {"reason": "policy_denied", "next_action": "none"}
    if approval.revision != admission.decision.revision:
        return {"reason": "approval_expired", "next_action": "request"}
    if approval.digest != admission.digest:
        return {"reason": "out_of_scope", "next_action": "request"}
    if state_at(approval, now) is ApprovalState.PENDING:
        return {
            "reason": "approval_pending",
            "next_action": "retry",
            "retry_after": RETRY_AFTER,
        }
    return {"reason": "approval_expired", "next_action": "request"}
