"""Why: one decision with everything that led to it, and the proof that it is in the log."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from remit.api.frame import Call, Problem, Reply, Route
from remit.approvals import Approval
from remit.audit.checkpoint import read_checkpoint
from remit.audit.merkle import inclusion_proof
from remit.audit.note import encode_base64
from remit.audit.record import Record, RecordedHold, RecordedPrincipal, parse_record
from remit.console import decisions, pages
from remit.console.pages import PREFIX, READERS, REVIEWERS
from remit.console.tree import Labelled, labels_of
from remit.errors import AuditError, PolicyError
from remit.guard.opening import PUBLIC_FILE
from remit.model import (
    NO_SESSION,
    AccessRequest,
    Action,
    ApprovalId,
    Facts,
    Principal,
    Revision,
    Session,
    SessionId,
)
from remit.policy import Explanation, PolicySet, explain, load
from remit.policy.bundle import unpack
from remit.storage import LoggedRecord, Snapshot, Transaction

OUTCOME_WITHIN = 5_000
"""Records after a decision in which its outcome is looked for."""
SOURCE_LINES = 18
"""Lines of a rule that are shown."""


class SourceLine(Struct, frozen=True, kw_only=True):
    """One line of a policy document."""

    number: int
    text: str
    hit: bool


class Excerpt(Struct, frozen=True, kw_only=True):
    """A rule as it stands in its document."""

    rule: str
    effect: str
    at: str
    lines: tuple[SourceLine, ...]


class ChargedHold(Struct, frozen=True, kw_only=True):
    """What was held of a budget, and what came of it."""

    budget: str
    measure: str
    hold: RecordedHold
    spent: int | None
    """None while nobody knows."""


class Case(Struct, frozen=True, kw_only=True):
    """One decision, as it was found in the store."""

    position: int
    at: int
    record: Record
    arguments: Any
    ran: bool
    outcome: Record | None
    result: Any
    session: Session | None
    labels: tuple[Labelled, ...]
    """Those that the session carried when it was decided."""
    approval: Approval | None
    holds: tuple[ChargedHold, ...]
    documents: Mapping[str, str]
    previous: int | None = None


class ProofView(Struct, frozen=True, kw_only=True):
    """All that a browser needs to check that a record is in the signed log. Base64, but text."""

    index: int
    size: int
    record: str
    proof: tuple[str, ...]
    checkpoint: str
    vkey: str


async def show(call: Call) -> Reply:
    """One decision."""
    position = _position(call)
    case = await call.parts.read(lambda view: _case(view, position))
    said = _explained(case)
    return await pages.page(
        call, "why.html", case=case, said=said, sources=_excerpts(case), record=case.record
    )


async def proof(call: Call) -> Reply:
    """What proves that a record is in the log, under a checkpoint that covers it."""
    position, parts = _position(call), call.parts
    path = parts.config.signing.key.with_name(PUBLIC_FILE)
    vkey = path.read_text().strip() if path.exists() else ""

    def covering(t: Transaction) -> None:
        note = t.checkpoint()
        if note is None or read_checkpoint(note).size <= position:
            parts.checkpointer.sign(t)

    await parts.read(lambda view: _there(view, position))
    await parts.write(covering)
    return Reply(body=await parts.read(lambda view: _proof(view, position, vkey)))


def _position(call: Call) -> int:
    given = call.params["position"]
    if not given.isascii() or not given.isdigit() or len(given) > 15:
        raise Problem(404, "no-such-record", "The log has no such record.")
    return int(given)


def _there(view: Snapshot, position: int) -> LoggedRecord:
    for kept in view.records(position, position + 1):
        return kept
    raise Problem(404, "no-such-record", "The log has no such record.")


def _case(view: Snapshot, position: int) -> Case:
    kept = _there(view, position)
    record = parse_record(kept.body)
    if record.kind != "decision":
        raise Problem(404, "no-decision", "This record is no decision; look at it under Audit.")
    later = _outcome(view, record, position)
    outcome = None if later is None else parse_record(later.body)
    name = SessionId(record.session or "")
    bundle = view.document(Revision(record.revision or ""))
    return Case(
        position=position,
        at=kept.at,
        record=record,
        arguments=decisions.arguments(view, position),
        ran=record.ran is not None,
        outcome=outcome,
        result=None if later is None else decisions.arguments(view, later.position),
        session=view.session(name) if name else None,
        labels=tuple(labels_of(view, name, position)) if name else (),
        approval=view.approval(ApprovalId(record.approval)) if record.approval else None,
        holds=_holds(record, outcome),
        documents={} if bundle is None else unpack(bundle),
    )


def _outcome(view: Snapshot, record: Record, position: int) -> LoggedRecord | None:
    if not record.granted or record.action is None:
        return None
    mark = f'"action":"{record.action}"'.encode()
    for kept in view.records(position + 1, position + OUTCOME_WITHIN):
        if mark in kept.body and b'"kind":"outcome"' in kept.body:
            return kept
    return None


def _holds(record: Record, outcome: Record | None) -> tuple[ChargedHold, ...]:
    charges = () if outcome is None else outcome.charges
    spent = {each.cell: each.spent for each in (*record.charges, *charges)}
    found = []
    for hold in record.holds:
        budget, _, rest = hold.cell.partition("/")
        measure = rest.partition("/")[0]
        found.append(
            ChargedHold(budget=budget, measure=measure, hold=hold, spent=spent.get(hold.cell))
        )
    return tuple(found)


def _explained(case: Case) -> Explanation | None:
    """The decision worked out again from what was recorded; None where that is not enough."""
    record = case.record
    if case.arguments is None or not case.documents or not isinstance(case.arguments, Mapping):
        return None
    policies = _policies(tuple(sorted(case.documents.items())))
    if policies is None:
        return None
    principal = principal_of(record.principal)
    if principal is None:
        return None
    session = Session(
        id=SessionId(record.session or NO_SESSION),
        principal=principal,
        started_at=0 if case.session is None else case.session.started_at,
        labels=tuple(sorted({each.label for each in case.labels})),
        calls={} if case.session is None else case.session.calls,
    )
    request = AccessRequest(
        principal=principal,
        session=session.id,
        action=Action(name=record.tool or ""),
        arguments=case.arguments,
    )
    return explain(policies, request, Facts(now=case.at, session=session))


def principal_of(chain: tuple[RecordedPrincipal, ...]) -> Principal | None:
    """Who acted, as a record has it."""
    found: Principal | None = None
    for link in reversed(chain):
        found = Principal(
            id=link.id,
            kind=link.kind,
            roles=link.roles,
            team=link.team,
            known=link.known,
            on_behalf_of=found,
        )
    return found


@lru_cache(maxsize=8)
def _policies(documents: tuple[tuple[str, str], ...]) -> PolicySet | None:
    """The policy of some documents; None where today's Remit does not take them any more."""
    try:
        return load(dict(documents))
    except PolicyError:
        return None


