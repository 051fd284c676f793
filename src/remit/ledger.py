"""What the governor writes to the log: its words (``model``) put into records (``audit.record``).

One function for each kind of record. No argument, result, intent or reason of a person is in a
record, only the commitment to it; ``seal`` gives both the commitment and the values that go beside
the log, where they can be erased. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from remit.approvals import Approval
from remit.audit.record import (
    Record,
    RecordedBudget,
    RecordedCharge,
    RecordedFinding,
    RecordedHold,
    RecordedLimit,
    RecordedObligation,
    RecordedPrincipal,
    RecordedRule,
    RecordedStop,
    RecordedTask,
    RecordedUsage,
    commitment,
)
from remit.errors import InvalidRequest
from remit.model import (
    AccessRequest,
    Admission,
    AdmittedAction,
    Decision,
    Digest,
    Finding,
    Mode,
    Outcome,
    Principal,
    RateLimit,
    Reason,
    Revision,
    Session,
    TaskRemit,
    Usage,
)
from remit.stops import Stop
from remit.storage import SealedValues

SALT = 32
"""Bytes of a salt."""

_NOTHING = Usage()
_ERROR_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")

LATE = "late"
"""How the note of an outcome begins that corrects one that was not known."""


class TakenFromBudgets(Struct, frozen=True, kw_only=True):
    """What an admission takes from budgets, as it is recorded."""

    takes: Usage | None = None
    """The most that the action takes."""
    holds: tuple[RecordedHold, ...] = ()
    charges: tuple[RecordedCharge, ...] = ()
    """Set where nobody will report an outcome."""


NOTHING_TAKEN = TakenFromBudgets()


class _Binding(Struct, frozen=True, kw_only=True):
    """What a digest covers, apart from the arguments."""

    principal: Principal
    tool: str
    kind: str
    schema: str | None
    revision: str


_encoder = msgspec.json.Encoder()


def digest(request: AccessRequest, arguments: bytes, revision: Revision) -> Digest:
    """What an approval and an admission are bound to: 64 hex digits.

    SHA-256 over a header (principal chain, tool, kind, schema, revision) as one line of JSON, a
    line feed, and the canonical arguments.

    Raises:
        InvalidRequest: a name in the request is not valid Unicode.
    """
    binding = _Binding(
        principal=request.principal,
        tool=request.action.name,
        kind=request.action.kind,
        schema=request.action.schema,
        revision=revision,
    )
    try:
        header = _encoder.encode(binding)
    except UnicodeError:
        raise InvalidRequest(
            "the principal or the tool name is not valid Unicode; it was not run"
        ) from None
    return Digest(hashlib.sha256(b"%b\n%b" % (header, arguments)).hexdigest())


def seal(salt: bytes, canonical: bytes) -> tuple[str, SealedValues]:
    """The commitment for the record, and the values for the side table."""
    return commitment(salt, canonical), SealedValues(salt=salt, canonical=canonical)


def decision(
    admission: Admission,
    request: AccessRequest,
    *,
    now: int,
    args: str,
    ran: str | None,
    limits: Sequence[tuple[RateLimit, str]],
    note: str | None,
    status: str | None = None,
    labels: Sequence[str] = (),
    seen: Sequence[Finding] = (),
    taken: TakenFromBudgets = NOTHING_TAKEN,
) -> Record:
    """The record before the action. ``ran`` commits to the arguments as obligations left them.

    ``status`` is set where nobody will report an outcome.
    """
    said = admission.decision
    estimate = request.estimate
    return Record(
        action=admission.id,
        approval=admission.approval,
        args=args,
        at=now // 1000,
        charges=taken.charges,
        digest=admission.digest,
        effect=said.effect.value,
        findings=_findings((*request.findings, *seen)),
        granted=admission.granted,
        holds=taken.holds,
        kind="decision",
        labels=tuple(labels),
        lease=admission.lease_until // 1000 if admission.lease_until else None,
        limits=tuple(_limit(limit, key) for limit, key in limits),
        mode=said.mode.value,
        model=None if estimate is None else estimate.model,
        note=note,
        obligations=_obligations(said),
        phase=said.phase.value,
        prices=None if estimate is None or not estimate.model else estimate.prices or "ceiling",
        principal=chain(request.principal),
        ran=ran,
        revision=said.revision,
        rules=_rules(said.reasons),
        session=request.session or None,
        status=status,
        takes=_usage(taken.takes),
        tool=request.action.name,
        trace=request.trace,
        usage=_usage(taken.takes) if taken.charges else None,
    )


def refused(admission: Admission, request: AccessRequest, *, now: int, args: str) -> Record:
    """The record of a request whose full record is too large or cannot be written."""
    return Record(
        action=admission.id,
        args=args,
        at=now // 1000,
        digest=admission.digest,
        effect=admission.decision.effect.value,
        granted=admission.granted,
        kind="decision",
        mode=admission.decision.mode.value,
        note="the request does not fit into a record; names are shortened",
        phase=admission.decision.phase.value,
        revision=admission.decision.revision,
        rules=_rules(admission.decision.reasons),
        session=_plain(request.session) or None,
        tool=_plain(request.action.name),
    )


def outcome(
    action: AdmittedAction,
    came: Outcome,
    *,
    now: int,
    said: Decision | None = None,
    shown: bool = True,
    principal: Principal | None = None,
    result: str | None = None,
    labels: Sequence[str] = (),
    note: str | None = None,
    charges: tuple[RecordedCharge, ...] = (),
    usage: Usage | None = None,
) -> Record:
    """The record after the action. ``said`` is the decision on the result, if one was taken.

    Of an error only the type is recorded: its message may hold values, and is committed to.
    """
    record = Record(
        action=action.id,
        at=now // 1000,
        charges=charges,
        digest=action.digest,
        duration=max(0, came.duration) // 1000,
        error=_error_type(came.error),
        findings=_findings(came.findings),
        kind="outcome",
        labels=tuple(labels),
        model=action.model,
        note=note,
        principal=() if principal is None else chain(principal),
        result=result,
        session=action.session,
        status=came.status,
        tool=action.tool,
        usage=_usage(usage),
    )
    if said is None:
        return record
    return msgspec.structs.replace(
        record,
        effect=said.effect.value,
        granted=shown,
        mode=said.mode.value,
        obligations=_obligations(said),
        phase=said.phase.value,
        revision=said.revision,
        rules=_rules(said.reasons),
    )


def shortened(record: Record) -> Record:
    """An outcome without its lists, for when they make it too large: it must be recorded."""
    return msgspec.structs.replace(
        record,
        findings=(),
        labels=(),
        note="findings, labels, obligations and rules left out: too many for a record",
        obligations=(),
        rules=(),
    )


def session(
    kept: Session, *, now: int, args: str | None, note: str | None, status: str | None = None
) -> Record:
    """A session started or ended, or the user ``said`` something in it.

    ``args`` commits to its intent or to those words. With the start comes what it is narrowed to.
    """
    started = "started" if kept.ended_at is None else "ended"
    return Record(
        args=args,
        at=now // 1000,
        kind="session",
        labels=kept.labels,
        note=note,
        principal=chain(kept.principal),
        session=kept.id,
        status=status or started,
        task=tuple(map(_task, kept.remits)) if status is None and kept.ended_at is None else (),
    )


def _task(remit: TaskRemit) -> RecordedTask:
    """What a session is narrowed to; patterns of values are kept apart, like values."""
    return RecordedTask(
        amount=remit.amount is not None,
        asked=remit.asked,
        by=_plain(remit.by),
        does=tuple(each.value for each in remit.does),
        only=tuple(sorted(remit.only)),
        tools=tuple(map(_plain, remit.tools)),
    )


def approval(
    kept: Approval, by: Principal | None, *, now: int, args: str | None, note: str | None
) -> Record:
    """A step of an approval and who took it. ``args`` commits to the reason that they gave."""
    return Record(
        approval=kept.id,
        args=args,
        at=now // 1000,
        digest=kept.digest,
        kind="approval",
        note=note,
        principal=() if by is None else chain(by),
        revision=kept.revision,
        session=kept.session or None,
        status=kept.state.value,
        tool=kept.tool,
    )


def stop(
    kept: Stop, status: str, by: Principal, *, now: int, args: str | None, note: str | None
) -> Record:
    """A stop set or lifted, and by whom. ``args`` commits to the reason that they gave."""
    return Record(
        args=args,
        at=now // 1000,
        kind="stop",
        note=note,
        principal=chain(by),
        status=status,
        stop=RecordedStop(id=kept.id, scope=kept.scope, value=kept.value),
    )


def budget(
    status: str,
    told: RecordedBudget,
    by: Principal | None,
    *,
    now: int,
    args: str | None = None,
    note: str | None = None,
    approval: str | None = None,
) -> Record:
    """Something that happened to a budget; ``args`` commits to the reason that people gave."""
    return Record(
        approval=approval,
        args=args,
        at=now // 1000,
        budget=told,
        kind="budget",
        note=note,
        principal=() if by is None else chain(by),
        status=status,
    )


def policy(
    revision: Revision,
    mode: Mode,
    *,
    now: int,
    note: str | None,
    by: Principal | None = None,
    args: str | None = None,
) -> Record:
    """A policy that governs from here on. ``args`` commits to the reason that somebody gave."""
    return Record(
        args=args,
        at=now // 1000,
        kind="policy",
        mode=mode.value,
        note=note,
        principal=() if by is None else chain(by),
        revision=revision,
    )


def erasure(
    positions: Sequence[int], by: Principal, *, now: int, args: str | None, note: str | None
) -> Record:
    """Values erased, and by whom. ``args`` commits to the reason that they gave."""
    return Record(
        args=args,
        at=now // 1000,
        erased=tuple(sorted(positions)),
        kind="erasure",
        note=note,
        principal=chain(by),
    )


def chain(principal: Principal) -> tuple[RecordedPrincipal, ...]:
    """The principal, then each one on whose behalf it acts."""
    return tuple(
        RecordedPrincipal(
            id=link.id, kind=link.kind, known=link.known, roles=link.roles, team=link.team
        )
        for link in principal.chain()
    )


def _rules(reasons: Iterable[Reason]) -> tuple[RecordedRule, ...]:
    return tuple(
        RecordedRule(
            at="" if reason.at is None else str(reason.at),
            effect=reason.effect.value,
            id=reason.rule,
        )
        for reason in reasons
    )


def _obligations(said: Decision) -> tuple[RecordedObligation, ...]:
    return tuple(
        RecordedObligation(kind=each.kind, rule=each.rule, target=each.target)
        for each in said.obligations
    )


def _findings(found: Iterable[Finding]) -> tuple[RecordedFinding, ...]:
    return tuple(RecordedFinding(kind=each.kind, where=each.where) for each in found)


def _limit(limit: RateLimit, key: str) -> RecordedLimit:
    return RecordedLimit(burst=limit.burst, calls=limit.calls, key=key, period=limit.period // 1000)


def _usage(used: Usage | None) -> RecordedUsage | None:
    if used is None or used == _NOTHING:
        return None
    return RecordedUsage(
        input_tokens=used.input_tokens,
        nano_usd=used.nano_usd,
        output_tokens=used.output_tokens,
    )


def _error_type(error: str | None) -> str | None:
    """The exception's type at the start of ``Type: message``."""
    if error is None:
        return None
    name = error.partition(":")[0]
    return name if _ERROR_TYPE.fullmatch(name) else "error"


def _plain(name: str) -> str:
    """At most 200 characters, in ASCII."""
    return name[:200].encode("ascii", "replace").decode("ascii")
