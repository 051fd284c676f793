"""What the server and those who ask it send each other as JSON: the bodies of ``/v1``.

Names are those of ``remit.model``, where the words are explained. Times are nanoseconds since the
Unix epoch unless a name says otherwise; they do not fit into a JavaScript number, so compare them
as integers of 64 bits. What a client sends is read strictly (an unknown member is an error); what
the server sends may get more members.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from remit.approvals import ApprovalState
from remit.model import (
    AccessRequest,
    Action,
    ActionId,
    Admission,
    ApprovalId,
    Decision,
    Digest,
    Effect,
    Estimate,
    Finding,
    Hold,
    Mode,
    Obligation,
    Outcome,
    Phase,
    Principal,
    Reason,
    Revision,
    Session,
    SessionId,
    Settlement,
    TaskRemit,
    Usage,
)

LONGEST_WAIT = 55.0
"""Seconds that the server lets a request wait for a person at most."""

GOVERNOR_UNAVAILABLE = "governor-unavailable"
"""Rule id of the refusal when the server does not answer."""

PATHS_NEEDED = "paths-needed"
"""Problem code: a rule on the tool looks at real paths; send the call again with ``resolved``."""

ALREADY_SETTLED = "already-settled"
"""Problem code: the outcome of this action is on record."""

Id = Annotated[str, Meta(max_length=256)]
Seconds = Annotated[float, Meta(ge=0, le=LONGEST_WAIT)]
Duration = Annotated[int, Meta(ge=0, le=1 << 53)]


class AskedAction(Action, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is attempted."""

    name: Annotated[str, Meta(max_length=1024)]


