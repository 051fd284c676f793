"""The words of Remit as data: who acts, what is asked, what was decided, what came of it.

Frozen msgspec structs and closed enums, nothing else: no I/O, no clock, no behaviour beyond
what can be derived from the fields. Everything above this module speaks in these types.

Times are nanoseconds since the Unix epoch (``int``) unless a name says otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NewType, TypeAlias

from msgspec import Struct, field

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""A JSON value. Edges check arguments with ``remit.canonical`` before they become this."""

ActionId = NewType("ActionId", str)
ApprovalId = NewType("ApprovalId", str)
SessionId = NewType("SessionId", str)
NO_SESSION = SessionId("")
"""Of a request that is made outside of any session: it can only be evaluated, not admitted."""
Revision = NewType("Revision", str)
"""Digest of the policy documents in force: ``sha256:`` and 64 hex digits."""
Digest = NewType("Digest", str)
"""SHA-256 of what an approval or an action is bound to: 64 hex digits."""


class Effect(enum.Enum):
    """What a decision says. Stricter effects win, whatever the order of the rules."""

    ALLOW = "allow"
    ASK = "ask"
    DEFER = "defer"
    DENY = "deny"

    @property
    def strictness(self) -> int:
        """Place in the lattice: allow 0, ask 1, defer 2, deny 3."""
        return _STRICTNESS[self]


_STRICTNESS = {Effect.ALLOW: 0, Effect.ASK: 1, Effect.DEFER: 2, Effect.DENY: 3}


class Mode(enum.Enum):
    """Whether decisions bind. ``SHADOW`` lets through what policy would stop, and records it."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class Phase(enum.Enum):
    """When a decision is taken: before the action, or on its result."""

    CALL = "call"
    RESULT = "result"


class Does(enum.Enum):
    """What a tool does to the world. An undeclared tool counts as the worst: ``ADMIN``."""

    READ = "read"
    WRITE = "write"
    SEND = "send"
    EXECUTE = "execute"
    PAY = "pay"
    DELETE = "delete"
    ADMIN = "admin"


class Principal(Struct, frozen=True, kw_only=True):
    """Who acts: an agent, a person or a service.

    ``on_behalf_of`` is the chain of delegation (RFC 8693 ``act``): a sub-agent acts on behalf of
    its caller, which acts on behalf of a person. Rights are the intersection along the chain.
    ``known`` says how the identity came about; an ``unknown`` agent has no rights.
    """

    id: str
    kind: Literal["agent", "person", "service"] = "agent"
    roles: tuple[str, ...] = ()
    team: str | None = None
    known: Literal["declared", "authenticated", "unknown"] = "unknown"
    on_behalf_of: Principal | None = None

    def chain(self) -> Iterator[Principal]:
        """This principal, then each one that it acts on behalf of."""
        link: Principal | None = self
        while link is not None:
            yield link
            link = link.on_behalf_of

    @property
    def user(self) -> Principal | None:
        """The person at the end of the chain, if there is one."""
        for link in self.chain():
            if link.kind == "person":
                return link
        return None


class Action(Struct, frozen=True, kw_only=True):
    """What is attempted. ``name`` is the tool as policy sees it, e.g. ``db.query``."""

    name: str
    kind: Literal["tool", "mcp", "model", "http", "shell"] = "tool"
    schema: Digest | None = None
    """Digest of the tool's JSON Schema as the edge knows it; bound into approvals."""


class Finding(Struct, frozen=True, kw_only=True):
    """What a detector saw. Findings are facts for rules; they can only add caution."""

    kind: str
    """What it is about, such as ``secret``; see ``remit.inspection.signs``."""
    where: str
    message: str
    sign: str = ""
    """Which sign of that kind, such as ``github-token``."""


Measure: TypeAlias = Literal["usd", "tokens", "input_tokens", "output_tokens", "calls", "seconds"]
"""What a budget counts. As integers: nano-dollars, tokens, calls, microseconds of tool time."""


