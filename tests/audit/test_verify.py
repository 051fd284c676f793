import io
from contextlib import suppress

import msgspec
import pytest
from audit_logs import (
    DOCUMENTS,
    KEY,
    ORIGIN,
    REVISION,
    SALT,
    START,
    all_values,
    exported,
    records,
    root_of,
    signed,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from remit.audit import export
from remit.audit.note import COSIGNATURE, Note, VerifierKey, cosign_text, parse_note
from remit.audit.record import Record, encode_record
from remit.audit.verify import MAX_LISTED, VerificationReport, verify_export
from remit.errors import AuditError

BODIES = records()
WATCHER = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)
WITNESS = VerifierKey("example.org/w1", COSIGNATURE, WATCHER.public_key().public_bytes_raw())


def verify(data: bytes, since: bytes | None = None) -> VerificationReport:
    return verify_export(io.BytesIO(data), [KEY], since=since)


def codes(report: VerificationReport) -> list[tuple[int | None, str]]:
    return [(one.position, one.code) for one in report.discrepancies]


def test_an_honest_export_verifies() -> None:
    report = verify(exported(BODIES))
    assert report.discrepancies == ()
    assert report.verified
    assert (report.origin, report.size, report.root) == (ORIGIN, 11, root_of(BODIES))
    assert report.signers == (ORIGIN,)
    assert report.counts == {"decision": 5, "outcome": 5, "policy": 1}
    assert (report.first_at, report.last_at) == (START, START + 800_001)
    assert (report.open_count, report.values, report.since) == (0, False, None)


def test_golden_form() -> None:
    lines = exported(BODIES[:2], values=all_values(1), documents={REVISION: DOCUMENTS}).split(b"\n")
    assert lines[0] == b'{"format":"remit-export","origin":"example.com/log","v":1,"values":true}'
    assert lines[1] == BODIES[0]
    assert lines[2] == b"policy " + DOCUMENTS
    assert lines[3] == BODIES[1]
    assert lines[4] == b"values " + SALT.hex().encode() + b' {"query":"select 1"}'
    assert b"\n".join(lines[5:]) == b"\n" + signed(BODIES[:2])


def test_an_empty_log_verifies() -> None:
    report = verify(exported([]), since=signed([]))
    assert report.verified
    assert (report.size, report.first_at, report.since) == (0, None, 0)


def test_an_empty_checkpoint_of_old_must_be_of_an_empty_log() -> None:
    forged = parse_note(signed([])).text.replace("47DEQpj8", "47DEQpj9")
    note = Note(forged, ()).encode() + str(parse_note(signed([])).signatures[0]).encode()
    report = verify_export(io.BytesIO(exported(BODIES)), since=note)
    assert codes(report) == [(None, "since")]


def test_values_and_documents_are_checked() -> None:
    report = verify(exported(BODIES, values=all_values(), documents={REVISION: DOCUMENTS}))
    assert report.verified
    assert report.values


def test_without_a_key_it_is_nobodys_word() -> None:
    report = verify_export(io.BytesIO(exported(BODIES)))
    assert report.consistent
    assert not report.signed
    assert not report.verified


def test_a_key_that_did_not_sign() -> None:
    other = VerifierKey("example.org/log", 1, WATCHER.public_key().public_bytes_raw())
    report = verify_export(io.BytesIO(exported(BODIES)), [other])
    assert codes(report) == [(None, "checkpoint")]
    assert not report.signed


def test_witnesses_are_asked_for() -> None:
    data = exported(BODIES)
    report = verify_export(io.BytesIO(data), [KEY], witnesses=[WITNESS])
    assert codes(report) == [(None, "checkpoint")]
    note = parse_note(signed(BODIES))
    line = cosign_text(note.text, WITNESS, WATCHER.sign, 7)
    data = exported(BODIES, Note(note.text, (*note.signatures, line)).encode())
    report = verify_export(io.BytesIO(data), [KEY], witnesses=[WITNESS])
    assert report.verified
    assert report.witnesses == ("example.org/w1",)


