import json
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from remit.audit.note import (
    COSIGNATURE,
    ED25519,
    MAX_NOTE,
    Note,
    SignatureLine,
    VerifierKey,
    cosign_text,
    decode_base64,
    encode_base64,
    parse_note,
    parse_vkey,
    sign_text,
    verify_note,
    verify_signature,
)
from remit.errors import AuditError

WYCHEPROOF = json.loads(
    (Path(__file__).parents[1] / "data" / "ed25519" / "ed25519.json").read_text()
)
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)
KEY = VerifierKey("example.com/log", ED25519, PRIVATE.public_key().public_bytes_raw())
WITNESS = VerifierKey("example.org/witness", COSIGNATURE, OTHER.public_key().public_bytes_raw())
TEXT = "an example\n\nof two paragraphs\n"
NOTE = Note(TEXT, (sign_text(TEXT, KEY, PRIVATE.sign),))


@pytest.mark.parametrize("case", WYCHEPROOF, ids=lambda case: case["id"])
def test_ed25519_edge_cases(case: dict[str, str]) -> None:
    public, message, signature = (
        bytes.fromhex(case[name]) for name in ("public", "message", "signature")
    )
    if case["valid"]:
        verify_signature(public, message, signature)
    else:
        with pytest.raises(AuditError, match="wrong"):
            verify_signature(public, message, signature)


def test_a_key_that_is_none() -> None:
    with pytest.raises(AuditError, match="wrong"):
        verify_signature(b"short", b"", b"")


def test_the_example_of_the_specification() -> None:
    key = parse_vkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    note = parse_note(
        b"This is an example message.\n\n"
        b"\xe2\x80\x94 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERY"
        b"NZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    assert note.text == "This is an example message.\n"
    assert verify_note(note, [key])[0].key == key


@pytest.mark.parametrize("key", [KEY, WITNESS])
def test_verifier_keys_read_back(key: VerifierKey) -> None:
    assert parse_vkey(f"{key}\n") == key


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected name"),
        ("a+b", "expected name"),
        ("example.com+0000000+AQ==", "expected name"),
        ("example.com+ABCDEF01+AQ==", "expected name"),
        ("example.com+00000000+!", "not base64"),
        ("example.com+00000000+AQ==", "not an Ed25519 key"),
        (f"example.com+00000000+{encode_base64(bytes([2]) + bytes(32))}", "not an Ed25519 key"),
        (f"example.com+00000000+{encode_base64(bytes([1]) + bytes(32))}", "should be"),
        (f"a b+00000000+{encode_base64(bytes([1]) + bytes(32))}", "cannot name a key"),
        (str(KEY).replace("log", "lag"), "should be"),
    ],
)
def test_malformed_verifier_keys_are_refused(text: str, problem: str) -> None:
    with pytest.raises(AuditError, match=problem):
        parse_vkey(text)


def test_a_signed_note_reads_back_and_verifies() -> None:
    assert parse_note(NOTE.encode()) == NOTE
    (verified,) = verify_note(NOTE, [WITNESS, KEY])
    assert verified.key == KEY
    assert verified.at is None


def test_a_cosignature_covers_the_time() -> None:
    line = cosign_text(TEXT, WITNESS, OTHER.sign, 1_700_000_000)
    note = parse_note(Note(TEXT, (*NOTE.signatures, line)).encode())
    plain, cosigned = verify_note(note, [KEY, WITNESS])
    assert plain.at is None
    assert cosigned.at == 1_700_000_000
    later = (1_700_000_001).to_bytes(8, "big") + line.signature[8:]
    with pytest.raises(AuditError, match="is wrong"):
        verify_note(Note(TEXT, (SignatureLine(line.name, line.key_id, later),)), [WITNESS])


def test_unknown_signatures_are_ignored_but_one_must_be_known() -> None:
    stranger = SignatureLine("example.net", b"abcd", b"whatever")
    same_name = SignatureLine(KEY.name, b"abcd", b"whatever")
    note = Note(TEXT, (stranger, same_name, *NOTE.signatures))
    assert [one.key for one in verify_note(note, [KEY])] == [KEY]
    with pytest.raises(AuditError, match=r"carries signatures of: example.com/log, example.net"):
        verify_note(Note(TEXT, (stranger, same_name)), [KEY])


def test_a_wrong_signature_of_a_known_key_refuses_the_note() -> None:
    forged = SignatureLine(KEY.name, KEY.key_id, OTHER.sign(TEXT.encode()))
    with pytest.raises(AuditError, match="is wrong"):
        verify_note(Note(TEXT, (*NOTE.signatures, forged)), [KEY])
    with pytest.raises(AuditError, match="is wrong"):
        verify_note(Note("other\n", NOTE.signatures), [KEY])


def test_p51_the_verification_key_cannot_forge() -> None:
    """All that a verifier holds is public; used as if it were a private key it signs nothing."""
    forger = Ed25519PrivateKey.from_private_bytes(KEY.public)
    with pytest.raises(AuditError, match="is wrong"):
        verify_note(Note(TEXT, (sign_text(TEXT, KEY, forger.sign),)), [KEY])


LINE = str(NOTE.signatures[0])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "no signature lines"),
        ("text\n", "no signature lines"),
        ("text\n\n", "no signature lines"),
        (f"text\n{LINE}", "no signature lines"),
        (f"text\n\n{LINE[:-1]}", "no signature lines"),
        (f"text\n\nx{LINE}", "not a signature line"),
        (f"text\n\n{LINE}\n", "no signature lines"),
        ("text\n\n- example.com AAAAAAA=\n", "not a signature line"),
        ("text\n\n— example.com\n", "not a signature line"),
        ("text\n\n—  AAAAAAA=\n", "cannot name a key"),
        ("text\n\n— a+b AAAAAAA=\n", "cannot name a key"),
        ("text\n\n— a\u00a0b AAAAAAA=\n", "cannot name a key"),
        ("text\n\n— ab AAAA\n", "too short"),
        ("text\n\n— ab AAAAAAB=\n", "standard base64"),
        ("text\n\n— ab AAAAAAA=x\n", "not base64"),
        ("text\n\n— ab ä\n", "not base64"),
        (f"te\tt\n\n{LINE}", "control characters"),
        (f"text\r\n\n{LINE}", "control characters"),
        (f"text\n\n{LINE * 101}", "more than 100"),
    ],
)
def test_malformed_notes_are_refused(content: str, problem: str) -> None:
    with pytest.raises(AuditError, match=problem):
        parse_note(content.encode())


def test_notes_must_be_short_utf8() -> None:
    with pytest.raises(AuditError, match="UTF-8"):
        parse_note(b"\xff" + NOTE.encode())
    with pytest.raises(AuditError, match="longer than"):
        parse_note(b"x" * (MAX_NOTE + 1))


@given(st.binary() | st.text().map(lambda text: f"{text}\n\n{LINE}".encode()))
def test_any_bytes_are_a_note_or_are_refused(data: bytes) -> None:
    with suppress(AuditError):
        assert parse_note(data).encode() == data


@given(st.text())
def test_any_text_is_a_key_or_is_refused(text: str) -> None:
    with suppress(AuditError):
        assert str(parse_vkey(text)) == text.strip()


@given(st.binary())
def test_base64_reads_back(data: bytes) -> None:
    assert decode_base64(encode_base64(data)) == data
