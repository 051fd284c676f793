"""The policy document as people write it, one struct per kind of entry.

The structs are the single source of the document language: the reader (``reading.py``) checks
documents against them, and the JSON Schema for editors is generated from them. What a document
*means* (names that must exist, conditions, reachability) is checked in ``checking.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

Word: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Words: TypeAlias = Word | Annotated[tuple[Word, ...], Meta(min_length=1)]
Text: TypeAlias = Annotated[str, Meta(max_length=4000)]
Class: TypeAlias = Literal["read", "write", "send", "execute", "pay", "delete", "admin"]
Scope: TypeAlias = Literal["org", "team", "agent", "user", "session", "task", "tool", "model"]
Id: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
ArgumentType: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(string|int|number|bool|list|object|sql(:[a-z0-9_]+)?|shell|url|path|email|json)"
        r"\??$",
        description="A trailing ? makes the argument optional.",
    ),
]
Duration: TypeAlias = Annotated[
    str, Meta(pattern=r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$", description="Such as 30s, 30m, 12h, 7d.")
]
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=9_000_000_000_000_000)]
Decimal: TypeAlias = Annotated[float, Meta(ge=0, le=9_000_000)]
"""Of money and time: read from its text, to nine decimals, never as a binary fraction."""


class Membership(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent or a person belongs to."""

    roles: Words = ()
    team: Word | None = None


class Issued(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Roles and teams that come with credentials only (OIDC claims, AuthZEN subjects)."""

    roles: Words = ()
    teams: Words = ()


class Sends(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which arguments of a sending tool name the receivers, and which carry the content."""

    to: Words = ()
    what: Words = ()


class ControlArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which arguments decide what a call does to whom, by what they decide."""

    who: Words = ()
    where: Words = ()
    which: Words = ()
    amount: Words = ()
    when: Words = ()
    access: Words = ()


class CostRange(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"at_most": "at-most"},
):
    """A cost that is known once there is a result: what is held before, what is charged after."""

    at_most: Decimal | Text
    charge: Text


CostAmount: TypeAlias = Decimal | Text | CostRange
"""A number, an expression over ``args``, or a range whose charge looks at ``result`` too."""


class Cost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call costs: budgets are charged with it."""

    usd: CostAmount | None = None
    input_tokens: CostAmount | None = None
    output_tokens: CostAmount | None = None
    seconds: Decimal | Text | None = None


class ToolEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the tools whose names match do. An undeclared tool counts as the worst class."""

    match: Annotated[Words, Meta(description="Tool names; * stands for any characters.")]
    does: Class | Annotated[tuple[Class, ...], Meta(min_length=1)] = "admin"
    returns: Words | dict[Word, Words] = ()
    sends: Sends | None = None
    controls: Annotated[
        Words | ControlArguments, Meta(description="A plain list says which thing is meant.")
    ] = ()
    sets: Annotated[
        Words, Meta(description="Fields of the result that the platform fills in.")
    ] = ()
    claims: Annotated[Words, Meta(description="Fields in which others say who they are.")] = ()
    resource: Annotated[Words, Meta(description="Arguments that name what is read or kept.")] = ()
    arguments: dict[Word, ArgumentType] | None = None
    schema: dict[str, Any] | None = None
    cost: Cost | None = None


class ObligationEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that must be done for an allow to hold: exactly one of these keys."""

    rewrite: dict[Word, Text] | None = None
    cap: dict[Word, float] | None = None
    redact: Words | None = None
    label: Words | None = None


class RuleEntry(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"self_approval": "self-approval"},
):
    """Who may or may not use which tools, when, and what must be done for it."""

    id: Id
    tools: Annotated[Words, Meta(description="Tool names; * stands for any characters.")]
    effect: Literal["allow", "ask", "defer", "deny"]
    agents: Words | None = None
    roles: Words | None = None
    teams: Words | None = None
    users: Words | None = None
    does: Class | Annotated[tuple[Class, ...], Meta(min_length=1)] | None = None
    on: Literal["call", "result"] = "call"
    when: Annotated[str, Meta(max_length=20_000)] | None = None
    after: Words | None = None
    because: Text = ""
    instead: Text = ""
    approvers: Words | None = None
    quorum: Annotated[int, Meta(ge=1, le=100)] | None = None
    expires: Duration | None = None
    self_approval: bool | None = None
    obligations: tuple[ObligationEntry, ...] = ()


class LimitEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is allowed in one period."""

    usd: Decimal | None = None
    tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    calls: Count | None = None
    seconds: Decimal | None = None


class ExceedEntry(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"percent": "raise", "lasts": "for"},
):
    """What happens to a call that a budget cannot pay: ``ask`` people, or ``downgrade``."""

    ask: Words | None = None
    downgrade: Word | None = None
    percent: Annotated[int, Meta(ge=1, le=1000)] | None = None
    lasts: Duration | None = None


class BudgetEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit and what it counts by."""

    id: Id
    by: Scope | Annotated[tuple[Scope, ...], Meta(min_length=1)]
    limit: LimitEntry
    per: (
        Annotated[
            str,
            Meta(
                pattern=r"^(second|minute|hour|day|week|month|quarter|year|session"
                r"|[1-9][0-9]{0,8}(ms|s|m|h|d))$"
            ),
        ]
        | None
    ) = None
    rolling: Duration | None = None
    timezone: Word | None = None
    burst: Positive | None = None
    on_exceed: Literal["deny", "ask"] | ExceedEntry | None = None
    notify: tuple[Annotated[int, Meta(ge=1, le=100)], ...] | None = None
    tools: Words | None = None
    models: Words | None = None


class PriceEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model takes for a million tokens, in US dollars."""

    input: Decimal
    output: Decimal


class BreakerEntry(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"exempt": "except"}
):
    """What a session may not do on and on: exactly one of the five kinds, and what happens then."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    repeats: Annotated[int, Meta(ge=2, le=50)] | None = None
    stalls: Annotated[int, Meta(ge=2, le=50)] | None = None
    children: Annotated[int, Meta(ge=1, le=200)] | None = None
    depth: Annotated[int, Meta(ge=0, le=100)] | None = None
    burn: Annotated[Word, Meta(description="Id of a budget.")] | None = None
    within: Duration | None = None
    tools: Words | None = None
    exempt: Words | None = None
    effect: Literal["notify", "ask", "deny", "stop-session"] = "deny"
    approvers: Words | None = None
    because: Text = ""
    instead: Text = ""


InspectedKind: TypeAlias = Literal[
    "secret", "personal-data", "injection", "hidden-text", "exfiltration", "poisoning"
]


class InspectEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is looked for in calls of some tools and in what these return."""

    tools: Annotated[Words, Meta(description="Tool names; * stands for any characters.")]
    arguments: InspectedKind | Annotated[tuple[InspectedKind, ...], Meta(min_length=1)] = ()
    results: InspectedKind | Annotated[tuple[InspectedKind, ...], Meta(min_length=1)] = ()
    hosts: Annotated[Words, Meta(description="Hosts that texts may link to.")] = ()


class OnlyValues(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values that control arguments may have, by what they decide; * stands for any characters."""

    who: Words = ()
    where: Words = ()
    which: Words = ()
    when: Words = ()
    access: Words = ()
    links: Words = ()


class RemitEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a task is narrowed to. It takes rights away, and never gives any."""

    tools: Annotated[Words, Meta(description="Tool names; * stands for any characters.")] = ()
    does: Class | Annotated[tuple[Class, ...], Meta(min_length=1)] = ()
    only: OnlyValues = OnlyValues()
    amount: Decimal | None = None
    asked: Annotated[bool, Meta(description="Nothing but what the user's words ask for.")] = False


class TaskEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sessions that are narrowed to a task when they are opened."""

    id: Id
    agents: Words | None = None
    roles: Words | None = None
    intent: Annotated[
        Words | None, Meta(description="What the session is for; * stands for any characters.")
    ] = None
    remit: RemitEntry


class PolicyDocument(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={
        "accept_open_default": "accept-open-default",
        "platform_fields": "platform-fields",
    },
):
    """One policy document. All documents that are loaded together make up one policy."""

    remit: Annotated[Literal[1], Meta(description="Version of the language.")]
    default: Literal["deny", "allow"] | None = None
    mode: Literal["enforce", "shadow"] | None = None
    accept_open_default: bool = False
    platform_fields: Annotated[
        Words, Meta(description="Fields that the platform fills in, in the results of all tools.")
    ] = ()
    define: dict[Word, Any] = field(default_factory=dict)
    agents: dict[Word, Membership] = field(default_factory=dict)
    people: dict[Word, Membership] = field(default_factory=dict)
    issued: Issued = Issued()
    tools: tuple[ToolEntry, ...] = ()
    rules: tuple[RuleEntry, ...] = ()
    inspect: tuple[InspectEntry, ...] = ()
    budgets: tuple[BudgetEntry, ...] = ()
    breakers: tuple[BreakerEntry, ...] = ()
    tasks: tuple[TaskEntry, ...] = ()
    prices: dict[Word, PriceEntry] = field(default_factory=dict)


def words(written: Words | None) -> tuple[str, ...]:
    """One word or several, as several."""
    if written is None:
        return ()
    return (written,) if isinstance(written, str) else written
