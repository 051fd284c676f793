from collections.abc import Sequence
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from remit.audit import merkle
from remit.audit.checkpoint import Checkpoint, sign_checkpoint
from remit.audit.note import COSIGNATURE, ED25519, Note, VerifierKey, cosign_text, parse_note
from remit.audit.proof import Receipt, parse_receipt, verify_receipt
from remit.errors import AuditError

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
KEY = VerifierKey("example.com/log", ED25519, PRIVATE.public_key().public_bytes_raw())
WITNESS = VerifierKey("example.org/w1", COSIGNATURE, PRIVATE.public_key().public_bytes_raw())
BODIES = [b'{"at":%d,"kind":"stop"}' % n for n in range(7)]


def receipts(*, carry: bool) -> list[Receipt]:
    stored: list[bytes] = []

    def read(indexes: Sequence[int]) -> list[bytes]:
        return [stored[index] for index in indexes]

    for position, body in enumerate(BODIES):
        stored += merkle.append(position, merkle.leaf_hash(body), read)
    size = len(BODIES)
    note = sign_checkpoint(Checkpoint(KEY.name, size, merkle.root(size, read)), KEY, PRIVATE.sign)
    return [
        Receipt(
            index,
            tuple(merkle.inclusion_proof(index, size, read)),
            note,
            body if carry else None,
        )
        for index, body in enumerate(BODIES)
    ]


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("index", range(len(BODIES)))
def test_receipts_read_back_and_verify(index: int, carry: bool) -> None:
    receipt = receipts(carry=carry)[index]
    assert parse_receipt(receipt.encode()) == receipt
    signed = verify_receipt(receipt, [KEY], body=None if carry else BODIES[index])
    assert signed.checkpoint.size == len(BODIES)
    with pytest.raises(AuditError, match="not what the log"):
        verify_receipt(receipt, [KEY], body=b"something else")


def test_golden_form() -> None:
    assert receipts(carry=True)[6].encode().decode() == (
        "c2sp.org/tlog-proof@v1\n"
        "extra eyJhdCI6Niwia2luZCI6InN0b3AifQ==\n"
        "index 6\n"
        "NAAhZXSEjul6tOZiDFNrbAmntqsy8IB5WZ9KQexn318=\n"
        "UxHIf4YzmKrMyZUufUPacOeLEle5agE3RIwWOboNbmc=\n"
        "\n"
        "example.com/log\n"
        "7\n"
        "RvFQ/ssux0bDLpL6Wuj3V2tK5jDexQdkJirbew0Q5Pk=\n"
        "\n"
        "— example.com/log m+XTxmdR6qyDf2dvrkG0wf62qdK0iiTg7JKcPCzSsmpKsvzZ30XZTAZHTPnXaxFp8tuBG85A"
        "2LAlQwHwEPnJTjGl0QM=\n"
    )


def test_the_record_must_come_from_somewhere() -> None:
    with pytest.raises(AuditError, match="does not carry its record"):
        verify_receipt(receipts(carry=False)[0], [KEY])


def test_witnesses_are_asked_for() -> None:
    receipt = receipts(carry=True)[2]
    with pytest.raises(AuditError, match="lacks the cosignature"):
        verify_receipt(receipt, [KEY], witnesses=[WITNESS])
    note = parse_note(receipt.checkpoint)
    line = cosign_text(note.text, WITNESS, PRIVATE.sign, 7)
    cosigned = Note(note.text, (*note.signatures, line)).encode()
    receipt = Receipt(receipt.index, receipt.proof, cosigned, receipt.extra)
    assert verify_receipt(receipt, [KEY], witnesses=[WITNESS]).witnesses == ("example.org/w1",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"c2sp.org/tlog-proof@v1",
        b"c2sp.org/tlog-proof@v1\n\n",
        b"c2sp.org/tlog-proof@v2\nindex 0\n\n",
        b"c2sp.org/tlog-proof@v1\nextra AA==\n\n",
        b"c2sp.org/tlog-proof@v1\nindex 00\n\n",
        b"c2sp.org/tlog-proof@v1\nindex -1\n\n",
        b"c2sp.org/tlog-proof@v1\nextra x\nindex 0\n\n",
        b"c2sp.org/tlog-proof@v1\nindex 0\nx\n\n",
        b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"AA==\n" * 65 + b"\n",
        b"c2sp.org/tlog-proof@v1\nindex \xd9\xa3\n\n",
    ],
)
def test_malformed_receipts_are_refused(data: bytes) -> None:
    with pytest.raises(AuditError):
        parse_receipt(data)


@given(st.binary() | st.binary().map(b"c2sp.org/tlog-proof@v1\nindex 3\n".__add__))
def test_any_bytes_are_a_receipt_or_are_refused(data: bytes) -> None:
    with suppress(AuditError):
        assert parse_receipt(data).encode() == data
