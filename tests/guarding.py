"""What tests of the guard share: a policy in a folder, real stores, and the log read back."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from remit import Guard
from remit.audit.record import Record, parse_record
from remit.governor import Governor
from remit.storage import Store

HEAD = """
remit: 1
default: deny
agents:
  bot: {roles: [worker], team: ops}
  sub-bot: {roles: [worker], team: ops}
  reader-bot: {roles: [reader], team: ops}
people:
  ada: {roles: [clerk]}
  grace: {roles: [lead]}
  alan: {roles: [lead]}
"""

RULES = """
tools:
  - {match: [note, add, items, count, show], does: read}
  - {match: [pay], does: pay}
  - {match: [page], does: read, returns: [untrusted]}
  - {match: [send], does: send}
rules:
  - {id: workers, roles: [worker], tools: [note, add, items, count, show, pay, page, send], effect: allow}
  - {id: readers, roles: [reader], tools: [note], effect: allow}
  - id: no-drop
    tools: [note]
    when: args.text.contains("drop")
    effect: deny
    because: Nothing is dropped here.
    instead: Archive it.
  - {id: big-pay, tools: [pay], when: args.amount > 100, effect: ask, approvers: [lead]}
  - {id: after-untrusted, tools: [send], after: untrusted, effect: deny}
"""


def write_policy(folder: Path, rules: str = RULES, head: str = HEAD) -> Path:
    """Write ``remit.yaml`` into ``folder`` and return its path."""
    path = folder / "remit.yaml"
    path.write_text(head + textwrap.dedent(rules))
    return path


def open_guard(folder: Path, rules: str = RULES, **options: Any) -> Guard:
    """Open a guard on a policy written into ``folder``, with its SQLite store there."""
    return Guard.open(write_policy(folder, rules), **options)


def log(guard: Guard | Store) -> list[Record]:
    """Every record of the log, oldest first."""
    store = guard.store if isinstance(guard, Guard) else guard
    return store.read(
        lambda view: [parse_record(each.body) for each in view.records(0, view.log_size())]
    )


def outcomes(guard: Guard) -> list[str]:
    """Tool and status of every outcome, oldest first."""
    return [f"{each.tool} {each.status}" for each in log(guard) if each.kind == "outcome"]


def decisions(guard: Guard) -> list[str]:
    """Tool and effect of every decision, oldest first."""
    return [f"{each.tool} {each.effect}" for each in log(guard) if each.kind == "decision"]


def unsettled(guard: Guard) -> int:
    """How many granted actions have no outcome in the log."""
    records = log(guard)
    granted = {each.action for each in records if each.kind == "decision" and each.granted}
    return len(granted - {each.action for each in records if each.kind == "outcome"})


def approve(guard: Guard, approval: str, by: str = "grace") -> None:
    """Say yes to an approval, as ``remit approvals approve`` does."""
    _governor(guard, "approve", approval, by)


def reject(guard: Guard, approval: str, by: str = "grace") -> None:
    """Say no to an approval, as ``remit approvals reject`` does."""
    _governor(guard, "reject", approval, by)


def _governor(guard: Guard, step: str, approval: str, by: str) -> None:
    import os
    import time

    governor = Governor(policies=lambda: guard.policies, clock=time.time_ns, entropy=os.urandom)
    person = guard.policies.person(by)
    guard.store.write(lambda t: getattr(governor, step)(t, approval, person))