class Usage(Struct, frozen=True, kw_only=True):
    """What an action takes or took. Integers only; none of them is ever below zero."""

    nano_usd: int = 0
    """Money in nano-dollars (1e-9 US dollars)."""
    input_tokens: int = 0
    """All tokens that went in, cached ones included."""
    output_tokens: int = 0
    """All tokens that came out, reasoning included."""


class Estimate(Struct, frozen=True, kw_only=True):
    """The most that an action can take, as its edge works it out before it starts."""

    usage: Usage
    model: str | None = None
    """The model that is called, by the name that its provider knows."""
    output_limit: str | None = None
    """The argument that limits the tokens that come out, such as ``args.max_tokens``: a budget that
    cannot pay ``usage`` may lower it to what it can pay."""
    output_price: int = 0
    """Nano-dollars for each token that comes out, at the dearest."""
    prices: str = ""
    """Where the prices are from, with their version; empty when the ceiling for unknown models
    was taken."""
    model_argument: str = "args.model"
    """The argument that names the model: a budget that runs low may put another one there."""
    instead: tuple[Estimate, ...] = ()
    """What the same call takes at most with other models, for those that policy may downgrade to.
    Each has its ``model`` set."""


class AccessRequest(Struct, frozen=True, kw_only=True):
    """One proposed action, complete: nothing that policy may look at is left out.

    ``arguments`` is a checked JSON object holding every argument by name. ``resolved`` maps path
    strings found in the arguments to the real paths that the edge resolved them to (symlinks
    followed), for policies that use ``path()``.
    """

    principal: Principal
    session: SessionId
    action: Action
    arguments: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    resolved: Mapping[str, str] = field(default_factory=dict)
    estimate: Estimate | None = None
    """What it takes at most, where its edge can say: budgets hold that much for it."""
    trace: str | None = None
    """W3C ``traceparent`` of the caller, if it has one."""


class TrailStep(Struct, frozen=True, kw_only=True, array_like=True):
    """One call that a session was let make, as the breakers know it again."""

    call: str
    """Fingerprint of tool and arguments."""
    tool: str
    at: int
    result: str = ""
    """Fingerprint of the result; empty until it is known."""


Control: TypeAlias = Literal["who", "where", "which", "when", "access", "links"]
"""What a control argument decides, as far as it can be held to patterns."""


