"""What policy makes of a call and of its result, obligations included. Pure.

``decide`` says what policy says; a ``Ruling`` also says what the call becomes: an allow holds only
if its obligations can be carried out, and a call that they change is decided on again before it
runs. One round: a change that calls for another change refuses the call.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from remit import canonical, obligations
from remit.approvals import Approval
from remit.errors import InvalidArgument, ObligationError
from remit.inspection import pins
from remit.inspection.signs import NOT_INSPECTED
from remit.model import (
    AccessRequest,
    AdmittedAction,
    ApprovalTerms,
    Decision,
    Effect,
    Facts,
    Finding,
    Mode,
    Obligation,
    Outcome,
    RateLimit,
    Reason,
)
from remit.policy import PolicySet, decide
from remit.remits import outside

T = TypeVar("T")


class Ruling(Struct, frozen=True, kw_only=True):
    """A decision on a call and what follows from it."""

    decision: Decision
    request: AccessRequest
    """As it came."""
    arguments: bytes
    """Canonical, as they came."""
    ran: AccessRequest
    """As it will run: the same object, unless obligations change its arguments."""
    ran_arguments: bytes
    labels: tuple[str, ...] = ()
    """What obligations will put on the session."""
    later: tuple[Obligation, ...] = ()
    """Obligations that wait for the result."""
    seen: tuple[Finding, ...] = ()
    """What breakers saw, for the record."""


def rule(policies: PolicySet, request: AccessRequest, facts: Facts) -> Ruling:
    """Decide on a call, try its obligations out, and decide on the call that comes of them.

    Under ``Mode.SHADOW`` the call stays as it came; the decision is what it would have been. What
    is beyond the task of the session is denied in every mode.

    Raises:
        InvalidArgument: the arguments are not JSON.
    """
    ruling = _by_policy(policies, request, facts)
    remits = facts.session.remits
    beyond = outside(remits, policies, ruling.ran, facts.provenance) if remits else None
    if beyond is None:
        return ruling
    return replace(ruling, decision=denied(replace(ruling.decision, mode=Mode.ENFORCE), beyond))


def _by_policy(policies: PolicySet, request: AccessRequest, facts: Facts) -> Ruling:
    """What policy makes of a call, whatever its session is for."""
    decision = decide(policies, request, facts)
    if request.action.name == pins.ACTION:
        decision = _by_a_person(decision)
    if any(finding.kind == NOT_INSPECTED for finding in request.findings):
        decision = denied(decision, _not_inspected("call"))
    ruling = unchanged(decision, request)
    if decision.effect is Effect.DENY or not decision.obligations:
        return ruling
    try:
        fulfilled = _fulfilled(policies, ruling, facts)
    except (ObligationError, InvalidArgument) as problem:
        return replace(ruling, decision=denied(decision, obligation_failed(problem)))
    if decision.mode is Mode.SHADOW:
        return replace(ruling, decision=fulfilled.decision, labels=fulfilled.labels)
    return fulfilled


def _by_a_person(decision: Decision) -> Decision:
    """The decision on accepting changed tools: whoever may ask for it, a person answers.

    In every mode. A rule that denies stands, and so do the terms of one that asks.
    """
    binding = replace(decision, mode=Mode.ENFORCE)
    silent = all(reason.rule == "default" for reason in decision.reasons)
    if decision.effect is not Effect.ALLOW and not silent:
        return binding
    return replace(
        binding, effect=Effect.ASK, reasons=(_PINS_CHANGED,), obligations=(), terms=_ANYBODY
    )


_ANYBODY = (ApprovalTerms(),)
_PINS_CHANGED = Reason(
    rule="pins-changed",
    effect=Effect.ASK,
    because="The tools of a server are not those that were accepted.",
    instead="A person accepts the difference that is shown, or it stays as it is.",
)


def adjusted(
    policies: PolicySet,
    ruling: Ruling,
    ran: AccessRequest,
    duties: tuple[Obligation, ...],
    facts: Facts,
) -> Ruling:
    """A ruling with more obligations carried out on the call, decided on once more.

    Args:
        policies: the policy.
        ruling: as it was.
        ran: the call as it would run, without what ``duties`` change in its arguments.
        duties: what must be done besides.
        facts: what the decision is made on.

    Raises:
        ObligationError: a duty cannot be carried out, or policy is against what comes of it.
        InvalidArgument: the call that comes of them is not JSON, or too large.
    """
    changed = canonical.check(obligations.apply(ruling.ran.arguments, duties))
    request = replace(ran, arguments=changed)
    second = decide(policies, request, facts)
    if second.effect.strictness > ruling.decision.effect.strictness:
        raise ObligationError("policy does not let the call through as a budget changes it")
    wire = canonical.encode(changed)
    if canonical.encode(obligations.apply(changed, second.obligations)) != wire:
        raise ObligationError("the changed call would have to be rewritten again")
    both = _together(ruling.decision, second)
    return replace(
        ruling,
        decision=replace(both, obligations=_union(both.obligations, duties)),
        ran=request,
        ran_arguments=wire,
        labels=obligations.labels(both.obligations),
        later=obligations.of_result(both.obligations),
    )


def unchanged(decision: Decision, request: AccessRequest) -> Ruling:
    """A ruling on a call that nothing changes.

    Raises:
        InvalidArgument: the arguments are not JSON.
    """
    arguments = canonical.encode(request.arguments)
    return Ruling(
        decision=decision,
        request=request,
        arguments=arguments,
        ran=request,
        ran_arguments=arguments,
    )


def _fulfilled(policies: PolicySet, ruling: Ruling, facts: Facts) -> Ruling:
    """The ruling with the obligations of its decision carried out on the call.

    Raises:
        ObligationError: one cannot be, or carrying them out once more would change more.
        InvalidArgument: the call that comes of them is not JSON, or too large.
    """
    first = ruling.decision
    changed: Any = obligations.apply(ruling.request.arguments, first.obligations)
    wire = ruling.arguments
    if changed is not ruling.request.arguments:
        changed = canonical.check(changed)
        wire = canonical.encode(changed)
    if wire == ruling.arguments:
        return replace(
            ruling,
            labels=obligations.labels(first.obligations),
            later=obligations.of_result(first.obligations),
        )
    ran = replace(ruling.request, arguments=changed)
    second = decide(policies, ran, facts)
    if second.effect.strictness > first.effect.strictness:
        raise ObligationError("policy does not let the rewritten call through like the original")
    if canonical.encode(obligations.apply(changed, second.obligations)) != wire:
        raise ObligationError("the rewritten call would have to be rewritten again")
    both = _together(first, second)
    return replace(
        ruling,
        decision=both,
        ran=ran,
        ran_arguments=wire,
        labels=obligations.labels(both.obligations),
        later=obligations.of_result(both.obligations),
    )


def _together(first: Decision, second: Decision) -> Decision:
    """The first decision with what the second, equally strict at most, adds to it."""
    same = second.effect is first.effect
    return replace(
        first,
        reasons=_union(first.reasons, second.reasons if same else ()),
        obligations=_union(first.obligations, second.obligations),
        terms=_union(first.terms, second.terms if same else ()),
    )


def _union(first: tuple[T, ...], second: tuple[T, ...]) -> tuple[T, ...]:
    return (*first, *(each for each in second if each not in first))


class ResultRuling(Struct, frozen=True, kw_only=True):
    """A decision on an outcome and what follows from it."""

    decision: Decision
    withheld: bool
    shown: Any
    """The result as obligations leave it: the same object, unless they change it."""
    labels: tuple[str, ...] = ()
    """What the tool and obligations put on the session."""


def rule_on_result(
    policies: PolicySet,
    action: AdmittedAction,
    request: AccessRequest,
    facts: Facts,
    outcome: Outcome,
) -> ResultRuling:
    """Decide on an outcome, and carry out what the call and the result oblige to.

    Under ``Mode.SHADOW`` the result stays as it came. What certainly did not run adds no label;
    a result that is withheld adds them all the same.
    """
    decision = decide(policies, request, replace(facts, outcome=outcome))
    if any(finding.kind == NOT_INSPECTED for finding in outcome.findings):
        decision = denied(decision, _not_inspected("result"))
    shadow = decision.mode is Mode.SHADOW
    shown = outcome.result
    marks = action.labels
    try:
        together = _union(action.obligations, decision.obligations)
        marks += obligations.labels(together)
        if outcome.status == "ok":
            shown = obligations.redact(shown, together)
    except ObligationError as problem:
        decision = denied(decision, obligation_failed(problem))
    return ResultRuling(
        decision=decision,
        withheld=decision.effect is not Effect.ALLOW and not shadow,
        shown=outcome.result if shadow else shown,
        labels=() if outcome.status == "not-run" else marks,
    )


def denied(decision: Decision, reason: Reason) -> Decision:
    """The decision, turned into a deny for one more ``reason``."""
    return replace(
        decision,
        effect=Effect.DENY,
        reasons=(reason, *decision.reasons),
        obligations=(),
        terms=(),
    )


def obligation_failed(problem: Exception) -> Reason:
    """Why an allow does not hold."""
    return Reason(
        rule="obligation",
        effect=Effect.DENY,
        because=f"{problem}.",
        instead="Make the call in the form that the obligation expects, or ask for the rule to be "
        "changed.",
    )


def _not_inspected(what: str) -> Reason:
    """Why nothing is let through that could not be looked into."""
    return Reason(
        rule="not-inspected",
        effect=Effect.DENY,
        because=f"The {what} was to be inspected, and that failed.",
        instead="Make it smaller or simpler; if that does not help, tell whoever runs Remit.",
    )


def limited(limit: RateLimit, now: int, retry_at: int | None) -> Reason:
    """Why a call within its rights is one too many."""
    if retry_at is None:
        instead = "It never will fit: ask for the limit to be raised."
    else:
        seconds = -(-(retry_at - now) // 1_000_000_000)
        instead = f"Wait {seconds} s, then make the call again."
    return Reason(
        rule="rate-limit",
        effect=Effect.DENY,
        at=limit.at,
        because=f"Limit {limit.id} is used up: {limit.calls} calls in "
        f"{limit.period / 1_000_000_000:g} s.",
        instead=instead,
    )


def rejected(approval: Approval) -> Reason:
    """Why a call that a person said no to is not asked for again at once."""
    said = f": {approval.reason}" if approval.reason else ""
    return Reason(
        rule="approval-rejected",
        effect=Effect.DENY,
        because=f"{approval.closed_by} rejected this call ({approval.id}){said}.",
        instead="Do it another way, or talk to them; asking again does not help.",
    )
