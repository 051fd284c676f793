"""An export: a log in one file that can be verified without the system it came from.

    {"format":"remit-export","origin":"...","v":1,"values":true}     header
    {...}                                                            record 0, its exact bytes
    values 5f3c... {"query":"select 1"}                              its values, unless erased
    {...}                                                            record 1
    policy {"remit.yaml":"..."}                                      the documents of a revision
    ...
                                                                     an empty line
    example.com/log                                                  the signed checkpoint, as it is
    ...

Lines end in a newline. Pure: lines in, lines out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from remit.audit.checkpoint import read_checkpoint
from remit.audit.record import parse_record
from remit.errors import AuditError

MAX_LINE = 16 * 1024 * 1024
"""Bytes, with the newline."""

VALUES = b"values "
POLICY = b"policy "

_VALUES_LINE = re.compile(rb"values ([0-9a-f]{64}) (.+)\n")

ValuesReader: TypeAlias = Callable[[int], tuple[bytes, bytes] | None]
"""Salt and canonical JSON of the values of the record at a position; None if there are none."""
DocumentReader: TypeAlias = Callable[[str], bytes | None]
"""The policy documents of a revision as canonical JSON; None if they were not kept."""


class ExportHeader(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First line of an export. Fields are in alphabetical order, as in the file."""

    format: Literal["remit-export"] = "remit-export"
    origin: str
    v: Literal[1] = 1
    values: bool
    """Whether the erasable values are in it: then each one that is missing must be accounted for
    by an erasure record."""


def export_lines(
    bodies: Iterable[bytes],
    checkpoint: bytes,
    *,
    values: ValuesReader | None = None,
    document: DocumentReader | None = None,
) -> Iterator[bytes]:
    """The lines of an export, for writing one after the other.

    Args:
        bodies: the records in order, as stored: exactly as many as the checkpoint covers.
        checkpoint: the signed checkpoint of the log.
        values: reads the erasable values; None leaves them out.
        document: reads policy documents; None leaves them out.

    Raises:
        AuditError: the checkpoint is malformed, or covers another number of records.
    """
    claim = read_checkpoint(checkpoint)
    header = ExportHeader(origin=claim.origin, values=values is not None)
    yield msgspec.json.encode(header) + b"\n"
    position = 0
    for body in bodies:
        yield body + b"\n"
        sealed = values(position) if values is not None else None
        if sealed is not None:
            salt, canonical = sealed
            yield VALUES + salt.hex().encode() + b" " + canonical + b"\n"
        bundle = _bundle(body, document) if document is not None else None
        if bundle is not None:
            yield POLICY + bundle + b"\n"
        position += 1
    if position != claim.size:
        raise AuditError(f"{position} records given, but the checkpoint covers {claim.size}")
    yield b"\n"
    yield checkpoint


def parse_header(line: bytes) -> ExportHeader:
    """The header in the first line of an export.

    Raises:
        AuditError: it is none.
    """
    try:
        header = msgspec.json.decode(line, type=ExportHeader)
    except (msgspec.MsgspecError, UnicodeError):
        raise AuditError("not an export of a log: the first line is not its header") from None
    if msgspec.json.encode(header) + b"\n" != line:
        raise AuditError("not an export of a log: its header is not in the spelling of the format")
    return header


def parse_values(line: bytes) -> tuple[bytes, bytes]:
    """Salt and canonical JSON in a line of values.

    Raises:
        AuditError: it is malformed.
    """
    match = _VALUES_LINE.fullmatch(line)
    if match is None:
        raise AuditError("a line of values must be: values, salt in hex, canonical JSON")
    return bytes.fromhex(match[1].decode()), match[2]


def _bundle(body: bytes, document: DocumentReader) -> bytes | None:
    """The policy documents that belong under a record: those a policy record announces."""
    if b'"kind":"policy"' not in body:
        return None
    record = parse_record(body)
    if record.kind != "policy" or record.revision is None:
        return None
    return document(record.revision)
