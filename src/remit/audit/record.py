"""A record of the log: what it holds, and its one spelling as bytes.

The bytes are a JSON profile on which RFC 8785 and msgspec's encoder agree: keys are ASCII and in
alphabetical order, no blanks, no floats, integers from 0 to 2^53 - 1, absent fields left out,
at most ``MAX_RECORD`` bytes. The Merkle leaf is the hash of these bytes as they are; they are never
made again from a parsed record.

Values that may have to be erased (arguments, results) are not in a record: it holds a commitment,
HMAC-SHA-256 of their canonical JSON under a random salt, and both sit beside the log.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from remit.errors import AuditError

MAX_RECORD = 60 * 1024
"""Bytes. Leaves room in a C2SP entry bundle, whose entries are below 65,536 bytes."""

MAX_INTEGER = 2**53 - 1

Integer: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Hex32: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Kind: TypeAlias = Literal[
    "approval",
    "budget",
    "credential",
    "decision",
    "erasure",
    "outcome",
    "policy",
    "session",
    "stop",
]
EffectWord: TypeAlias = Literal["allow", "ask", "defer", "deny"]


class RecordedBudget(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to a budget: a threshold reached, a limit raised, a reset."""

    amount: Integer | None = None
    """By how much the limit was raised, or what was over what was held."""
    cell: str
    limit: Integer
    percent: Integer | None = None
    spent: Integer = 0
    until: Integer | None = None
    """Until when it is raised or blocked, microseconds since the epoch."""


