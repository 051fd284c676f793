"""Whether the log in a store holds together, record by record: what a check after a move asks."""

from __future__ import annotations

from typing import NamedTuple

from remit.audit import merkle
from remit.audit.checkpoint import read_checkpoint
from remit.errors import StoreCorrupt
from remit.storage import Snapshot
from remit.storage.edge import Head

_CHUNK = 512


class Checked(NamedTuple):
    """What a check found in order."""

    size: int
    root: bytes
    signed: int
    """How many of the records the newest checkpoint covers."""


def check_log_whole(view: Snapshot) -> Checked:
    """Compute the tree anew from every record, and compare it with what is stored and signed.

    Raises:
        StoreCorrupt: they differ; says where.
    """
    note = view.checkpoint()
    signed = None if note is None else read_checkpoint(note)
    head, size = Head(0, 0, 0, 0, b""), view.log_size()
    while head.size < size:
        start, expected = head.size, b""
        if signed is not None and start == signed.size:
            _check_signed(head, signed.root)
        stop = min(size, start + _CHUNK)
        if signed is not None and start < signed.size < stop:
            stop = signed.size
        for record in view.records(start, stop):
            if record.position != head.size:
                raise StoreCorrupt(f"Record {head.size} is missing.")
            expected += head.append(record.body, record.at)
        if head.size != stop:
            raise StoreCorrupt(f"Record {head.size} is missing.")
        stored = view.hashes(range(merkle.stored_count(start), merkle.stored_count(stop)))
        if b"".join(stored) != expected:
            raise StoreCorrupt(
                f"The records from {start} to {stop - 1} do not match their hashes in the tree."
            )
    if signed is not None and signed.size >= size:
        if signed.size > size:
            raise StoreCorrupt(f"{signed.size} records were signed and {size} are there.")
        _check_signed(head, signed.root)
    root = head.root() if size else merkle.EMPTY_ROOT
    return Checked(size, root, 0 if signed is None else signed.size)


def _check_signed(head: Head, root: bytes) -> None:
    if (head.root() if head.size else merkle.EMPTY_ROOT) != root:
        raise StoreCorrupt(f"The first {head.size} records are not the ones that were signed.")