class SeenFinding(Finding, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a detector at the edge saw."""


Amount = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]


class SaidUsage(Usage, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an action takes or took, as its edge says."""

    nano_usd: Amount = 0
    input_tokens: Amount = 0
    output_tokens: Amount = 0


class SaidEstimate(
    Estimate, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The most that an action can take, as its edge says."""

    usage: SaidUsage
    model: Id | None = None
    output_limit: Id | None = None
    output_price: Amount = 0
    prices: Id = ""
    model_argument: Id = "args.model"
    instead: Annotated[tuple[SaidEstimate, ...], Meta(max_length=16)] = ()


class SessionOpening(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A session that is to be opened; with a ``parent``, delegated from that one."""

    agent: Id | None = None
    """Left out: the caller itself. Only a service names others."""
    user: Id | None = None
    """The person on whose behalf the agent acts. Not together with ``parent``."""
    intent: str | None = None
    parent: SessionId | None = None
    remit: TaskRemit | None = None
    """What its task is narrowed to, besides what policy narrows it to."""


class SaidBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user said in a session, after its intent."""

    text: str


class SessionReply(Struct, frozen=True, kw_only=True):
    """A session as it stands."""

    id: SessionId
    principal: Principal
    labels: tuple[str, ...]
    started_at: int
    ended_at: int | None
    intent: str | None
    parent: SessionId | None
    revision: Revision
    """The policy in force."""
    remits: tuple[TaskRemit, ...] = ()
    """What it is narrowed to."""


class _Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The parts of an access request that an edge sends. Who asks is up to the server."""

    session: Id
    action: AskedAction
    arguments: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    findings: tuple[SeenFinding, ...] = ()
    resolved: dict[str, str] | None = None
    """Real paths by path string. Left out, the server says when it needs them."""
    trace: str | None = None
    """W3C ``traceparent``."""
    estimate: SaidEstimate | None = None
    """What it takes at most, where the edge can say: budgets hold that much for it."""

    def request(self, principal: Principal) -> AccessRequest:
        """The request that ``principal`` makes with this."""
        return AccessRequest(
            principal=principal,
            session=SessionId(self.session),
            action=self.action,
            arguments=self.arguments,
            context=self.context,
            findings=self.findings,
            resolved=self.resolved or {},
            estimate=self.estimate,
            trace=self.trace,
        )


class AdmitBody(_Asked, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A call that asks to be let through."""

    wait: Seconds = 0.0
    """Seconds that the answer may take when a person has to approve."""


class SettledOutcome(
    Outcome, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What came of an action. Only the server says ``unknown``."""

    status: Literal["ok", "error", "cancelled", "not-run"]
    error: Annotated[str, Meta(max_length=1000)] | None = None
    duration: Duration = 0
    usage: SaidUsage | None = None
    """What it took, where that is proven; left out, what was held for it is charged."""
    findings: tuple[SeenFinding, ...] = ()


class SettleBody(_Asked, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The outcome of an admitted call, with the call as it ran."""

    id: ActionId
    """Of the admission."""
    principal: Principal | None = None
    """As the admission gave it. It may be left out as long as the policy has not changed since."""
    outcome: SettledOutcome


class AdmissionReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a call. It is on record; ``granted`` is the only thing to act on."""

    id: ActionId
    granted: bool
    effect: Effect
    mode: Mode
    revision: Revision
    principal: Principal
    """Who acts, as the decision saw it. To be sent back when the action is settled."""
    position: int
    """Index of the record in the log."""
    digest: Digest
    reasons: tuple[Reason, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    arguments: dict[str, Any] | None = None
    """What to call the tool with, where obligations changed it."""
    approval: ApprovalId | None = None
    lease_until: int = 0
    retry_at: int | None = None
    reserved: tuple[Hold, ...] = ()
    """What is held of budgets for it, until it is settled."""
    refusal: str = ""
    """What to tell the agent, where it was not granted."""
    looks_at_result: bool
    """Whether the result is decided on or labels the session: show none of it before it settled."""


class SettlementReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to an outcome. It is on record."""

    id: ActionId
    effect: Effect
    mode: Mode
    revision: Revision
    position: int
    withheld: bool
    """Whether the result must not be shown."""
    redacted: bool
    """Whether ``result`` is to be shown instead of the original."""
    result: Any = None
    labels: tuple[str, ...] = ()
    late: bool = False
    reasons: tuple[Reason, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    refusal: str = ""
    """What to tell the agent, where the result is withheld."""
    result_rules: bool
    """Whether policy has rules on results of the tool: one that is no JSON must not be shown."""


class HeldReply(Struct, frozen=True, kw_only=True):
    """The part of an approval, as ``GET /v1/approvals/{id}`` shows it, that an edge waits for."""

    state: ApprovalState


class ProblemReply(Struct, frozen=True, kw_only=True):
    """The part of a problem document (RFC 9457) that a client acts on."""

    code: str = ""
    detail: str = ""


def session_reply(session: Session, revision: Revision) -> SessionReply:
    """A session as it is sent."""
    return SessionReply(
        id=session.id,
        principal=session.principal,
        labels=session.labels,
        started_at=session.started_at,
        ended_at=session.ended_at,
        intent=session.intent,
        parent=session.parent,
        revision=revision,
        remits=session.remits,
    )


def session_of(reply: SessionReply) -> Session:
    """A session as it was sent; what it has called stays with the server."""
    return Session(
        id=reply.id,
        principal=reply.principal,
        started_at=reply.started_at,
        intent=reply.intent,
        labels=reply.labels,
        parent=reply.parent,
        ended_at=reply.ended_at,
        remits=reply.remits,
    )


def admission_reply(
    admission: Admission, principal: Principal, *, refusal: str, looks_at_result: bool
) -> AdmissionReply:
    """An admission as it is sent."""
    decision = admission.decision
    arguments = admission.arguments
    return AdmissionReply(
        id=admission.id,
        granted=admission.granted,
        effect=decision.effect,
        mode=decision.mode,
        revision=decision.revision,
        principal=principal,
        position=admission.position,
        digest=admission.digest,
        reasons=decision.reasons,
        obligations=decision.obligations,
        arguments=None if arguments is None else dict(arguments),
        approval=admission.approval,
        lease_until=admission.lease_until,
        retry_at=admission.retry_at,
        reserved=admission.reserved,
        refusal=refusal,
        looks_at_result=looks_at_result,
    )


def admission_of(reply: AdmissionReply) -> Admission:
    """An admission as it was sent; the terms of an approval stay with the server."""
    return Admission(
        id=reply.id,
        granted=reply.granted,
        decision=Decision(
            effect=reply.effect,
            revision=reply.revision,
            reasons=reply.reasons,
            obligations=reply.obligations,
            mode=reply.mode,
        ),
        position=reply.position,
        digest=reply.digest,
        approval=reply.approval,
        lease_until=reply.lease_until,
        arguments=reply.arguments,
        retry_at=reply.retry_at,
        reserved=reply.reserved,
    )


def settlement_reply(
    settlement: Settlement, *, refusal: str, result_rules: bool
) -> SettlementReply:
    """A settlement as it is sent."""
    decision = settlement.decision
    return SettlementReply(
        id=settlement.id,
        effect=decision.effect,
        mode=decision.mode,
        revision=decision.revision,
        position=settlement.position,
        withheld=settlement.withheld,
        redacted=settlement.redacted,
        result=settlement.result,
        labels=settlement.labels,
        late=settlement.late,
        reasons=decision.reasons,
        obligations=decision.obligations,
        refusal=refusal,
        result_rules=result_rules,
    )


def settlement_of(reply: SettlementReply) -> Settlement:
    """A settlement as it was sent."""
    return Settlement(
        id=reply.id,
        decision=Decision(
            effect=reply.effect,
            revision=reply.revision,
            reasons=reply.reasons,
            obligations=reply.obligations,
            mode=reply.mode,
            phase=Phase.RESULT,
        ),
        position=reply.position,
        withheld=reply.withheld,
        labels=reply.labels,
        redacted=reply.redacted,
        result=reply.result,
        late=reply.late,
    )


def said_usage(usage: Usage) -> SaidUsage:
    """A usage as it is sent."""
    return SaidUsage(
        nano_usd=usage.nano_usd,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
    )


def said_estimate(estimate: Estimate) -> SaidEstimate:
    """An estimate as it is sent."""
    return SaidEstimate(
        usage=said_usage(estimate.usage),
        model=estimate.model,
        output_limit=estimate.output_limit,
        output_price=estimate.output_price,
        prices=estimate.prices,
        model_argument=estimate.model_argument,
        instead=tuple(map(said_estimate, estimate.instead)),
    )