class RecordedCharge(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an outcome changes in one cell of the budget ledger."""

    back: Integer = 0
    """Taken off what was spent: an outcome that came late corrects."""
    cell: str
    held: Integer = 0
    """Taken off what was held."""
    spent: Integer = 0
    """Added to what was spent."""


class RecordedFinding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a detector saw and where. Its message may quote the value, so it is not recorded."""

    kind: str
    where: str = ""


class RecordedHold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a granted action holds in one cell of the budget ledger, enough to replay it."""

    amount: Integer
    cell: str
    """Budget, measure, scope and window."""
    ends: Integer | None = None
    """End of the window, microseconds since the epoch; left out where it has none."""
    length: Integer = 0
    """Of a rolling window, microseconds."""
    limit: Integer
    raised: bool = False
    """Whether this decision raised the limit, because people approved it."""
    slot: Integer = 0
    """Start of the part of the window that it counts in, microseconds since the epoch."""
    used: Integer = 0
    """What was spent and held in the window before."""


class RecordedLimit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rate limit that a granted action counted against, enough to replay the arithmetic."""

    burst: Integer
    calls: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    key: str
    period: Integer
    """Microseconds."""


class RecordedObligation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An obligation of the decision. Its value follows from the rule and the revision."""

    kind: str
    rule: str = ""
    target: str = ""


class RecordedPrincipal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One link of the chain of who acts on behalf of whom."""

    id: str
    kind: Literal["agent", "person", "service"] = "agent"
    known: Literal["authenticated", "declared", "unknown"] = "unknown"
    roles: tuple[str, ...] = ()
    team: str | None = None


class RecordedRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that counted, with its place in the policy document: ``file:line:column``."""

    at: str = ""
    effect: EffectWord
    id: str


class RecordedStop(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stop that was set or lifted: which one, and what it covers."""

    id: str
    scope: Literal["agent", "all", "session", "tool"]
    value: str = ""


class RecordedTask(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a session was narrowed to. Values that it is narrowed to are not recorded."""

    amount: bool = False
    """Whether there is a largest amount."""
    asked: bool = False
    by: str = ""
    """Who derived it."""
    does: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    """Kinds of control values that it is narrowed to."""
    tools: tuple[str, ...] = ()


class RecordedUsage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an action takes at most, or took."""

    input_tokens: Integer = 0
    nano_usd: Integer = 0
    output_tokens: Integer = 0


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One entry of the log. Fields are in alphabetical order, which is their order in the bytes.

    Times and durations are microseconds (nanoseconds since 1970 do not fit below 2^53).
    """

    action: str | None = None
    """Id that joins a decision and its outcome."""
    approval: str | None = None
    """The approval that the record is about, that the decision waits for, or that it used."""
    args: Hex32 | None = None
    """Commitment to the arguments."""
    at: Integer
    """When, microseconds since the Unix epoch. Never less than in the record before."""
    budget: RecordedBudget | None = None
    """What happened to a budget."""
    charges: tuple[RecordedCharge, ...] = ()
    """What changes in the budget ledger now that the outcome is known."""
    digest: Hex32 | None = None
    """Digest of the whole request."""
    duration: Integer | None = None
    effect: EffectWord | None = None
    """What policy said. ``granted`` says whether the action was let through."""
    erased: tuple[Integer, ...] = ()
    """Positions of the records whose values an ``erasure`` record erased."""
    error: str | None = None
    findings: tuple[RecordedFinding, ...] = ()
    granted: bool | None = None
    holds: tuple[RecordedHold, ...] = ()
    """What is held of budgets until the outcome is known."""
    kind: Kind
    labels: tuple[str, ...] = ()
    """Labels put on the session by this record."""
    lease: Integer | None = None
    """Until when an outcome is due, microseconds since the epoch."""
    limits: tuple[RecordedLimit, ...] = ()
    mode: Literal["enforce", "shadow"] | None = None
    model: str | None = None
    """The model that is called."""
    note: str | None = None
    obligations: tuple[RecordedObligation, ...] = ()
    phase: Literal["call", "result"] | None = None
    prices: str | None = None
    """Where the prices of the model are from; ``ceiling`` where it has none."""
    principal: tuple[RecordedPrincipal, ...] = ()
    """Who acted, then each one on whose behalf."""
    ran: Hex32 | None = None
    """Commitment to the arguments as obligations left them, where they differ from ``args``."""
    result: Hex32 | None = None
    """Commitment to the result."""
    revision: str | None = None
    """Digest of the policy in force."""
    rules: tuple[RecordedRule, ...] = ()
    session: str | None = None
    status: str | None = None
    """What came of it: of an action (``ok``, ``error`` ...), an approval or a stop (its new state).
    """
    stop: RecordedStop | None = None
    """The stop that was set or lifted."""
    takes: RecordedUsage | None = None
    """What the action takes at most."""
    task: tuple[RecordedTask, ...] = ()
    """What the session is narrowed to, from its start on."""
    tool: str | None = None
    trace: str | None = None
    """W3C ``traceparent`` of the caller."""
    usage: RecordedUsage | None = None
    """What was charged for the action in all."""
    v: Literal[1] = 1
    """Version of this form. Left out for version 1."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """The bytes of a record, in its one spelling.

    Raises:
        AuditError: it is too large, or a field cannot be written in the profile.
    """
    try:
        body = _encoder.encode(record)
        if len(body) > MAX_RECORD:
            raise AuditError(
                f"a {record.kind} record would have {len(body)} bytes, more than {MAX_RECORD}; "
                "it was not written"
            )
        _decoder.decode(body)
    except (msgspec.MsgspecError, TypeError, UnicodeError, OverflowError) as problem:
        raise AuditError(f"a {record.kind} record cannot be written: {problem}") from None
    return body


def parse_record(body: bytes) -> Record:
    """The record that ``body`` spells.

    Raises:
        AuditError: it is no record, or not in the one spelling (two readers might then read
            different things: a repeated key, a blank, an escape that is not needed).
    """
    if len(body) > MAX_RECORD:
        raise AuditError(f"a record of {len(body)} bytes is longer than {MAX_RECORD}")
    try:
        record = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        raise AuditError(f"not a record: {problem}") from None
    if _encoder.encode(record) != body:
        raise AuditError("not a record: it is not in the spelling of the profile")
    return record


def commitment(salt: bytes, canonical: bytes) -> str:
    """What a record holds in place of values: hex HMAC-SHA-256 of their canonical JSON.

    ``salt`` is 32 random bytes, new for each record; without it the values cannot be guessed.
    """
    # Not hmac.digest: it lets other threads run, and then waits for its turn in mid-transaction.
    return hmac.new(salt, canonical, "sha256").hexdigest()