def _excerpts(case: Case) -> list[Excerpt]:
    found = []
    for rule in case.record.rules:
        file, _, place = rule.at.rpartition(":")[0].rpartition(":")
        if place.isdigit() and file in case.documents:
            lines = _lines(case.documents[file], int(place))
            found.append(Excerpt(rule=rule.id, effect=rule.effect, at=rule.at, lines=lines))
    return found


def _lines(document: str, number: int) -> tuple[SourceLine, ...]:
    """A rule from its line on, up to the next entry of the list or the next section."""
    written = document.splitlines()
    if not 0 < number <= len(written):
        return ()
    start = number - 1
    while start > 0 and not written[start].lstrip().startswith("-"):
        start -= 1
    depth = len(written[start]) - len(written[start].lstrip())
    end = start + 1
    while end < len(written) and end - start < SOURCE_LINES:
        text = written[end]
        if text.strip() and len(text) - len(text.lstrip()) <= depth:
            break
        end += 1
    return tuple(
        SourceLine(number=each + 1, text=written[each], hit=each + 1 == number)
        for each in range(start, end)
    )


def _proof(view: Snapshot, position: int, vkey: str) -> ProofView:
    note = view.checkpoint()
    kept = _there(view, position)
    if note is None:
        raise AuditError("the log was not signed yet")
    size = read_checkpoint(note).size
    return ProofView(
        index=position,
        size=size,
        record=encode_base64(kept.body),
        proof=tuple(map(encode_base64, inclusion_proof(position, size, view.hashes))),
        checkpoint=note.decode(),
        vkey=vkey,
    )


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/decisions/{{position}}",
        handler=show,
        rights=READERS | REVIEWERS,
        summary="Why something was decided",
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/decisions/{{position}}/proof",
        handler=proof,
        rights=READERS,
        summary="What proves that a record is in the log",
    ),
)
