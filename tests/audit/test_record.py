import hmac
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit import canonical
from remit.audit.record import (
    MAX_INTEGER,
    MAX_RECORD,
    Record,
    RecordedBudget,
    RecordedCharge,
    RecordedFinding,
    RecordedHold,
    RecordedLimit,
    RecordedObligation,
    RecordedPrincipal,
    RecordedRule,
    RecordedStop,
    RecordedTask,
    RecordedUsage,
    commitment,
    encode_record,
    parse_record,
)
from remit.errors import AuditError

FULL = Record(
    action="a-1",
    approval="p-1",
    args="a" * 64,
    at=1_760_000_000_000_000,
    budget=RecordedBudget(cell="day/usd/bot@day-0", limit=9, percent=80, spent=8),
    charges=(RecordedCharge(cell="day/usd/bot@day-0", held=5, spent=3),),
    digest="d" * 64,
    duration=480,
    effect="allow",
    erased=(3, 4),
    error="ValueError",
    findings=(RecordedFinding(kind="secret", where="args.body"),),
    granted=True,
    holds=(RecordedHold(amount=5, cell="day/usd/bot@day-0", limit=9),),
    kind="decision",
    labels=("untrusted",),
    lease=1_760_000_600_000_000,
    limits=(RecordedLimit(burst=10, calls=100, key="rate/burst/inventory-bot", period=60_000_000),),
    mode="enforce",
    model="small-1",
    note='ångström \N{SNOWMAN} \u2028 \x00\x1f\x7f "\\/\b\f\n\r\t',
    obligations=(RecordedObligation(kind="redact", rule="mask", target="args.body"),),
    phase="call",
    principal=(
        RecordedPrincipal(id="inventory-bot", known="declared", roles=("reader",), team="depot"),
        RecordedPrincipal(id="ada", kind="person", known="authenticated"),
    ),
    prices="genai-prices 0.2.3",
    ran="b" * 64,
    result="c" * 64,
    revision="sha256:" + "e" * 64,
    rules=(RecordedRule(at="remit.yaml:12:5", effect="allow", id="reader-tools"),),
    session="s-1",
    status="ok",
    stop=RecordedStop(id="st-1", scope="tool", value="db.*"),
    takes=RecordedUsage(input_tokens=2, nano_usd=5, output_tokens=1),
    task=(RecordedTask(by="host", does=("read",), tools=("db.*",)),),
    tool="db.query",
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    usage=RecordedUsage(nano_usd=3),
)


def test_a_full_record_sets_every_field_but_the_version() -> None:
    assert set(msgspec.json.decode(encode_record(FULL))) == {*Record.__struct_fields__} - {"v"}


def test_golden_form() -> None:
    record = Record(
        kind="outcome", at=1_760_000_000_000_000, action="a-1", status="ok", granted=False
    )
    assert encode_record(record) == (
        b'{"action":"a-1","at":1760000000000000,"granted":false,"kind":"outcome","status":"ok"}'
    )


def test_the_bytes_are_those_of_rfc_8785() -> None:
    body = encode_record(FULL)
    assert canonical.encode(msgspec.json.decode(body)) == body


short = st.text(max_size=20)
word = st.none() | short
integer = st.integers(0, MAX_INTEGER)
records = st.builds(
    Record,
    kind=st.sampled_from(["decision", "outcome", "approval", "policy", "session", "stop"]),
    at=integer,
    action=word,
    error=word,
    note=word,
    granted=st.none() | st.booleans(),
    duration=st.none() | integer,
    labels=st.lists(short, max_size=3).map(tuple),
    principal=st.lists(
        st.builds(RecordedPrincipal, id=short, team=word, roles=st.tuples(short)), max_size=3
    ).map(tuple),
)


@given(records)
def test_records_read_back_and_agree_with_rfc_8785(record: Record) -> None:
    body = encode_record(record)
    assert parse_record(body) == record
    assert canonical.encode(msgspec.json.decode(body)) == body
    assert b"\n" not in body


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"at": 1.5}, "Expected `int`"),
        ({"at": float("nan")}, "Expected `int`"),
        ({"at": -1}, ">= 0"),
        ({"at": MAX_INTEGER + 1}, "<= 9007199254740991"),
        ({"at": 2**70}, "<= 9007199254740991"),
        ({"at": True}, "Expected `int`"),
        ({"kind": "gossip"}, "Invalid enum value"),
        ({"note": "\ud800"}, "surrogates"),
        ({"note": object()}, "unsupported"),
        ({"labels": ("a", 3.5)}, "Expected `str`"),
        ({"args": "A" * 64}, "regex"),
        ({"args": "a" * 63}, "regex"),
        ({"effect": "maybe"}, "Invalid enum value"),
        ({"limits": (RecordedLimit(burst=1, calls=0, key="k", period=1),)}, ">= 1"),
        ({"note": "x" * MAX_RECORD}, "it was not written"),
    ],
)
def test_what_the_profile_cannot_hold_is_refused_before_it_is_written(
    wrong: dict[str, Any], problem: str
) -> None:
    with pytest.raises(AuditError, match=problem):
        encode_record(msgspec.structs.replace(FULL, **wrong))


def test_the_longest_record() -> None:
    room = MAX_RECORD - len(encode_record(Record(kind="stop", at=1, note="x"))) + 1
    body = encode_record(Record(kind="stop", at=1, note="x" * room))
    assert len(body) == MAX_RECORD
    assert parse_record(body).note == "x" * room
    with pytest.raises(AuditError):
        encode_record(Record(kind="stop", at=1, note="x" * (room + 1)))
    with pytest.raises(AuditError, match="longer than"):
        parse_record(body + b" ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b'{"at":1,"kind":"stop"',
        b'{"at":1,"kind":"stop"} ',
        b'{"at":1, "kind":"stop"}',
        b'{"kind":"stop","at":1}',
        b'{"at":1,"at":1,"kind":"stop"}',
        b'{"at":1,"granted":true,"granted":false,"kind":"stop"}',
        b'{"at":1.0,"kind":"stop"}',
        b'{"at":1e0,"kind":"stop"}',
        b'{"at":1,"kind":"stop","v":1}',
        b'{"at":1,"kind":"stop","v":2}',
        b'{"at":1,"kind":"stop","extra":1}',
        b'{"at":1,"kind":"decision","rules":[{"effect":"deny","id":"a","more":1}]}',
        b'{"at":1,"kind":"stop","note":null}',
        b'{"at":1,"kind":"stop","note":"\\u0061"}',
        b'{"at":1,"kind":"stop","note":"\\ud800"}',
        b'{"at":1,"kind":"stop","note":"\xff"}',
        b'{"at":1,"kind":"stop","labels":' + b"[" * 50_000,
        b'{"at":1,"kind":"stop","rules":[{"x":' + b"[" * 50_000,
    ],
)
def test_every_other_spelling_is_refused(body: bytes) -> None:
    with pytest.raises(AuditError, match="not a record"):
        parse_record(body)


@given(st.binary() | st.builds(bytes.__add__, st.just(b'{"at":1,"kind":"stop",'), st.binary()))
def test_any_bytes_are_a_record_or_are_refused(body: bytes) -> None:
    with suppress(AuditError):
        assert encode_record(parse_record(body)) == body


def test_commitments_hide_and_bind() -> None:
    salt, values = b"\5" * 32, b'{"query":"select 1"}'
    made = commitment(salt, values)
    assert made == hmac.new(salt, values, "sha256").hexdigest()
    assert made != commitment(b"\6" * 32, values)
    assert made != commitment(salt, values + b" ")
