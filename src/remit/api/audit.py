"""The log over HTTP: the checkpoint, tiles and proofs of C2SP tlog-tiles, receipts, exports.

``/v1/audit`` is the prefix of a tlog-tiles log, so its clients and monitors work with it. All of
it takes the right ``AUDITOR``: records name people and tools, and hashes of records that can be
guessed give them away. An agent sees none of it, not even what it did itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from remit.api.frame import Call, Problem, Reply, Route
from remit.api.spooling import FileParts, export_file
from remit.audit.checkpoint import Checkpoint, read_checkpoint
from remit.audit.merkle import consistency_proof, inclusion_proof, root
from remit.audit.note import encode_base64
from remit.audit.proof import Receipt
from remit.audit.record import Kind, Record, parse_record
from remit.audit.tiles import WIDTH, Tile, encode_bundle, parse_tile, tile_indexes, tile_width
from remit.credentials import Right
from remit.errors import AuditError
from remit.storage import LoggedRecord, Snapshot, Transaction

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
EXPORT_TIME = 600.0
"""Seconds that may pass before an export begins to come."""

_FOREVER = "private, max-age=31536000, immutable"
_SCANNED = 10_000
"""Records that one page of a filtered list looks at, at most."""
_CHUNK = 1_000

Size = Annotated[int, Meta(ge=0, le=1 << 53)]
Word = Annotated[str, Meta(max_length=1024)]


class InclusionQuery(Struct, frozen=True, kw_only=True):
    """Of which record, in a log of which size."""

    index: Size
    size: Size | None = None
    """Left out: that of the newest checkpoint."""


class ConsistencyQuery(Struct, frozen=True, kw_only=True):
    """From which size to which."""

    old: Annotated[int, Meta(ge=1, le=1 << 53)]
    new: Size | None = None
    """Left out: that of the newest checkpoint."""


class ReceiptQuery(Struct, frozen=True, kw_only=True):
    """Which record of the action."""

    record: Literal["decision", "outcome"] = "decision"


class ExportQuery(Struct, frozen=True, kw_only=True):
    """How much to export."""

    values: bool = False
    """With arguments and results, which may be personal."""


class RecordsQuery(Struct, frozen=True, kw_only=True):
    """Which records, and from where on."""

    start: Size = 0
    """Position of the first one to look at: 0, or ``next`` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    kind: Kind | None = None
    session: Word | None = None
    action: Word | None = None
    tool: Word | None = None


class ProofReply(Struct, frozen=True, kw_only=True):
    """A proof, and what it leads to. Hashes are base64; they lead from the leaf upwards."""

    size: int
    root: str
    """Of the log of ``size`` records."""
    proof: tuple[str, ...]


class RecordView(Struct, frozen=True, kw_only=True):
    """One record and where it is. Its exact bytes are in the entry bundles."""

    position: int
    record: Record


class RecordsReply(Struct, frozen=True, kw_only=True):
    """A page of records."""

    records: tuple[RecordView, ...]
    size: int
    """Records in the log."""
    next: int | None
    """Where the next page starts, which may have more also when this one is empty; None: there
    is nothing more yet."""


async def show_checkpoint(call: Call) -> Reply:
    """The newest signed checkpoint."""
    note = await call.parts.read(lambda view: view.checkpoint())
    if note is None:
        raise _unsigned()
    return Reply(body=note)


async def show_tile(call: Call) -> Reply:
    """A tile of hashes, or a bundle of entries."""
    try:
        tile = parse_tile(f"tile/{call.params['tile']}")
    except AuditError as error:
        raise Problem(404, "not-found", f"{error}.") from None
    content = await call.parts.read(lambda view: _tile(view, tile))
    headers = {"Cache-Control": _FOREVER} if tile.width == WIDTH else {}
    return Reply(body=content, headers=headers)


async def prove_inclusion(call: Call) -> Reply:
    """Proof that a record is in the log."""
    asked: InclusionQuery = call.query

    def read(view: Snapshot) -> ProofReply:
        size = _size(view, asked.size)
        if asked.index >= size:
            raise Problem(404, "no-such-record", f"A log of {size} records has no such record.")
        return _proof(view, size, inclusion_proof(asked.index, size, view.hashes))

    return Reply(body=await call.parts.read(read))


async def prove_consistency(call: Call) -> Reply:
    """Proof that the log has only grown."""
    asked: ConsistencyQuery = call.query

    def read(view: Snapshot) -> ProofReply:
        size = _size(view, asked.new)
        if asked.old > size:
            raise Problem(404, "no-such-record", f"The log of {size} records was never that long.")
        return _proof(view, size, consistency_proof(asked.old, size, view.hashes))

    return Reply(body=await call.parts.read(read))


async def show_receipt(call: Call) -> Reply:
    """Offline proof that the record of an action is in the signed log (C2SP tlog-proof)."""
    action, asked = call.params["action"], call.query.record
    parts = call.parts
    found = await parts.read(lambda view: _record_of(view, action, asked))
    if found is None:
        raise Problem(404, "no-such-record", f"The log holds no {asked} of this action.")
    position = found.position

    def covering(t: Transaction) -> None:
        note = t.checkpoint()
        if note is None or read_checkpoint(note).size <= position:
            parts.checkpointer.sign(t)

    await parts.write(covering)
    return Reply(body=await parts.read(lambda view: _receipt(view, found)))


