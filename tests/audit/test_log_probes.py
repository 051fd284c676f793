"""Probes of a log that lies: each kind of tampering is detected by who has the verifier key.

P46 to P50 are about writing the log; they are tested with the stores.
"""

import io
from typing import Any

import msgspec
import pytest
from audit_logs import KEY, PRIVATE, exported, records, signed
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.audit.record import parse_record
from remit.audit.verify import VerificationReport, verify_export
from remit.errors import AuditError

BODIES = records()
HONEST = exported(BODIES)
KEPT = signed(BODIES)
"""The checkpoint of the honest log, as a verifier kept it outside."""


def verify(data: bytes, since: bytes | None = None) -> VerificationReport:
    return verify_export(io.BytesIO(data), [KEY], since=since)


def codes(report: VerificationReport) -> set[str]:
    return {one.code for one in report.discrepancies}


def test_the_honest_log_verifies() -> None:
    assert verify(HONEST, since=KEPT).verified


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a parsed record that holds a value, lists and objects included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in inner:
        found.append((*path, key))
        if isinstance(item, dict | list):
            found += places(item, (*path, key))
    return found


def other(value: Any) -> Any:
    """Another value of the same type; for words of a closed set another of the set."""
    words = {
        "allow": "deny",
        "decision": "outcome",
        "outcome": "decision",
        "policy": "stop",
        "enforce": "shadow",
        "call": "result",
        "person": "service",
        "declared": "authenticated",
        "authenticated": "declared",
    }
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return words.get(value, value[:-1] + ("0" if value[-1] != "0" else "1"))
    if isinstance(value, dict):
        return {**value, "id": "mallory"}
    return []


ALTERED = [
    (position, path)
    for position in (0, 1, 2)
    for path in places(msgspec.json.decode(BODIES[position]))
]


@pytest.mark.parametrize(("position", "path"), ALTERED, ids=str)
@pytest.mark.parametrize("how", ["changed", "removed"])
def test_p41_any_single_field_of_a_record_changed(
    position: int, path: tuple[Any, ...], how: str
) -> None:
    content = msgspec.json.decode(BODIES[position])
    *way, last = path
    within = content
    for key in way:
        within = within[key]
    if how == "changed":
        within[last] = other(within[last])
    else:
        del within[last]
    altered = msgspec.json.encode(content)
    assert altered != BODIES[position]
    lines = HONEST.split(b"\n")
    lines[1 + position] = altered
    report = verify(b"\n".join(lines))
    assert not report.verified
    assert "root" in codes(report)


def test_p41_covers_every_field_of_a_decision_and_an_outcome() -> None:
    named = {path[0] for _, path in ALTERED}
    for body in BODIES[:3]:
        record = parse_record(body)
        for field in record.__struct_fields__:
            if getattr(record, field) != () and field in msgspec.to_builtins(record):
                assert field in named
    assert len(named) > 20


def test_p42_the_last_5_records_deleted() -> None:
    lines = HONEST.split(b"\n")
    del lines[7:12]
    report = verify(b"\n".join(lines))
    assert not report.verified
    assert codes(report) == {"size"}


def test_p42_with_an_older_checkpoint_put_back() -> None:
    """An older but genuine signature: only a checkpoint kept outside shows the cut."""
    cut = exported(BODIES[:-5], signed(BODIES[:-5]))
    assert verify(cut).verified
    report = verify(cut, since=KEPT)
    assert not report.verified
    assert codes(report) == {"since"}
    assert "its newest records were deleted" in report.discrepancies[0].message


def test_p43_all_records_deleted() -> None:
    lines = HONEST.split(b"\n")
    del lines[1:12]
    report = verify(b"\n".join(lines))
    assert not report.verified
    assert codes(report) == {"size"}
    assert codes(verify(exported([]), since=KEPT)) == {"since"}


def test_p44_the_file_emptied() -> None:
    with pytest.raises(AuditError, match="not an export"):
        verify(b"")


def test_p45_all_hashes_recomputed_after_an_edit() -> None:
    """Without the key, by somebody who knows everything else."""
    edited = [*BODIES[:2], BODIES[2].replace(b"ValueError", b"OtherError"), *BODIES[3:]]
    forger = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
    report = verify(exported(edited, signed(edited, forger.sign)))
    assert not report.verified
    assert not report.signed
    assert codes(report) == {"checkpoint"}


def test_p45_with_the_key_the_checkpoint_kept_outside_shows_it() -> None:
    edited = [*BODIES[:2], BODIES[2].replace(b"ValueError", b"OtherError"), *BODIES[3:]]
    forged = exported(edited, signed(edited, PRIVATE.sign))
    assert verify(forged).verified
    assert codes(verify(forged, since=KEPT)) == {"since"}


def test_p51_the_verification_key_cannot_sign_a_log() -> None:
    forger = Ed25519PrivateKey.from_private_bytes(KEY.public)
    report = verify(exported(BODIES, signed(BODIES, forger.sign)))
    assert not report.verified
    assert codes(report) == {"checkpoint"}


def test_p52_the_outcome_of_an_allowed_action_is_not_recorded() -> None:
    report = verify(exported(BODIES[:-1]))
    assert report.open_count == 1
    assert report.open_actions[0].action == "a-4"


@pytest.mark.parametrize("position", range(1, 11))
def test_a_record_removed_or_moved(position: int) -> None:
    lines = HONEST.split(b"\n")
    removed = lines.pop(position + 1)
    assert not verify(b"\n".join(lines)).verified
    lines.insert(position, removed)
    assert "root" in codes(verify(b"\n".join(lines)))
