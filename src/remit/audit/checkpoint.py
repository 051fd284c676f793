"""Checkpoints: the size and root of a log under a signature (C2SP tlog-checkpoint).

A checkpoint kept outside the log is what makes deleting its newest records visible.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from remit.audit.merkle import HASH_SIZE
from remit.audit.note import (
    COSIGNATURE,
    ED25519,
    Note,
    Sign,
    VerifiedSignature,
    VerifierKey,
    decode_base64,
    encode_base64,
    parse_note,
    sign_text,
    verify_note,
)
from remit.errors import AuditError

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Checkpoint(Struct, frozen=True):
    """What is signed: the log ``origin`` had ``size`` records, with this root."""

    origin: str
    size: int
    root: bytes
    """32 bytes."""
    extensions: tuple[str, ...] = ()
    """Further lines; Remit writes none."""

    def text(self) -> str:
        """The text that is signed.

        Raises:
            AuditError: it would not read back as this checkpoint.
        """
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        text = "\n".join(lines) + "\n"
        if parse_checkpoint(text) != self:
            raise AuditError(f"a checkpoint of {self.origin!r} cannot be written")
        return text


class SignedCheckpoint(Struct, frozen=True):
    """A checkpoint whose signatures were verified."""

    checkpoint: Checkpoint
    signatures: tuple[VerifiedSignature, ...]
    """Those of the log and of witnesses that the verifier knows; all others were ignored."""

    @property
    def signers(self) -> tuple[str, ...]:
        """Names of the log keys that signed it."""
        return tuple(one.key.name for one in self.signatures if one.at is None)

    @property
    def witnesses(self) -> tuple[str, ...]:
        """Names of the witnesses that cosigned it."""
        return tuple(one.key.name for one in self.signatures if one.at is not None)


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note's text.

    Raises:
        AuditError: it is malformed.
    """
    lines = text.split("\n")
    if lines.pop() != "" or len(lines) < 3 or "" in lines:
        raise AuditError("not a checkpoint: it needs an origin, a size and a root, one a line")
    origin, size, root, *extensions = lines
    if not _SIZE.fullmatch(size):
        raise AuditError(f"{size[:100]!r} is not the size of a log")
    root_hash = decode_base64(root)
    if len(root_hash) != HASH_SIZE:
        raise AuditError("the root in a checkpoint must be 32 bytes")
    return Checkpoint(origin, int(size), root_hash, tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, key: VerifierKey, sign: Sign) -> bytes:
    """The checkpoint as a note signed by ``key``, whose private half is behind ``sign``.

    Raises:
        AuditError: the checkpoint cannot be written.
    """
    text = checkpoint.text()
    return Note(text, (sign_text(text, key, sign),)).encode()


def read_checkpoint(data: bytes) -> Checkpoint:
    """What a signed checkpoint claims, WITHOUT verifying any signature.

    Raises:
        AuditError: it is malformed.
    """
    return parse_checkpoint(parse_note(data).text)


def open_checkpoint(
    data: bytes, keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey] = ()
) -> SignedCheckpoint:
    """Verify a signed checkpoint: at least one of ``keys`` and all ``witnesses`` signed it.

    Raises:
        AuditError: it is malformed, a signature is wrong, or one that is needed is absent.
    """
    _check_roles(keys, witnesses)
    note = parse_note(data)
    verified = verify_note(note, [*keys, *witnesses])
    signed = SignedCheckpoint(parse_checkpoint(note.text), verified)
    if not signed.signers:
        raise AuditError("a witness signed the checkpoint, but no key of the log that you named")
    absent = {key.name for key in witnesses} - set(signed.witnesses)
    if absent:
        raise AuditError(f"the checkpoint lacks the cosignature of {', '.join(sorted(absent))}")
    return signed


def _check_roles(keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey]) -> None:
    """Log keys and witness keys sign different things; neither may stand in for the other."""
    for key in keys:
        if key.algorithm != ED25519:
            raise AuditError(f"the key of {key.name!r} is a witness's, not a log's")
    for key in witnesses:
        if key.algorithm != COSIGNATURE:
            raise AuditError(f"the key of {key.name!r} is a log's, not a witness's")
