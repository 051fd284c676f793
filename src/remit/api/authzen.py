"""AuthZEN Authorization API 1.0: one evaluation, several, searches, and where all of that is.

An evaluation is decided and recorded like a call, but nobody reports what came of it
(``Governor.evaluate``). Searches ask policy only and leave no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from remit.api import access_requests, search
from remit.api.evaluating import ACCESS_REQUESTS, Question, answered, question_of, recorded
from remit.api.frame import PUBLIC, Call, Problem, Reply, Route
from remit.api.subjects import Subjects
from remit.credentials import Right
from remit.errors import InvalidRequest
from remit.protocols.authzen import (
    DecisionReply,
    DecisionsReply,
    Evaluation,
    Evaluations,
    Metadata,
    Semantic,
)
from remit.storage import Transaction

MOST_EVALUATIONS = 1000
_TOGETHER = 50
"""Evaluations that one transaction decides, so that others come in between."""

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
CAPABILITY = "urn:openid:authzen:capability:access-request"


async def evaluation(call: Call) -> Reply:
    """Decide on one evaluation."""
    asked: Evaluation = call.body
    return Reply(body=await _one(call, asked))


async def evaluations(call: Call) -> Reply:
    """Decide on several evaluations, or on one where none are listed."""
    asked: Evaluations = call.body
    if not asked.evaluations:
        try:
            single = msgspec.convert(next(asked.items()), Evaluation)
        except msgspec.ValidationError as error:
            raise Problem(400, "invalid-body", f"body: {error}") from None
        return Reply(body=await _one(call, single))
    if len(asked.evaluations) > MOST_EVALUATIONS:
        raise Problem(
            400,
            "too-many-evaluations",
            f"One request takes {MOST_EVALUATIONS} evaluations; send several requests.",
        )
    questions = _questions(call, asked)
    semantic = asked.options.evaluations_semantic
    found: list[DecisionReply] = []
    for start in range(0, len(questions), _TOGETHER):
        found += await _several(call, questions[start : start + _TOGETHER], semantic)
        if _decided(found[-1], semantic):
            break
    return Reply(body=DecisionsReply(evaluations=found))


async def metadata(call: Call) -> Reply:
    """What this decision point can do, and where."""
    base = call.base_url
    body = Metadata(
        policy_decision_point=base,
        access_evaluation_endpoint=base + EVALUATION,
        access_evaluations_endpoint=base + EVALUATIONS,
        search_subject_endpoint=base + search.SUBJECT,
        search_resource_endpoint=base + search.RESOURCE,
        search_action_endpoint=base + search.ACTION,
        access_request_endpoint=base + ACCESS_REQUESTS,
        capabilities=[CAPABILITY],
        supported_obligations=["custom"],
    )
    return Reply(body=body, headers={"Cache-Control": "max-age=300"})


async def _one(call: Call, asked: Evaluation) -> DecisionReply:
    question = question_of(call, _subjects(call), asked)
    return await recorded(call, lambda t: answered(t, call.parts, question, call.base_url))


async def _several(
    call: Call, questions: Sequence[Question | DecisionReply], semantic: Semantic
) -> list[DecisionReply]:
    """Answer questions in their order, up to the one that settles the matter."""

    def work(t: Transaction) -> list[DecisionReply]:
        found: list[DecisionReply] = []
        for question in questions:
            if isinstance(question, DecisionReply):
                found.append(question)
            else:
                found.append(answered(t, call.parts, question, call.base_url))
            if _decided(found[-1], semantic):
                break
        return found

    return await recorded(call, work)


def _questions(call: Call, asked: Evaluations) -> list[Question | DecisionReply]:
    """Every evaluation, read; one that cannot be is answered at once."""
    subjects = _subjects(call)
    found: list[Question | DecisionReply] = []
    for item in asked.items():
        try:
            found.append(question_of(call, subjects, msgspec.convert(item, Evaluation)))
        except (msgspec.ValidationError, InvalidRequest) as error:
            found.append(_failed(400, str(error)))
        except Problem as problem:
            found.append(_failed(problem.status, problem.detail))
    return found


def _failed(status: int, message: str) -> DecisionReply:
    context: dict[str, Any] = {"error": {"status": status, "message": message}}
    return DecisionReply(decision=False, context=context)


def _decided(last: DecisionReply, semantic: Semantic) -> bool:
    """Whether no further evaluation is carried out."""
    if semantic == "deny_on_first_deny":
        return not last.decision
    return semantic == "permit_on_first_permit" and last.decision


def _subjects(call: Call) -> Subjects:
    parts = call.parts
    return Subjects(call.identity, parts.policies.current, parts.config.authzen)


_AGENT = frozenset({Right.AGENT})
_TAG = "authzen"

ROUTES = (
    Route(
        method="POST",
        path=EVALUATION,
        handler=evaluation,
        rights=_AGENT,
        summary="Ask whether a subject may do something (AuthZEN)",
        tag=_TAG,
        body=Evaluation,
        reply=DecisionReply,
        problems=(403,),
        wrong_media=400,
    ),
    Route(
        method="POST",
        path=EVALUATIONS,
        handler=evaluations,
        rights=_AGENT,
        summary="Ask several such questions at once (AuthZEN)",
        description="Without `evaluations` it is answered like a single evaluation.",
        tag=_TAG,
        body=Evaluations,
        reply=DecisionsReply,
        problems=(403,),
        wrong_media=400,
    ),
    *search.ROUTES,
    Route(
        method="GET",
        path="/.well-known/authzen-configuration",
        handler=metadata,
        rights=PUBLIC,
        summary="What this decision point can do, and where (AuthZEN)",
        tag=_TAG,
        reply=Metadata,
    ),
    *access_requests.ROUTES,
)
