"""Nodes of a fleet in one process: each with a store and a governor of its own, on one database."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from remit import policy
from remit.audit.export import export_lines
from remit.audit.record import Record, parse_record
from remit.audit.replay import Replay
from remit.audit.verify import VerificationReport, verify_export
from remit.budgets.cells import Balance, balance
from remit.governor import Governor
from remit.guard.checkpoints import Checkpointer
from remit.model import (
    AccessRequest,
    Action,
    Admission,
    Outcome,
    Principal,
    Session,
    Settlement,
)
from remit.signing import FileSigner
from remit.storage import Snapshot, Store
from remit.storage.conformance import verify_log
from remit.storage.postgres import PostgresStore

POLICY = """
remit: 1
default: deny
agents:
  bot: {{roles: [reader], team: shop}}
people:
  ada: {{roles: [security-team]}}
  grace: {{}}
tools:
  - {{match: [pay], does: pay}}
  - {{match: [look], does: read}}
  - {{match: [refund], does: pay}}
rules:
  - {{id: all, roles: [reader], tools: [pay, look], effect: allow}}
  - {{id: refunds, roles: [reader], tools: [refund], effect: ask, approvers: [security-team]}}
budgets:
  - {{id: shop, by: team, limit: {{calls: {limit}}}, {window}, tools: [pay]}}
"""
SIGNER = FileSigner("example.com/fleet", b"\1" * 32)
BOT = Principal(id="bot", roles=("reader",), team="shop", known="declared")
ADA = Principal(id="ada", kind="person", roles=("security-team",), known="declared")


class Node:
    """One node: a store, a governor, and a clock that may be wrong."""

    def __init__(
        self,
        store: Store | str,
        limit: int = 10_000,
        *,
        window: str = "per: month",
        skew: int = 0,
        lease: int = 600_000_000_000,
    ) -> None:
        self.store = PostgresStore(store) if isinstance(store, str) else store
        self.skew = skew
        self.policies = policy.load({"remit.yaml": POLICY.format(limit=limit, window=window)})
        self.governor = Governor(
            policies=lambda: self.policies, clock=self.clock, entropy=os.urandom, lease=lease
        )

    def clock(self) -> int:
        return time.time_ns() + self.skew

    def adopt(self) -> None:
        self.store.write(self.governor.adopt)

    def session(self) -> Session:
        return self.store.write(lambda t: self.governor.open_session(t, BOT))

    def admit(self, session: Session, tool: str = "pay", **arguments: Any) -> Admission:
        request = a_call(session, tool, **arguments)
        return self.store.write(lambda t: self.governor.admit(t, request))

    def settle(
        self, session: Session, admission: Admission, tool: str = "pay", **arguments: Any
    ) -> Settlement:
        request, outcome = a_call(session, tool, **arguments), Outcome(status="ok", result=None)
        return self.store.write(lambda t: self.governor.settle(t, admission.id, request, outcome))

    def close(self) -> None:
        self.store.close()


def a_call(session: Session, tool: str = "pay", **arguments: Any) -> AccessRequest:
    return AccessRequest(
        principal=BOT, session=session.id, action=Action(name=tool), arguments=arguments
    )


def in_threads(count: int, body: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            body(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads)


def records_of(store: Store) -> list[Record]:
    return [parse_record(body) for body in bodies_of(store)]


def bodies_of(store: Store) -> list[bytes]:
    return store.read(lambda view: [each.body for each in view.records(0, view.log_size())])


def audited(store: Store) -> VerificationReport:
    """Sign the log and verify it as an auditor does, budgets and approvals replayed."""
    store.write(Checkpointer(store, SIGNER, 0).sign)

    def look(view: Snapshot) -> tuple[bytes, list[bytes], int]:
        note = view.checkpoint()
        assert note is not None
        return note, [each.body for each in view.records(0, view.log_size())], verify_log(view)

    note, bodies, size = store.read(look)
    assert size == len(bodies)
    report = verify_export(io.BytesIO(b"".join(export_lines(bodies, note))), [SIGNER.vkey])
    assert report.discrepancies == ()
    assert report.verified
    return report


def discrepancies(store: Store) -> list[str]:
    """What the auditor's replay finds wrong in a log, budgets and approvals too."""
    found: list[str] = []
    replay = Replay(lambda position, code, message: found.append(f"{position} {code}: {message}"))
    for position, record in enumerate(records_of(store)):
        replay.see(position, record)
    replay.finish()
    return found


def stands(store: Store) -> Balance:
    (cell,) = store.read(lambda view: view.cells("shop", 10))
    return balance(cell, time.time_ns())
