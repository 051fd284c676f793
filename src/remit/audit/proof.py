"""Receipts: an offline proof that one record is in a signed log (C2SP tlog-proof)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from remit.audit.checkpoint import SignedCheckpoint, open_checkpoint
from remit.audit.merkle import leaf_hash, verify_inclusion
from remit.audit.note import VerifierKey, decode_base64, encode_base64
from remit.errors import AuditError

HEADER = "c2sp.org/tlog-proof@v1"

_MAX_PROOF = 64
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)


class Receipt(Struct, frozen=True):
    """Record ``index`` is in the log that ``checkpoint`` describes; ``proof`` shows it."""

    index: int
    proof: tuple[bytes, ...]
    """From the leaf's sibling upwards, 32 bytes each."""
    checkpoint: bytes
    """A signed checkpoint, as it is."""
    extra: bytes | None = None
    """Remit puts the bytes of the record here, so that a receipt stands alone."""

    def encode(self) -> bytes:
        """The receipt in the form of C2SP tlog-proof."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines.extend(map(encode_base64, self.proof))
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint


def parse_receipt(data: bytes) -> Receipt:
    """The receipt in ``data``, not yet verified.

    Raises:
        AuditError: it is malformed.
    """
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise AuditError("not a receipt: its head must be ASCII") from None
    if not blank or lines.pop(0) != HEADER:
        raise AuditError(f"not a receipt: the first line must be {HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if index is None or len(lines) > _MAX_PROOF:
        raise AuditError("not a receipt: it needs an index and a proof of at most 64 hashes")
    return Receipt(int(index[1]), tuple(map(decode_base64, lines)), checkpoint, extra)


def verify_receipt(
    receipt: Receipt,
    keys: Sequence[VerifierKey],
    *,
    witnesses: Sequence[VerifierKey] = (),
    body: bytes | None = None,
) -> SignedCheckpoint:
    """Check that a record is in the log of a checkpoint signed by one of ``keys``.

    ``body`` is the record's bytes; without it, those that the receipt carries.

    Raises:
        AuditError: it is not, or a signature is wrong, or there are no bytes to check.
    """
    if body is None:
        body = receipt.extra
    if body is None:
        raise AuditError("the receipt does not carry its record; pass the record's bytes")
    signed = open_checkpoint(receipt.checkpoint, keys, witnesses)
    checkpoint = signed.checkpoint
    leaf = leaf_hash(body)
    verify_inclusion(receipt.index, checkpoint.size, leaf, checkpoint.root, receipt.proof)
    return signed
