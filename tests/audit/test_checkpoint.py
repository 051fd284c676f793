from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from remit.audit.checkpoint import (
    Checkpoint,
    open_checkpoint,
    parse_checkpoint,
    read_checkpoint,
    sign_checkpoint,
)
from remit.audit.note import COSIGNATURE, ED25519, Note, VerifierKey, cosign_text, parse_note
from remit.errors import AuditError

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
WATCHER = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)
KEY = VerifierKey("example.com/log", ED25519, PRIVATE.public_key().public_bytes_raw())
WITNESS = VerifierKey("example.org/w1", COSIGNATURE, WATCHER.public_key().public_bytes_raw())
CHECKPOINT = Checkpoint("example.com/log", 3, b"\x07" * 32)
SIGNED = sign_checkpoint(CHECKPOINT, KEY, PRIVATE.sign)


def witnessed(data: bytes) -> bytes:
    note = parse_note(data)
    line = cosign_text(note.text, WITNESS, WATCHER.sign, 1_700_000_000)
    return Note(note.text, (*note.signatures, line)).encode()


def test_golden_form() -> None:
    assert SIGNED.decode() == (
        "example.com/log\n"
        "3\n"
        "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"
        "\n"
        "— example.com/log m+XTxqsK69OQMqcDmEDXLHGledo9TfDB9Y/sY5l1opMsIjf9UCVB6tCGk7kFEvhMsiJ1SOiM"
        "V9He6LK11Afx5ME7Ogw=\n"
    )


def test_a_signed_checkpoint_opens() -> None:
    signed = open_checkpoint(SIGNED, [KEY])
    assert signed.checkpoint == CHECKPOINT == read_checkpoint(SIGNED)
    assert signed.signers == ("example.com/log",)
    assert signed.witnesses == ()


def test_a_witness_vouches_too() -> None:
    signed = open_checkpoint(witnessed(SIGNED), [KEY], [WITNESS])
    assert signed.signers == ("example.com/log",)
    assert signed.witnesses == ("example.org/w1",)
    with pytest.raises(AuditError, match=r"lacks the cosignature of example.org/w1"):
        open_checkpoint(SIGNED, [KEY], [WITNESS])


def test_a_witness_does_not_stand_in_for_the_log() -> None:
    note = parse_note(witnessed(SIGNED))
    alone = Note(note.text, note.signatures[1:]).encode()
    with pytest.raises(AuditError, match="no key of the log"):
        open_checkpoint(alone, [KEY], [WITNESS])
    with pytest.raises(AuditError, match="a witness's, not a log's"):
        open_checkpoint(alone, [WITNESS])
    with pytest.raises(AuditError, match="a log's, not a witness's"):
        open_checkpoint(SIGNED, [KEY], [KEY])


def test_extension_lines_are_kept() -> None:
    extended = Checkpoint("log", 0, bytes(32), ("one", "two"))
    assert parse_checkpoint(extended.text()) == extended


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("", 0, bytes(32)),
        Checkpoint("two\nlines", 0, bytes(32)),
        Checkpoint(f"log\n9\n{'A' * 43}=", 0, bytes(32)),
        Checkpoint("log", -1, bytes(32)),
        Checkpoint("log", 0, bytes(31)),
        Checkpoint("log", 0, bytes(32), ("",)),
    ],
)
def test_what_would_not_read_back_is_not_signed(checkpoint: Checkpoint) -> None:
    with pytest.raises(AuditError):
        sign_checkpoint(checkpoint, KEY, PRIVATE.sign)


ROOT = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"log\n3\n{ROOT}",
        f"log\n3\n{ROOT}\n\n",
        f"\n3\n{ROOT}\n",
        f"log\n03\n{ROOT}\n",
        f"log\n+3\n{ROOT}\n",
        f"log\n-3\n{ROOT}\n",
        f"log\n٣\n{ROOT}\n",
        f"log\n{'9' * 20}\n{ROOT}\n",
        "log\n3\nBwcH\n",
        "log\n3\nx\n",
        "log\n3\n",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    with pytest.raises(AuditError):
        parse_checkpoint(text)


@given(st.text() | st.lists(st.text(), max_size=5).map("\n".join))
def test_any_text_is_a_checkpoint_or_is_refused(text: str) -> None:
    with suppress(AuditError):
        assert parse_checkpoint(text).text() == text
