"""Logs as tests need them: made, signed, exported, and tampered with."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.audit.checkpoint import Checkpoint, sign_checkpoint
from remit.audit.export import export_lines
from remit.audit.merkle import Frontier, leaf_hash
from remit.audit.note import ED25519, VerifierKey
from remit.audit.record import (
    Record,
    RecordedFinding,
    RecordedLimit,
    RecordedObligation,
    RecordedPrincipal,
    RecordedRule,
    commitment,
    encode_record,
)

ORIGIN = "example.com/log"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
KEY = VerifierKey(ORIGIN, ED25519, PRIVATE.public_key().public_bytes_raw())
START = 1_760_000_000_000_000
DOCUMENTS = b'{"remit.yaml":"remit: 1\\ndefault: deny\\n"}'
REVISION = f"sha256:{sha256(DOCUMENTS).hexdigest()}"
SALT = b"\xab" * 32
ARGUMENTS = b'{"query":"select 1"}'
CHAIN = (
    RecordedPrincipal(id="inventory-bot", known="declared", roles=("reader",), team="depot"),
    RecordedPrincipal(id="ada", kind="person", known="authenticated"),
)


def records(actions: int = 5) -> list[bytes]:
    """A policy record, then a decision and an outcome for each action."""
    made = [Record(kind="policy", at=START, revision=REVISION, principal=CHAIN)]
    for n in range(actions):
        made.append(
            Record(
                action=f"a-{n}",
                args=commitment(SALT, ARGUMENTS),
                at=START + 200_000 * n,
                digest="d" * 64,
                effect="allow",
                findings=(RecordedFinding(kind="secret", where="args.query"),),
                granted=True,
                kind="decision",
                labels=("confidential",),
                lease=START + 600_000_000,
                limits=(RecordedLimit(burst=9, calls=9, key="rate/burst/bot", period=1_000_000),),
                mode="enforce",
                note="a note",
                obligations=(RecordedObligation(kind="redact", rule="mask", target="args.query"),),
                phase="call",
                principal=CHAIN,
                revision=REVISION,
                rules=(RecordedRule(at="remit.yaml:12:5", effect="allow", id="reader-tools"),),
                session="s-1",
                tool="db.query",
                trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
        )
        made.append(
            Record(
                action=f"a-{n}",
                at=START + 200_000 * n + 1,
                digest="d" * 64,
                duration=480,
                error="ValueError",
                kind="outcome",
                result=commitment(SALT, b"[]"),
                session="s-1",
                status="error",
                tool="db.query",
            )
        )
    return [encode_record(record) for record in made]


def root_of(bodies: Sequence[bytes]) -> bytes:
    frontier = Frontier()
    frontier.extend(map(leaf_hash, bodies))
    return frontier.root()


def signed(
    bodies: Sequence[bytes],
    sign: Callable[[bytes], bytes] = PRIVATE.sign,
    origin: str = ORIGIN,
) -> bytes:
    return sign_checkpoint(Checkpoint(origin, len(bodies), root_of(bodies)), KEY, sign)


def exported(
    bodies: Sequence[bytes],
    checkpoint: bytes | None = None,
    values: Mapping[int, tuple[bytes, bytes]] | None = None,
    documents: Mapping[str, bytes] | None = None,
) -> bytes:
    return b"".join(
        export_lines(
            bodies,
            signed(bodies) if checkpoint is None else checkpoint,
            values=None if values is None else values.get,
            document=None if documents is None else documents.get,
        )
    )


def all_values(actions: int = 5) -> dict[int, tuple[bytes, bytes]]:
    """The values of ``records(actions)`` by position."""
    return {
        position: (SALT, ARGUMENTS if position % 2 else b"[]")
        for position in range(1, 2 * actions + 1)
    }