async def list_records(call: Call) -> Reply:
    """Records in the order of the log."""
    asked: RecordsQuery = call.query
    return Reply(body=await call.parts.read(lambda view: _page(view, asked)))


async def export(call: Call) -> Reply:
    """The whole log up to the newest checkpoint, in one file that can be verified offline."""
    parts, values = call.parts, call.query.values
    await parts.write(parts.checkpointer.sign)
    file = await parts.read(lambda view: export_file(view, values=values))
    headers = {"Content-Disposition": 'attachment; filename="remit-export.jsonl"'}
    return Reply(stream=FileParts(file), headers=headers)


def _tile(view: Snapshot, tile: Tile) -> bytes:
    """The content of a tile that the newest checkpoint covers.

    Raises:
        Problem: it covers no such tile.
    """
    if tile.width > tile_width(tile.level, tile.number, _signed(view).size):
        raise Problem(404, "no-such-tile", "The signed log does not have this tile (yet).")
    if tile.level is not None:
        return b"".join(view.hashes(tile_indexes(tile)))
    first = tile.number * WIDTH
    return encode_bundle(logged.body for logged in view.records(first, first + tile.width))


def _signed(view: Snapshot) -> Checkpoint:
    note = view.checkpoint()
    if note is None:
        raise _unsigned()
    return read_checkpoint(note)


def _size(view: Snapshot, asked: int | None) -> int:
    """The size that a proof is for: one that is or was signed, or could have been.

    Raises:
        Problem: it lies beyond the newest checkpoint.
    """
    signed = _signed(view).size
    if asked is None:
        return signed
    if not 0 < asked <= signed:
        raise Problem(404, "no-such-size", f"The newest checkpoint covers {signed} records.")
    return asked


def _proof(view: Snapshot, size: int, proof: Iterable[bytes]) -> ProofReply:
    top = encode_base64(root(size, view.hashes))
    return ProofReply(size=size, root=top, proof=tuple(map(encode_base64, proof)))


def _record_of(view: Snapshot, action: str, kind: str) -> LoggedRecord | None:
    """The record of one kind of an action: the newest, for there is one outcome at most."""
    wanted = action.encode()
    size = view.log_size()
    for start in range((size - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
        for logged in reversed(list(view.records(start, min(size, start + _CHUNK)))):
            if wanted in logged.body:
                record = parse_record(logged.body)
                if record.action == action and record.kind == kind:
                    return logged
    return None


def _receipt(view: Snapshot, found: LoggedRecord) -> bytes:
    note = view.checkpoint()
    if note is None:
        raise _unsigned()
    proof = inclusion_proof(found.position, read_checkpoint(note).size, view.hashes)
    return Receipt(found.position, tuple(proof), note, found.body).encode()


def _page(view: Snapshot, asked: RecordsQuery) -> RecordsReply:
    size = view.log_size()
    last = min(size, asked.start + _SCANNED)
    fits = _filter(asked)
    found: list[RecordView] = []
    position = asked.start
    for logged in view.records(asked.start, last):
        position = logged.position + 1
        record = parse_record(logged.body)
        if fits(record):
            found.append(RecordView(position=logged.position, record=record))
            if len(found) == asked.limit:
                break
    return RecordsReply(records=tuple(found), size=size, next=position if position < size else None)


def _filter(asked: RecordsQuery) -> Callable[[Record], bool]:
    wanted: dict[str, Any] = {
        name: value
        for name in ("kind", "session", "action", "tool")
        if (value := getattr(asked, name)) is not None
    }
    return lambda record: all(getattr(record, name) == value for name, value in wanted.items())


def _unsigned() -> Problem:
    return Problem(404, "no-checkpoint", "Nothing was signed yet; ask again in a few seconds.")


_AUDITOR = frozenset({Right.AUDITOR})
_TAG = "audit"


def _route(path: str, handler: Any, summary: str, reply: Any, **more: Any) -> Route:
    return Route(
        method="GET",
        path=f"/v1/audit/{path}",
        handler=handler,
        rights=_AUDITOR,
        summary=summary,
        tag=_TAG,
        reply=reply,
        problems=(404,),
        **more,
    )


ROUTES = (
    _route("checkpoint", show_checkpoint, "The newest signed checkpoint", bytes, media=TEXT),
    _route("tile/{tile...}", show_tile, "A tile of the log (C2SP)", bytes, media=BYTES),
    _route(
        "proof/inclusion",
        prove_inclusion,
        "Proof that a record is in the log",
        ProofReply,
        query=InclusionQuery,
    ),
    _route(
        "proof/consistency",
        prove_consistency,
        "Proof that the log has only grown",
        ProofReply,
        query=ConsistencyQuery,
    ),
    _route(
        "receipts/{action}",
        show_receipt,
        "A receipt for an action (C2SP tlog-proof)",
        bytes,
        media=TEXT,
        query=ReceiptQuery,
    ),
    _route(
        "records",
        list_records,
        "Records in the order of the log",
        RecordsReply,
        query=RecordsQuery,
    ),
    _route(
        "export",
        export,
        "The log in one file, to be verified offline",
        bytes,
        media=BYTES,
        query=ExportQuery,
        streams=True,
        waits=EXPORT_TIME,
    ),
)