@pytest.mark.parametrize("size", range(12))
def test_a_log_that_grew_contains_every_older_checkpoint(size: int) -> None:
    report = verify(exported(BODIES), since=signed(BODIES[:size]))
    assert report.verified
    assert report.since == size


def test_a_long_log_is_read_in_chunks() -> None:
    bodies = records(700)
    for size in (1, 512, 513, 1024, 1401):
        assert verify(exported(bodies), since=signed(bodies[:size])).verified


def test_history_that_was_rewritten_and_signed_again() -> None:
    """By somebody who has the key: only the checkpoint kept outside shows it."""
    rewritten = [*BODIES[:3], *records(2)[1:2], *BODIES[4:]]
    report = verify(exported(rewritten), since=signed(BODIES))
    assert (None, "since") in codes(report)
    assert "history was rewritten" in report.discrepancies[0].message


def test_a_checkpoint_of_another_log() -> None:
    report = verify(exported(BODIES), since=signed(BODIES, origin="example.com/other"))
    assert codes(report) == [(None, "since")]
    report = verify(exported(BODIES).replace(b"example.com/log", b"example.com/lag", 1))
    assert codes(report) == [(None, "origin")]


def test_a_forged_older_checkpoint_is_refused() -> None:
    with pytest.raises(AuditError, match="is wrong"):
        verify(exported(BODIES), since=signed(BODIES, WATCHER.sign))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\n",
        b"{}\n",
        b'{"format":"remit-export","origin":"a","v":2,"values":true}\n',
        b'{"format":"remit-export","origin":"a","v":1,"values":true} \n',
        b'{"format":"remit-export","origin":"a","v":1,"values":true}',
        b'{"format":"remit-export","origin":"a","v":1,"values":true,"x":' + b"[" * 50_000,
        b'{"x":' + b"[" * 50_000,
        b"\xff\n",
    ],
)
def test_what_is_no_export_is_refused(header: bytes) -> None:
    with pytest.raises(AuditError, match="not an export"):
        verify(header)


def test_a_cut_file() -> None:
    data = exported(BODIES)
    end = data.index(b"\n\n")
    whole = verify(data[: end + 1])
    assert codes(whole) == [(None, "cut"), (None, "checkpoint")]
    torn = verify(data[: end - 3])
    assert codes(torn) == [(None, "cut"), (None, "checkpoint"), (10, "not-a-record")]
    assert codes(verify(data[: end + 2])) == [(None, "checkpoint")]
    assert codes(verify(data + b"x")) == [(None, "checkpoint")]


def test_a_line_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit.audit.verify.MAX_LINE", 500)
    report = verify(exported(BODIES))
    assert (1, "not-a-record") in codes(report)
    assert (1, "attachment") in codes(report)


def with_lines(*lines: bytes, after: int) -> bytes:
    parts = exported(BODIES, values=all_values(), documents={REVISION: DOCUMENTS}).split(b"\n")
    at = parts.index(BODIES[after]) + 1
    return b"\n".join([*parts[:at], *lines, *parts[at:]])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"values " + SALT.hex().encode() + b" {}", "altered"),
        (b"values " + SALT.hex().upper().encode() + b" {}", "must be"),
        (b"values zz {}", "must be"),
        (b"values " + b"ab" * 31 + b"\ta {}", "must be"),
        (b"values \xff {}", "must be"),
        (b"values " + SALT.hex().encode(), "must be"),
        (b"policy {}", "altered"),
        (b"gossip", "neither a record"),
    ],
)
def test_attachments_that_are_wrong(line: bytes, problem: str) -> None:
    report = verify(with_lines(line, after=3))
    assert (3, "attachment") in codes(report)
    assert any(problem in one.message for one in report.discrepancies)


def test_attachments_that_are_out_of_place() -> None:
    line = b"values " + SALT.hex().encode() + b' {"query":"select 1"}'
    report = verify(with_lines(line, after=3))
    assert codes(report) == [(3, "attachment")]
    data = exported(BODIES).replace(BODIES[1], BODIES[1] + b"\n" + line)
    assert codes(verify(data)) == [(1, "attachment")]
    data = exported(BODIES).replace(BODIES[0], line + b"\n" + BODIES[0])
    assert codes(verify(data)) == [(None, "attachment")]


