"""What tests of the guard share: a policy in a folder, real stores, and the log read back."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from remit import AuditError, Guard, InvalidRequest, Refused
from remit.audit.record import Record, parse_record
from remit.audit.verify import verify_export
from remit.governor import Governor
from remit.policy import PolicySet
from remit.signing import read_vkey
from remit.storage import Store
from remoting import Servers

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
  - id: workers
    roles: [worker]
    tools: [note, add, items, count, show, pay, page, send]
    effect: allow
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


servers: Servers | None = None
"""Set while tests run against a server (the fixture ``transport``)."""

EMBEDDED = pytest.mark.parametrize("transport", ["embedded"], indirect=True)
"""For tests of what only a guard in its own process has."""


def open_guard(folder: Path, rules: str = RULES, **options: Any) -> Guard:
    """Open a guard on a policy written into ``folder``, with its SQLite store there.

    Tests that use the fixture ``transport`` get one that is connected to a server there.
    """
    path = write_policy(folder, rules)
    return Guard.open(path, **options) if servers is None else servers.connect(folder, **options)


def store_of(guard: Guard) -> Store:
    """Where a guard, or its server, keeps state and log."""
    server = None if servers is None else servers.of(guard)
    return guard.store if server is None else server.store


def policies_of(guard: Guard) -> PolicySet:
    """The policy in force for a guard."""
    server = None if servers is None else servers.of(guard)
    return guard.policies if server is None else server.parts.policies.current


def log(guard: Guard | Store) -> list[Record]:
    """Every record of the log from the first policy on, oldest first; keys are left out."""
    store = store_of(guard) if isinstance(guard, Guard) else guard
    records = store.read(
        lambda view: [parse_record(each.body) for each in view.records(0, view.log_size())]
    )
    return [each for each in records if each.kind != "credential"]


def outcomes(guard: Guard) -> list[str]:
    """Tool and status of every outcome, oldest first."""
    return [f"{each.tool} {each.status}" for each in log(guard) if each.kind == "outcome"]


def settled(guard: Guard, wanted: list[str]) -> bool:
    """Whether the outcomes become ``wanted`` within five seconds."""
    end = time.monotonic() + 5
    while outcomes(guard) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return outcomes(guard) == wanted


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
    policies = policies_of(guard)
    governor = Governor(policies=lambda: policies, clock=time.time_ns, entropy=os.urandom)
    person = policies.person(by)
    store_of(guard).write(lambda t: getattr(governor, step)(t, approval, person))


ACT = """
tools: [{match: ["*"], does: read}]
rules:
  - {id: all, roles: [worker], tools: ["*"], effect: allow}
"""


def stop(condition: str, tools: str = '["*"]') -> str:
    """Rules that allow everything to workers but what meets ``condition``."""
    quoted = condition.replace("'", "''")
    return f"{ACT}  - {{id: stop, tools: {tools}, when: '{quoted}', effect: deny}}\n"


def permit_only(condition: str) -> str:
    """Rules that allow a worker only what meets ``condition``."""
    quoted = condition.replace("'", "''")
    return f"""
tools: [{{match: ["*"], does: read}}]
rules:
  - {{id: only, roles: [worker], tools: ["*"], when: '{quoted}', effect: allow}}
"""


def ran(folder: Path, rules: str, *args: Any, tool: str = "act", **kwargs: Any) -> bool:
    """Whether a governed ``tool(*args, **kwargs)`` ran. Any refusal but a Remit error fails."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    with open_guard(folder, rules) as guard:
        return ran_on(guard, *args, tool=tool, **kwargs)


def ran_on(guard: Guard, *args: Any, tool: str = "act", **kwargs: Any) -> bool:
    """Whether a governed ``tool(*args, **kwargs)`` ran under ``guard``, in a session of bot."""
    calls: list[object] = []

    def act(word: Any = "", second: Any = "", **more: Any) -> None:
        calls.append((word, second, more))

    with guard.session(agent="bot", user="ada"):
        try:
            guard.wrap(act, name=tool)(*args, **kwargs)
        except (Refused, InvalidRequest):
            assert not calls
    return bool(calls)


def exported(folder: Path) -> bytes:
    """The log in ``folder`` as ``remit audit export --values`` writes it."""
    output = folder / "log.remit"
    policy, target = str(folder / "remit.yaml"), str(output)
    _command("audit", "export", "--values", "--policy", policy, "-o", target)
    return output.read_bytes()


def verifies(folder: Path, data: bytes) -> bool:
    """Whether ``data`` passes verification against the public key in ``folder``."""
    try:
        return verify_export(io.BytesIO(data), [read_vkey(folder / "remit.pub")]).verified
    except AuditError:
        return False


def _command(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "remit", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
