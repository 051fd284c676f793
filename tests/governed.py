"""A small governed world for tests: a real policy, a store in memory, a clock that tests set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from remit import policy
from remit.audit.record import Record, parse_record
from remit.governor import Governor
from remit.model import (
    AccessRequest,
    Action,
    Admission,
    ApprovalId,
    Outcome,
    Principal,
    Session,
    SessionId,
    Settlement,
)
from remit.storage import Transaction
from remit.storage.memory import MemoryStore

T = TypeVar("T")
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
START = 1_800_000_000 * SECOND

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [reader], team: warehouse}
  web-bot: {roles: [reader]}
  greedy-bot: {roles: [reader, greedy]}
people:
  ada: {team: warehouse}
  grace: {roles: [security-team]}
  alan: {roles: [security-team]}
  edsger: {team: finance}
tools:
  - {match: [db.query], does: read, arguments: {query: string}}
  - {match: [vault.read], does: read}
  - {match: [web.get], does: read, returns: [untrusted]}
  - {match: [crm.list], does: read, returns: {result.rows: [personal]}}
  - {match: [mail.send], does: send}
  - {match: [refund, payout], does: pay}
  - {match: [report, echo, order, loan], does: write}
rules:
  - {id: reading, roles: [reader], tools: [db.query, web.get, crm.list, vault.read], effect: allow}
  - id: greedy
    roles: [greedy]
    tools: [db.query]
    effect: ask
    because: Greedy agents are watched.
  - id: no-drop
    tools: [db.query]
    when: args.query.contains("drop")
    effect: deny
    because: Dropping goes through a migration.
    instead: Ask the database team.
  - {id: refunds, tools: [refund], effect: ask, approvers: [security-team], because: Money.}
  - id: refunds-in-a-freeze
    tools: [refund]
    when: has(context.freeze) && context.freeze
    effect: ask
    approvers: [finance]
    because: There is a freeze.
  - {id: payouts, tools: [payout], effect: ask, approvers: [security-team], quorum: 2, expires: 30m}
  - {id: sending, tools: [mail.send], effect: allow}
  - {id: not-after-web, tools: [mail.send], after: untrusted, effect: deny}
  - id: reports
    tools: [report]
    effect: allow
    obligations:
      - {rewrite: {args.format: "'pdf'"}}
      - {cap: {args.pages: 10}}
      - {label: [reported]}
  - {id: no-word, tools: [report], when: 'args.format == "word"', effect: deny}
  - id: echoes
    tools: [echo]
    effect: allow
    obligations: [{rewrite: {args.text: "args.text + '!'"}}]
  - {id: orders, tools: [order], effect: allow, obligations: [{cap: {args.count: 5}}]}
  - {id: no-fives, tools: [order], when: args.count == 5, effect: deny}
  - {id: loans, tools: [loan], effect: allow, obligations: [{cap: {args.amount: 100}}]}
  - {id: watched-loans, tools: [loan], effect: ask, approvers: [security-team]}
  - id: hide-emails
    tools: [crm.list]
    on: result
    effect: allow
    obligations: [{redact: [result.rows.*.email]}, {label: [customers]}]
  - id: no-keys
    tools: [vault.read]
    on: result
    when: result == "KEY-123"
    effect: deny
    because: Keys stay inside.
budgets:
  - {id: sends, by: agent, limit: {calls: 2}, per: minute, tools: [mail.send]}
  - {id: refund-rate, by: agent, limit: {calls: 1}, burst: 1, per: hour, tools: [refund]}
"""


class World:
    """A governor with everything around it that it takes."""

    def __init__(self, text: str = POLICY, **changes: Any) -> None:
        self.store = MemoryStore()
        self.now = START
        self.policies = policy.load({"remit.yaml": text})
        self._random = 0
        self.governor = Governor(
            policies=lambda: self.policies,
            clock=lambda: self.now,
            entropy=self._entropy,
            **changes,
        )

    def _entropy(self, count: int) -> bytes:
        self._random += 1
        return hashlib.shake_256(str(self._random).encode()).digest(count)

    def load(self, text: str) -> None:
        """Put another policy in force."""
        self.policies = policy.load({"remit.yaml": text})

    def do(self, step: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run one step of the governor in a transaction of its own."""

        def work(t: Transaction) -> T:
            return step(t, *args, **named)

        return self.store.write(work)

    def open(self, agent: str = "inventory-bot", user: str | None = "ada", **named: Any) -> Session:
        return self.do(
            self.governor.open_session, self.policies.principal(agent, user=user), **named
        )

    def person(self, name: str) -> Principal:
        return self.policies.person(name)

    def call(self, session: Session, tool: str, /, **arguments: Any) -> AccessRequest:
        return AccessRequest(
            principal=session.principal,
            session=session.id,
            action=Action(name=tool),
            arguments=arguments,
        )

    def admit(self, request: AccessRequest) -> Admission:
        return self.do(self.governor.admit, request)

    def settle(
        self, admission: Admission, request: AccessRequest, outcome: Outcome | None = None
    ) -> Settlement:
        return self.do(self.governor.settle, admission.id, request, outcome or Outcome(status="ok"))

    def approve(self, approval: ApprovalId | None, by: str) -> None:
        assert approval is not None
        self.do(self.governor.approve, approval, self.person(by))

    def session(self, session_id: SessionId) -> Session:
        found = self.store.read(lambda view: view.session(session_id))
        assert found is not None
        return found

    def records(self) -> list[Record]:
        return [parse_record(body) for body in self.bodies()]

    def bodies(self) -> list[bytes]:
        return self.store.read(
            lambda view: [each.body for each in view.records(0, view.log_size())]
        )

    def kinds(self) -> list[str]:
        return [record.kind for record in self.records()]


def rules(admission: Admission | Settlement) -> list[str]:
    return [reason.rule for reason in admission.decision.reasons]