def test_altered_values_are_found() -> None:
    values = {**all_values(), 3: (SALT, b'{"query":"select 2"}')}
    assert codes(verify(exported(BODIES, values=values))) == [(3, "attachment")]
    values = {**all_values(), 3: (b"\x08" * 32, b'{"query":"select 1"}')}
    assert codes(verify(exported(BODIES, values=values))) == [(3, "attachment")]


def test_altered_documents_are_found() -> None:
    documents = {REVISION: DOCUMENTS.replace(b"deny", b"allow")}
    assert codes(verify(exported(BODIES, documents=documents))) == [(0, "attachment")]


def test_documents_that_were_not_kept_are_left_out() -> None:
    odd = encode_record(Record(kind="policy", at=START))
    tricky = encode_record(Record(kind="session", at=START, note='"kind":"policy"'))
    assert verify(exported([odd, tricky, *BODIES], documents={})).verified


def erasure(*positions: int) -> bytes:
    return encode_record(Record(kind="erasure", at=START + 10**9, erased=positions))


def without(*positions: int) -> dict[int, tuple[bytes, bytes]]:
    return {key: value for key, value in all_values().items() if key not in positions}


def test_erased_values_need_an_erasure_record() -> None:
    assert verify(exported([*BODIES, erasure(3, 4)], values=without(3, 4))).verified
    report = verify(exported([*BODIES, erasure(3)], values=without(3, 4)))
    assert codes(report) == [(4, "values")]


def test_values_that_are_said_to_be_erased_must_be_gone() -> None:
    report = verify(exported([*BODIES, erasure(3, 4)], values=without(4)))
    assert codes(report) == [(11, "erasure")]
    report = verify(exported([*BODIES, erasure(3, 11)], values=without(3)))
    assert codes(report) == [(11, "erasure")]
    report = verify(exported([*BODIES, erasure(9)], values=without(3)))
    assert codes(report) == [(11, "erasure"), (3, "values")]


def test_an_export_without_values_takes_erasures_at_their_word() -> None:
    assert verify(exported([*BODIES, erasure(3, 4)])).verified
    assert codes(verify(exported([*BODIES, erasure(11)]))) == [(11, "erasure")]


def test_open_actions_are_listed_and_are_no_fault() -> None:
    report = verify(exported([*BODIES, *records(6)[-2:-1]]))
    assert report.verified
    assert report.open_count == 1
    assert (report.open_actions[0].position, report.open_actions[0].action) == (11, "a-5")


def test_only_the_first_discrepancies_of_records_are_listed_but_all_of_the_log() -> None:
    stray = encode_record(Record(kind="outcome", at=START, action="x", status="ok"))
    report = verify(exported([stray] * 300), since=signed(BODIES))
    assert report.discrepancy_count == 301
    assert len(report.discrepancies) == MAX_LISTED + 1
    assert codes(report)[:2] == [(None, "since"), (0, "outcome")]


def test_an_export_covers_exactly_its_checkpoint() -> None:
    lines = export.export_lines(BODIES[:-1], signed(BODIES))
    with pytest.raises(AuditError, match="10 records given, but the checkpoint covers 11"):
        list(lines)


@given(st.binary(), st.integers(0, 100_000))
def test_any_bytes_verify_or_are_refused(junk: bytes, at: int) -> None:
    data = exported(BODIES, values=all_values())
    at %= len(data)
    with suppress(AuditError):
        report = verify(data[:at] + junk + data[at + len(junk) :])
        assert not report.verified or data[at : at + len(junk)] == junk
    with suppress(AuditError):
        verify(data[: data.index(b"\n") + 1] + junk)


@given(st.integers(0, 100_000), st.integers(1, 255))
def test_a_single_changed_byte_is_found_or_changes_nothing_that_is_signed(
    at: int, flip: int
) -> None:
    """Only the header's word on values is unsigned, and the report says what it claims."""
    data = bytearray(exported(BODIES))
    data[at % len(data)] ^= flip
    try:
        report = verify(bytes(data))
    except AuditError:
        return
    assert not report.verified
    assert msgspec.json.encode(report)
