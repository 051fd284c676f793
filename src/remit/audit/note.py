"""Signed notes: text with signatures under it (C2SP signed-note, C2SP tlog-cosignature).

Pure: parsing, checking and putting together. Private keys are elsewhere (``remit.signing``);
whoever signs passes a function from message bytes to signature bytes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from remit.errors import AuditError

ED25519 = 0x01
"""Signature type: Ed25519 over the note text."""
COSIGNATURE = 0x04
"""Signature type: Ed25519 over a time and a checkpoint, made by a witness (``cosignature/v1``)."""

MAX_NOTE = 1_000_000
"""Bytes."""
MAX_SIGNATURES = 100

Sign: TypeAlias = Callable[[bytes], bytes]
"""Makes an Ed25519 signature, 64 bytes."""

_DASH = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_HEX8 = re.compile(r"[0-9a-f]{8}")


class VerifierKey(Struct, frozen=True):
    """A public key and the name it signs under. ``str()`` gives the vkey text."""

    name: str
    algorithm: int
    """``ED25519`` or ``COSIGNATURE``."""
    public: bytes
    """Ed25519 public key, 32 bytes (RFC 8032)."""

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that mark this key's signatures."""
        material = bytes([self.algorithm]) + self.public
        return sha256(self.name.encode() + b"\n" + material).digest()[:4]

    def __str__(self) -> str:
        material = encode_base64(bytes([self.algorithm]) + self.public)
        return f"{self.name}+{self.key_id.hex()}+{material}"


class SignatureLine(Struct, frozen=True):
    """One line under a note. Says nothing until it is verified."""

    name: str
    key_id: bytes
    signature: bytes
    """For a cosignature: time, 8 bytes big-endian, then the Ed25519 signature."""

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}\n"


class Note(Struct, frozen=True):
    """A text, ending in a newline, and the signatures under it."""

    text: str
    signatures: tuple[SignatureLine, ...]

    def encode(self) -> bytes:
        """The note as bytes."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()


class VerifiedSignature(Struct, frozen=True):
    """A signature that was checked, and whose."""

    key: VerifierKey
    at: int | None = None
    """When a witness signed, seconds since the epoch; None for a plain signature."""


def check_name(name: str) -> None:
    """Check that ``name`` can be the name of a key.

    Raises:
        AuditError: it is empty or has a blank, a plus or a control character.
    """
    if not name or "+" in name or any(one.isspace() for one in name) or _CONTROL.search(name):
        raise AuditError(f"{name!r} cannot name a key: no blanks, no plus sign, at least a letter")


def parse_vkey(text: str) -> VerifierKey:
    """The verifier key that ``text`` (``name+id+base64``) spells.

    Raises:
        AuditError: it is malformed, of an unknown kind, or its id does not fit.
    """
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not _HEX8.fullmatch(parts[1]):
        # The text is not quoted: it may be the private key, given by mistake.
        raise AuditError("not a verifier key: expected name+8 hex digits+base64")
    material = decode_base64(parts[2])
    if len(material) != 33 or material[0] not in (ED25519, COSIGNATURE):
        raise AuditError(f"the verifier key of {parts[0]!r} is not an Ed25519 key")
    check_name(parts[0])
    key = VerifierKey(parts[0], material[0], material[1:])
    if key.key_id.hex() != parts[1]:
        raise AuditError(f"the id of the verifier key of {key.name!r} should be {key.key_id.hex()}")
    return key


def parse_note(data: bytes) -> Note:
    """The note in ``data``, its signatures not yet verified.

    Raises:
        AuditError: it is malformed or too large.
    """
    if len(data) > MAX_NOTE:
        raise AuditError(f"a signed note of {len(data)} bytes is longer than {MAX_NOTE}")
    try:
        content = data.decode()
    except UnicodeDecodeError:
        raise AuditError("a signed note must be UTF-8") from None
    if _CONTROL.search(content):
        raise AuditError("a signed note must not contain control characters")
    text, blank, below = content.rpartition("\n\n")
    if not blank or not below.endswith("\n"):
        raise AuditError("not a signed note: no signature lines under the text")
    lines = below[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise AuditError(f"a signed note with more than {MAX_SIGNATURES} signatures")
    return Note(text + "\n", tuple(map(_parse_line, lines)))


def verify_note(note: Note, keys: Sequence[VerifierKey]) -> tuple[VerifiedSignature, ...]:
    """The signatures under ``note`` made by ``keys``; those of other keys are ignored.

    Raises:
        AuditError: none of the keys signed it, or a signature that names one of them is wrong.
    """
    known = {(key.name, key.key_id): key for key in keys}
    verified = []
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is not None:
            verified.append(_verify_line(note.text.encode(), key, line.signature))
    if not verified:
        names = ", ".join(sorted({line.name for line in note.signatures}))
        raise AuditError(f"not signed by a key you named; it carries signatures of: {names}")
    return tuple(verified)


def sign_text(text: str, key: VerifierKey, sign: Sign) -> SignatureLine:
    """Sign ``text`` under the name of ``key``, which must be the key behind ``sign``."""
    return SignatureLine(key.name, key.key_id, sign(text.encode()))


def cosign_text(text: str, key: VerifierKey, sign: Sign, at: int) -> SignatureLine:
    """Cosign a checkpoint's text as a witness that saw it at ``at`` (seconds since the epoch)."""
    signature = sign(_cosigned(text.encode(), at))
    return SignatureLine(key.name, key.key_id, at.to_bytes(8, "big") + signature)


def verify_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature (RFC 8032).

    Raises:
        AuditError: it is wrong, or ``public`` is no key.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise AuditError("an Ed25519 signature is wrong") from None


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode()


def decode_base64(text: str) -> bytes:
    """The bytes that ``text`` spells in base64, which has one spelling for them.

    Raises:
        AuditError: it is not the standard spelling.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise AuditError(f"not base64: {len(text)} characters") from None
    if encode_base64(data) != text:
        raise AuditError(f"not the standard base64 spelling: {len(text)} characters")
    return data


def _parse_line(line: str) -> SignatureLine:
    name, blank, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not blank:
        raise AuditError(f"not a signature line: {line[:100]!r}")
    check_name(name)
    data = decode_base64(encoded)
    if len(data) < 5:
        raise AuditError(f"the signature of {name!r} is too short")
    return SignatureLine(name, data[:4], data[4:])


def _verify_line(text: bytes, key: VerifierKey, signature: bytes) -> VerifiedSignature:
    at = None
    if key.algorithm == COSIGNATURE:
        at = int.from_bytes(signature[:8], "big")
        text, signature = _cosigned(text, at), signature[8:]
    try:
        verify_signature(key.public, text, signature)
    except AuditError:
        raise AuditError(f"the signature of {key.name!r} is wrong: the text was changed") from None
    return VerifiedSignature(key, at)


def _cosigned(text: bytes, at: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % at + text