class TaskRemit(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one task needs. It takes rights away in one session, and never gives any."""

    tools: tuple[str, ...] = ()
    """Patterns of tool names; empty: any tool."""
    does: tuple[Does, ...] = ()
    """Classes of what tools do; empty: any. A tool of several classes needs all of them."""
    only: Mapping[Control, tuple[str, ...]] = field(default_factory=dict)
    """Patterns that control values of a kind must fit, such as the receivers under ``who``."""
    amount: float | None = None
    """The largest amount."""
    asked: bool = False
    """Whether everything but reading must be asked for in the user's words, receivers named."""
    by: str = ""
    """Who derived it, for explanations, such as ``policy: restock``."""


class Session(Struct, frozen=True, kw_only=True):
    """One task of one agent, as stored. Labels only grow; counters only count up."""

    id: SessionId
    principal: Principal
    started_at: int
    intent: str | None = None
    labels: tuple[str, ...] = ()
    """Sorted, without repeats."""
    calls: Mapping[str, int] = field(default_factory=dict)
    """Admitted calls by tool name; at most 256 names, the rest under ``*``."""
    parent: SessionId | None = None
    depth: int = 0
    ended_at: int | None = None
    task: SessionId = NO_SESSION
    """The session that the whole chain of delegation began with; empty: this one."""
    nano_usd: int = 0
    """What its actions have cost so far, in nano-dollars, as far as it was charged."""
    trail: tuple[TrailStep, ...] = ()
    """The latest calls, as many as the breakers of the policy look at."""
    delegated: tuple[int, ...] = ()
    """When it delegated lately, where a breaker counts that."""
    remits: tuple[TaskRemit, ...] = ()
    """What its task is narrowed to, and the tasks that it was delegated from: all of them."""
    crowded: Mapping[str, int] = field(default_factory=dict)
    """The breakers for which it was one delegated session too many, and how many there were."""

    @property
    def cost(self) -> float:
        """What its actions have cost so far, in US dollars: for conditions, never for sums."""
        return self.nano_usd / 1_000_000_000


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of an admitted action.

    ``status``: ``ok`` it returned; ``error`` it raised; ``cancelled`` the caller gave up, it may
    or may not have happened; ``not-run`` it certainly did not happen; ``unknown`` nobody reported
    before the lease ended.
    """

    status: Literal["ok", "error", "cancelled", "not-run", "unknown"]
    result: Any = None
    """The result as a checked JSON value, or None where it cannot be shown as JSON."""
    error: str | None = None
    """Type and message of what was raised, shortened to 1,000 characters."""
    duration: int = 0
    """Nanoseconds between admission and the end of the action."""
    usage: Usage | None = None
    """What it took, where that is proven; None: nobody knows, and what was held is charged."""
    findings: tuple[Finding, ...] = ()


class Facts(Struct, frozen=True, kw_only=True):
    """Everything outside the request that a decision may depend on, loaded in one transaction."""

    now: int
    session: Session
    outcome: Outcome | None = None
    """Set when the decision is about a result (``Phase.RESULT``)."""
    provenance: Any = None
    """What the session has seen (``remit.provenance.grounding``); None: nobody kept that."""
    remaining: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What is left of the budgets that rules on the tool ask for, by id and measure."""


class Location(Struct, frozen=True, order=True):
    """A place in a policy document. Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Fault(Struct, frozen=True, kw_only=True):
    """One thing wrong with a policy document: where, what, and what to write instead."""

    at: Location
    message: str
    suggestion: str | None = None
    source: str | None = None
    """The offending line, for the caret."""
    width: int = 1
    """How many characters the caret underlines."""

    def __str__(self) -> str:
        text = f"{self.at}: {self.message}"
        if self.source is not None:
            text += f"\n    {self.source}\n    {' ' * (self.at.column - 1)}{'^' * self.width}"
        if self.suggestion is not None:
            text += f"\n    {self.suggestion}"
        return text


class Obligation(Struct, frozen=True, kw_only=True):
    """What must be done for an allow to hold. One that cannot be carried out refuses the call.

    ``rewrite``: put ``value`` at ``target``; ``cap``: lower the number at ``target`` to ``value``;
    ``redact``: replace what is at ``target`` by a mark; ``label``: add label ``value`` to the
    session. A target is a path such as ``args.body`` or ``result.rows.*.email``.
    """

    kind: str
    target: str = ""
    value: Any = None
    rule: str = ""


class Reason(Struct, frozen=True, kw_only=True):
    """Why: one rule that matched, or a built-in reason, with its place and its words.

    Built-in rule ids of policy: ``default``, ``rule-error``, ``missing-fact``, ``unknown-agent``,
    ``look-alike-name``, ``bad-arguments``. Of state: ``rate-limit``, ``budget``, ``obligation``,
    ``outcome-missing``, ``session-unknown``, ``session-principal``, ``session-ended``,
    ``record-too-large``, ``approval-rejected``, ``stopped``, ``pins-changed``, ``task-remit``,
    ``not-inspected``.
    """

    rule: str
    effect: Effect
    at: Location | None = None
    because: str = ""
    instead: str = ""


class ApprovalTerms(Struct, frozen=True, kw_only=True):
    """Who may approve what a rule holds, how many of them, and for how long it waits."""

    approvers: tuple[str, ...] = ()
    """People, roles or teams; empty means any person who is not part of the request."""
    quorum: int = 1
    expires_after: int = 3_600_000_000_000
    """Nanoseconds until a pending approval counts as rejected."""
    self_approval: bool = False
    """Whether the person on whose behalf the agent acts may approve."""


class Decision(Struct, frozen=True, kw_only=True):
    """What policy says of one request. Pure: the same input always gives an equal decision.

    ``effect`` is what policy says; under ``Mode.SHADOW`` the edge lets the action through all the
    same and the record says both.
    """

    effect: Effect
    revision: Revision
    reasons: tuple[Reason, ...]
    obligations: tuple[Obligation, ...] = ()
    terms: tuple[ApprovalTerms, ...] = ()
    """One for each rule that asks: all of them must be met."""
    mode: Mode = Mode.ENFORCE
    phase: Phase = Phase.CALL


class RateLimit(Struct, frozen=True, kw_only=True):
    """A limit on call frequency: ``calls`` per ``period``, smoothed by GCRA with ``burst``."""

    id: str
    by: tuple[Literal["org", "team", "agent", "user", "session", "tool"], ...]
    calls: int
    period: int
    """Nanoseconds."""
    burst: int
    """Calls that may come at once; defaults to ``calls``."""
    tools: tuple[str, ...] = ("*",)
    """Tool name patterns that it counts."""
    at: Location | None = None


class Hold(Struct, frozen=True, kw_only=True):
    """What an admitted action holds of one budget, until it is settled or its lease ends."""

    cell: str
    """Key of the ledger's cell: budget, measure, scope and window."""
    slot: int
    """Start of the part of the window that it was made in, and stays in."""
    amount: int
    """In the integers of the budget's measure."""


class ActionState(enum.Enum):
    """Life of an admitted action: settled by its edge, or expired when its lease ended."""

    ADMITTED = "admitted"
    SETTLED = "settled"
    EXPIRED = "expired"


class AdmittedAction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stored half of an admission: enough to settle it once, and only for what it admitted."""

    id: ActionId
    session: SessionId
    tool: str
    digest: Digest
    revision: Revision
    admitted_at: int
    lease_until: int
    state: ActionState = ActionState.ADMITTED
    labels: tuple[str, ...] = ()
    """Labels that the tool's declaration and obligations put on its result."""
    obligations: tuple[Obligation, ...] = ()
    """Those of the call decision that concern the result; carried out when it is settled."""
    holds: tuple[Hold, ...] = ()
    """What it holds of budgets while it is admitted; what it was charged once it expired."""
    held: Usage = Usage()
    """The most that it may take, as it was held."""
    model: str | None = None
    """The model that it calls."""


class Admission(Struct, frozen=True, kw_only=True):
    """The governor's durable answer to one request, returned after its record is on disk.

    ``granted`` is the only thing an edge acts on; everything else explains.
    """

    id: ActionId
    granted: bool
    decision: Decision
    position: int
    """Index of the decision record in the log."""
    digest: Digest
    approval: ApprovalId | None = None
    """The pending approval that would grant it, or the approval that was used."""
    lease_until: int = 0
    arguments: Mapping[str, Any] | None = None
    """What to call the tool with, where obligations changed it; None: the call as it came."""
    retry_at: int | None = None
    """When a limit would let the call through, if that is all that stops it."""
    reserved: tuple[Hold, ...] = ()
    """What is held of budgets for it, until it is settled."""


class Settlement(Struct, frozen=True, kw_only=True):
    """The governor's durable answer to one outcome. ``withheld``: the result must not be shown.

    The edge shows the original result, unless ``redacted``: then it shows ``result`` instead.
    """

    id: ActionId
    decision: Decision
    position: int
    withheld: bool = False
    labels: tuple[str, ...] = ()
    """Labels that the session carries from now on."""
    redacted: bool = False
    result: Any = None
    """The result as obligations left it. Set only when ``redacted``."""
    late: bool = False
    """The lease had ended before; this outcome corrects the ``unknown`` that was recorded."""
