"""Offline verification of an exported log: with public keys and nothing else.

Reads the file once, as a stream. The hashes are those of the bytes as they are in the file;
nothing is parsed and written again to be hashed.

What a signature cannot show: that the newest records are missing, when whoever cut them off has
the key or an older export. For that, keep a checkpoint outside and pass it as ``since``, or have
checkpoints cosigned by a witness.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import BinaryIO

from msgspec import Struct

from remit.audit.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from remit.audit.export import MAX_LINE, POLICY, VALUES, ExportHeader, parse_header, parse_values
from remit.audit.merkle import Frontier
from remit.audit.note import MAX_NOTE, VerifierKey
from remit.audit.record import Record, commitment, parse_record
from remit.audit.replay import Discrepancy, Replay, UnsettledAction
from remit.errors import AuditError

MAX_LISTED = 100
"""Discrepancies and open actions that a report lists one by one; it counts all."""

_CHUNK = 512
_BRACE = 0x7B


class VerificationReport(Struct, frozen=True, kw_only=True):
    """What verification found."""

    origin: str
    size: int
    """Records in the file."""
    root: bytes
    """Computed from the records, 32 bytes."""
    signers: tuple[str, ...]
    """Names of the keys you gave that signed the checkpoint."""
    witnesses: tuple[str, ...]
    """Names of the witnesses you gave that cosigned it."""
    since: int | None
    """Size of the older checkpoint that the log was compared with."""
    values: bool
    """Whether the file claims to hold all values that were not erased; they were checked then."""
    counts: dict[str, int]
    """Records by kind."""
    first_at: int | None
    """Time of the first record, microseconds since the epoch."""
    last_at: int
    discrepancy_count: int
    discrepancies: tuple[Discrepancy, ...]
    """The first ``MAX_LISTED`` about records, after all those about the log as a whole."""
    open_count: int
    open_actions: tuple[UnsettledAction, ...]
    """Granted actions without a recorded outcome: the first ``MAX_LISTED``."""

    @property
    def consistent(self) -> bool:
        """Whether all holds together. Unless ``signed``, whoever made the file made it so."""
        return self.discrepancy_count == 0

    @property
    def signed(self) -> bool:
        """Whether a key that you gave vouches for it."""
        return bool(self.signers)

    @property
    def verified(self) -> bool:
        """Whether it holds together and a key that you gave vouches for it."""
        return self.consistent and self.signed


def verify_export(
    stream: BinaryIO,
    keys: Sequence[VerifierKey] = (),
    *,
    since: bytes | None = None,
    witnesses: Sequence[VerifierKey] = (),
) -> VerificationReport:
    """Verify an export.

    Args:
        stream: the file, opened in binary.
        keys: verifier keys of the log; without any, only that the file holds together is checked.
        since: an older signed checkpoint of this log, from wherever you kept it.
        witnesses: verifier keys of witnesses, all of which must have cosigned.

    Raises:
        AuditError: it is no export, or ``since`` does not verify.
    """
    older = None if since is None else _older(since, keys)
    header = parse_header(stream.readline(MAX_LINE))
    verification = _Verification(header, older)
    verification.read_records(stream)
    return verification.conclude(stream.read(MAX_NOTE + 1), keys, witnesses)


def _older(since: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    if keys:
        return open_checkpoint(since, keys).checkpoint
    return read_checkpoint(since)


class _Verification:
    """State of one pass over a file."""

    def __init__(self, header: ExportHeader, older: Checkpoint | None) -> None:
        self._header = header
        self._older = older
        self._older_root: bytes | None = None
        self._frontier = Frontier()
        self._of_log: list[Discrepancy] = []
        self._of_records: list[Discrepancy] = []
        self._discrepancy_count = 0
        self._replay = Replay(self._report)
        self._missing = _Missing()
        self._record: Record | None = None
        """The record that lines of values and policy belong to."""
        self._has_values = False

    def _report(self, position: int | None, code: str, message: str) -> None:
        self._discrepancy_count += 1
        if position is None:
            self._of_log.append(Discrepancy(position, code, message))
        elif len(self._of_records) < MAX_LISTED:
            self._of_records.append(Discrepancy(position, code, message))

    def read_records(self, stream: BinaryIO) -> None:
        """Read up to and including the empty line."""
        leaves: list[bytes] = []
        position = 0
        stop = -1 if self._older is None else self._older.size
        if stop == 0:
            self._older_root = self._frontier.root()
        for line in iter(partial(stream.readline, MAX_LINE), b""):
            if line[0] != _BRACE:
                if line == b"\n":
                    break
                self._attachment(position - 1, line)
                continue
            self._close_record(position - 1)
            leaves.append(sha256(b"\x00" + line[:-1]).digest())
            self._open_record(position, line)
            position += 1
            if position == stop:
                self._frontier.extend(leaves)
                leaves.clear()
                self._older_root = self._frontier.root()
            elif len(leaves) == _CHUNK:
                self._frontier.extend(leaves)
                leaves.clear()
        else:
            self._report(None, "cut", "the file ends within the records: its end is missing")
        self._close_record(position - 1)
        self._frontier.extend(leaves)

    def _open_record(self, position: int, line: bytes) -> None:
        try:
            if line[-1:] != b"\n":
                raise AuditError("the line is cut off or too long")
            record = parse_record(line[:-1])
        except AuditError as problem:
            self._report(position, "not-a-record", str(problem))
            return
        self._record = record
        self._replay.see(position, record)
        if record.kind == "erasure":
            self._erased(position, record.erased)

    def _close_record(self, position: int) -> None:
        """All lines of the record at ``position`` have been read."""
        record = self._record
        if record is None:
            return
        if self._header.values and not self._has_values and (record.args or record.result):
            self._missing.add(position)
        self._record = None
        self._has_values = False

    def _attachment(self, position: int, line: bytes) -> None:
        try:
            if line[-1:] != b"\n":
                raise AuditError("the line is cut off or too long")
            if self._record is None:
                raise AuditError("there is no record before it")
            if line.startswith(VALUES):
                self._values(self._record, line)
            elif line.startswith(POLICY):
                _check_policy(self._record, line)
            else:
                raise AuditError("it is neither a record nor what belongs to one")
        except AuditError as problem:
            where = position if position >= 0 else None
            self._report(where, "attachment", f"a line that is no record: {problem}")

    def _values(self, record: Record, line: bytes) -> None:
        salt, canonical = parse_values(line)
        if self._has_values or not self._header.values:
            raise AuditError("values that do not belong there")
        self._has_values = True
        if commitment(salt, canonical) != (record.args or record.result):
            raise AuditError("the values are not those that the record commits to: altered")

    def _erased(self, position: int, erased: Sequence[int]) -> None:
        for one in erased:
            if one >= position:
                self._report(position, "erasure", f"it erases values of a later record, {one}")
            elif self._header.values and not self._missing.explain(one):
                self._report(position, "erasure", f"the values of record {one} are still there")

    def conclude(
        self, note: bytes, keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey]
    ) -> VerificationReport:
        """Compare with the signed checkpoint and sum up."""
        for position in self._missing.unexplained():
            self._report(position, "values", "its values are missing, and no record says erased")
        self._replay.finish()
        signers, cosigners = self._check_checkpoint(note, keys, witnesses)
        self._check_older()
        replay = self._replay
        unsettled = list(replay.open.values())
        return VerificationReport(
            origin=self._header.origin,
            size=self._frontier.size,
            root=self._frontier.root(),
            signers=signers,
            witnesses=cosigners,
            since=None if self._older is None else self._older.size,
            values=self._header.values,
            counts=dict(sorted(replay.counts.items())),
            first_at=replay.first_at,
            last_at=replay.last_at,
            discrepancy_count=self._discrepancy_count,
            discrepancies=(*self._of_log, *self._of_records),
            open_count=len(unsettled),
            open_actions=tuple(unsettled[:MAX_LISTED]),
        )

    def _check_checkpoint(
        self, note: bytes, keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        signers: tuple[str, ...] = ()
        cosigners: tuple[str, ...] = ()
        try:
            checkpoint = read_checkpoint(note)
            self._compare(checkpoint)
            if keys or witnesses:
                signed = open_checkpoint(note, keys, witnesses)
                signers, cosigners = signed.signers, signed.witnesses
        except AuditError as problem:
            self._report(None, "checkpoint", str(problem))
        return signers, cosigners

    def _compare(self, checkpoint: Checkpoint) -> None:
        size = self._frontier.size
        if checkpoint.origin != self._header.origin:
            self._report(
                None, "origin", f"header and checkpoint differ: the latter is {checkpoint.origin!r}"
            )
        if checkpoint.size != size:
            self._report(
                None,
                "size",
                f"{checkpoint.size} records were signed and {size} are there: "
                "records were removed or added",
            )
        elif checkpoint.root != self._frontier.root():
            self._report(
                None,
                "root",
                "the records are not those that were signed: at least one was altered, "
                "moved or replaced",
            )

    def _check_older(self) -> None:
        older, size = self._older, self._frontier.size
        if older is None:
            return
        if older.origin != self._header.origin:
            self._report(None, "since", f"the older checkpoint is of another log, {older.origin!r}")
        elif self._older_root is None:
            self._report(
                None,
                "since",
                f"the log had {older.size} records when the older checkpoint was signed and has "
                f"{size} now: its newest records were deleted",
            )
        elif self._older_root != older.root:
            self._report(
                None,
                "since",
                f"the first {older.size} records are not those that the older checkpoint covers: "
                "history was rewritten",
            )


def _check_policy(record: Record, line: bytes) -> None:
    documents = line.removeprefix(POLICY).removesuffix(b"\n")
    if record.revision != f"sha256:{sha256(documents).hexdigest()}":
        raise AuditError("the policy documents are not those of the recorded revision: altered")


class _Missing:
    """Positions whose values are missing, in order, and which of them an erasure accounts for."""

    def __init__(self) -> None:
        self._positions = array("q")
        self._explained = bytearray()

    def add(self, position: int) -> None:
        self._positions.append(position)
        self._explained.append(0)

    def explain(self, position: int) -> bool:
        """Take note that a record says they were erased; False if they are not missing."""
        at = bisect_left(self._positions, position)
        if at == len(self._positions) or self._positions[at] != position:
            return False
        self._explained[at] = 1
        return True

    def unexplained(self) -> list[int]:
        found = zip(self._positions, self._explained, strict=True)
        return [position for position, explained in found if not explained]
