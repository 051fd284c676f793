"""Audit: the log searched, a record in full, exports, and the state of checkpoint and witnesses."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import zipfile
from typing import IO, Annotated, Any, get_args

import msgspec
from msgspec import Meta, Struct

from remit.api import audit
from remit.api.frame import Call, Problem, Reply, Route
from remit.api.spooling import FileParts, export_file
from remit.audit.checkpoint import read_checkpoint
from remit.audit.merkle import inclusion_proof
from remit.audit.note import parse_note
from remit.audit.proof import Receipt
from remit.audit.record import Kind, Record, parse_record
from remit.console import decisions, pages, showing
from remit.console.pages import PREFIX, READERS
from remit.errors import AuditError
from remit.guard.opening import PUBLIC_FILE
from remit.storage import LoggedRecord, Snapshot, Transaction

PAGE = 100
SCANNED = 20_000
"""Records that one page looks at, at most."""
_CHUNK = 500
_BYTES = "application/octet-stream"

Word = Annotated[str, Meta(max_length=200)]


class SearchQuery(Struct, frozen=True, kw_only=True):
    """What to look for."""

    text: Word = ""
    """Part of the record as it is written: an id, a name, a rule, a digest."""
    kind: Word = ""
    before: Annotated[int, Meta(ge=0)] | None = None


class PackQuery(Struct, frozen=True, kw_only=True):
    """How much goes into a pack."""

    values: bool = False
    """Arguments and results too, which may be personal."""


class FoundRecord(Struct, frozen=True, kw_only=True):
    """A record in a list."""

    position: int
    at: int
    kind: str
    what: str
    who: str


class Signature(Struct, frozen=True, kw_only=True):
    """Somebody has signed the checkpoint."""

    name: str
    witness: bool
    at: int | None
    """Nanoseconds, of a witness."""


class LogState(Struct, frozen=True, kw_only=True):
    """How the log stands."""

    size: int
    signed: int
    root: str
    origin: str
    signatures: tuple[Signature, ...]


async def search(call: Call) -> Reply:
    """Records, the newest first."""
    asked: SearchQuery = call.query
    found, older, state = await call.parts.read(
        lambda view: (*_search(view, asked), log_state(view))
    )
    return await pages.page(
        call,
        "audit.html",
        asked=asked,
        found=found,
        older=older,
        state=state,
        vkey=await asyncio.to_thread(_vkey, call),
        kinds=sorted(get_args(Kind)),
    )


async def record(call: Call) -> Reply:
    """One record, whole."""
    position = _position(call)

    def read(view: Snapshot) -> tuple[LoggedRecord, Any]:
        return _there(view, position), decisions.arguments(view, position)

    kept, values = await call.parts.read(read)
    parsed = parse_record(kept.body)
    shown = showing.pretty(msgspec.json.decode(kept.body))
    return await pages.page(
        call, "record.html", position=position, at=kept.at, it=parsed, text=shown, values=values
    )


async def receipt(call: Call) -> Reply:
    """Offline proof that a record is in the signed log (C2SP tlog-proof)."""
    position, parts = _position(call), call.parts
    await parts.read(lambda view: _there(view, position))

    def covering(t: Transaction) -> None:
        note = t.checkpoint()
        if note is None or read_checkpoint(note).size <= position:
            parts.checkpointer.sign(t)

    await parts.write(covering)
    body = await parts.read(lambda view: _receipt(view, position))
    headers = {"Content-Disposition": f'attachment; filename="remit-{position}.tlog-proof"'}
    return Reply(body=body, media=audit.TEXT, headers=headers)


async def pack(call: Call) -> Reply:
    """The evidence: export, key, policy, and how to check it, in one file."""
    parts, values = call.parts, call.query.values
    await parts.write(parts.checkpointer.sign)
    vkey = await asyncio.to_thread(_vkey, call)
    file = await parts.read(lambda view: _packed(view, vkey, values))
    headers = {"Content-Disposition": 'attachment; filename="remit-evidence.zip"'}
    return Reply(stream=FileParts(file), media="application/zip", headers=headers)


def log_state(view: Snapshot) -> LogState:
    """How the log stands, as its newest checkpoint says."""
    note = view.checkpoint()
    if note is None:
        return LogState(size=view.log_size(), signed=0, root="", origin="", signatures=())
    checkpoint, parsed = read_checkpoint(note), parse_note(note)
    signatures = []
    for line in parsed.signatures:
        # A cosignature begins with the time, a plain one is 64 bytes long.
        witness = len(line.signature) == 72
        at = int.from_bytes(line.signature[:8], "big") * 1_000_000_000 if witness else None
        signatures.append(Signature(name=line.name, witness=witness, at=at))
    return LogState(
        size=view.log_size(),
        signed=checkpoint.size,
        root=checkpoint.root.hex(),
        origin=checkpoint.origin,
        signatures=tuple(signatures),
    )


def _search(view: Snapshot, asked: SearchQuery) -> tuple[list[FoundRecord], int | None]:
    size = view.log_size()
    end = size if asked.before is None else min(asked.before, size)
    floor = max(0, end - SCANNED)
    marks = [asked.text.strip().encode()] if asked.text.strip() else []
    if asked.kind:
        marks.append(f'"kind":"{asked.kind}"'.encode())
    found: list[FoundRecord] = []
    while end > floor:
        start = max(floor, end - _CHUNK)
        for kept in reversed(list(view.records(start, end))):
            if all(mark in kept.body for mark in marks):
                found.append(_found(kept))
                if len(found) == PAGE:
                    return found, kept.position or None
        end = start
    return found, floor or None


def _found(kept: LoggedRecord) -> FoundRecord:
    parsed = parse_record(kept.body)
    return FoundRecord(
        position=kept.position,
        at=kept.at,
        kind=parsed.kind,
        what=_told(parsed),
        who=" for ".join(link.id for link in parsed.principal),
    )


def _told(parsed: Record) -> str:
    """A record in a few words."""
    match parsed.kind:
        case "decision":
            run = "let through" if parsed.granted else "not let through"
            return f"{parsed.effect} {parsed.tool}, {run}"
        case "outcome":
            return f"{parsed.tool or parsed.action}: {parsed.status}"
        case "approval":
            return f"{parsed.approval}: {parsed.status}"
        case "stop":
            stop = parsed.stop
            return f"{parsed.status} {stop.scope} {stop.value}" if stop else str(parsed.status)
        case "policy":
            return f"policy {showing.revision(parsed.revision)} in force"
        case "budget":
            cell = "" if parsed.budget is None else parsed.budget.cell
            return f"{parsed.status} {cell}"
        case "erasure":
            return f"values of {len(parsed.erased)} records erased"
        case _:
            return parsed.note or f"{parsed.session or ''} {parsed.status or ''}".strip()


def _packed(view: Snapshot, vkey: str, values: bool) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever sends it
    try:
        with (
            export_file(view, values=values) as export,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as whole,
        ):
            with whole.open("remit-export.jsonl", "w", force_zip64=True) as member:
                shutil.copyfileobj(export, member)
            whole.writestr("remit.pub", vkey + "\n")
            whole.writestr("checkpoint.txt", view.checkpoint() or b"")
            whole.writestr("VERIFY.md", pages.markup("verify.md", vkey=vkey, values=values))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _receipt(view: Snapshot, position: int) -> bytes:
    note = view.checkpoint()
    if note is None:
        raise AuditError("the log was not signed yet")
    proof = inclusion_proof(position, read_checkpoint(note).size, view.hashes)
    return Receipt(position, tuple(proof), note, _there(view, position).body).encode()


def _position(call: Call) -> int:
    given = call.params["position"]
    if not given.isascii() or not given.isdigit() or len(given) > 15:
        raise Problem(404, "no-such-record", "The log has no such record.")
    return int(given)


def _there(view: Snapshot, position: int) -> LoggedRecord:
    for kept in view.records(position, position + 1):
        return kept
    raise Problem(404, "no-such-record", "The log has no such record.")


def _vkey(call: Call) -> str:
    path = call.parts.config.signing.key.with_name(PUBLIC_FILE)
    return path.read_text().strip() if path.exists() else ""


def _route(path: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(
        method="GET",
        path=f"{PREFIX}/audit{path}",
        handler=handler,
        rights=READERS,
        summary=summary,
        **more,
    )


ROUTES = (
    _route("", search, "Records", query=SearchQuery),
    _route("/records/{position}", record, "One record"),
    _route("/receipts/{position}", receipt, "Its receipt"),
    _route(
        "/export",
        audit.export,
        "The log in one file",
        query=audit.ExportQuery,
        media=_BYTES,
        streams=True,
        waits=audit.EXPORT_TIME,
    ),
    _route(
        "/evidence",
        pack,
        "Everything that it takes to check the log, in one file",
        query=PackQuery,
        media="application/zip",
        streams=True,
        waits=audit.EXPORT_TIME,
    ),
)
