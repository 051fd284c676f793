"""A server with its console for tests, and the work that agents do on it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_BESIDE = str(Path(__file__).parents[1] / "server")
if _BESIDE not in sys.path:
    sys.path.append(_BESIDE)

from live import CONFIG, Live, config_in  # noqa: E402

from remit import custody  # noqa: E402
from remit.config import Config  # noqa: E402
from remit.console.mount import ConsoleMount  # noqa: E402
from remit.credentials import Right  # noqa: E402
from remit.journal import Journal  # noqa: E402
from remit.model import (  # noqa: E402
    AccessRequest,
    Action,
    Admission,
    Estimate,
    Outcome,
    Principal,
    Session,
    Usage,
)
from remit.server.assembly import assemble  # noqa: E402
from remit.server.running import RunningServer  # noqa: E402
from remit.storage import Transaction  # noqa: E402

POLICY = """\
remit: 1
default: deny
define: {company: '@corp.com'}
agents:
  inventory-bot: {roles: [inventory-reader], team: warehouse}
  report-bot: {roles: [reporter], team: finance}
people:
  ada: {roles: [security-team]}
  grace: {roles: [security-team]}
tools:
  - {match: ["db.query"], does: write, arguments: {query: sql}, cost: {usd: 0.02}}
  - {match: ["web.*"], does: read, returns: [untrusted], cost: {usd: 0.004}}
  - {match: ["send_email"], does: send, cost: {usd: 0.001}}
  - {match: ["pay"], does: pay}
  - {match: ["report.*"], does: read}
rules:
  - id: reader-tools
    roles: [inventory-reader, reporter]
    tools: ["db.query", "web.*", send_email, pay, "report.read"]
    effect: allow
  - id: no-destructive-sql
    tools: ["db.*"]
    when: sql(args.query).destructive
    effect: deny
    because: Destructive SQL on this database goes through a migration.
  - id: external-email
    tools: [send_email]
    when: '!args.to.endsWith(company)'
    effect: ask
    approvers: [security-team]
    because: Mail to people outside the company is looked at first.
  - id: two-for-payments
    tools: [pay]
    effect: ask
    approvers: [security-team]
    quorum: 2
    because: Two people look at every payment.
budgets:
  - {id: warehouse-day, by: team, limit: {usd: 5, calls: 5000}, per: day}
  - {id: bot-hour, by: agent, limit: {calls: 2000}, per: hour}
"""
"""What the agents of these tests may do."""

ROLES: Mapping[str, frozenset[Right]] = {
    "ada": frozenset({Right.ADMIN, Right.AUDITOR, Right.EDITOR, Right.REVIEWER}),
    "grace": frozenset({Right.REVIEWER}),
    "viewer": frozenset({Right.AUDITOR}),
    "editor": frozenset({Right.EDITOR}),
    "admin": frozenset({Right.ADMIN}),
}


SignIn = Callable[..., Any]
"""Signs somebody in: their page."""


class Desk:
    """A running server with its console."""

    def __init__(
        self, live: Live, mount: ConsoleMount, invitation: str | None, people: bool
    ) -> None:
        self.url = live.url
        self.invitation = invitation
        self.parts = live.parts
        self.mount = mount
        self.live = live
        given = ROLES if people else {}
        self.people = {name: self.key(name, rights) for name, rights in given.items()}

    def key(self, name: str, rights: frozenset[Right]) -> str:
        """A key of a person."""

        def work(t: Transaction) -> str:
            journal = Journal.begin(t, time.time_ns(), os.urandom)
            by = Principal(id="test", kind="service")
            return custody.add_key(journal, by, principal=name, kind="person", rights=rights).text

        return self.parts.store.write(work)

    def session(
        self,
        agent: str = "inventory-bot",
        intent: str | None = None,
        parent: Session | None = None,
        user: str | None = None,
    ) -> Session:
        """A session of an agent."""
        principal = self.parts.policies.current.principal(agent, user=user)
        above = None if parent is None else parent.id
        return self.parts.store.write(
            lambda t: self.parts.governor.open_session(t, principal, intent, above)
        )

    def call(
        self, session: Session, tool: str, result: Any = "done", usd: int = 0, **arguments: Any
    ) -> Admission:
        """A call that is decided, and settled where it is granted."""
        estimate = Estimate(usage=Usage(nano_usd=usd)) if usd else None
        request = AccessRequest(
            principal=session.principal,
            session=session.id,
            action=Action(name=tool),
            arguments=arguments,
            estimate=estimate,
        )
        governor = self.parts.governor
        admission = self.parts.store.write(lambda t: governor.admit(t, request))
        if admission.granted:
            usage = Usage(nano_usd=usd * 3 // 4) if usd else None
            outcome = Outcome(status="ok", result=result, duration=1_000_000, usage=usage)
            self.parts.store.write(lambda t: governor.settle(t, admission.id, request, outcome))
        return admission

    def sign(self) -> None:
        """Sign the log as it is."""
        self.parts.store.write(self.parts.checkpointer.sign)


async def _no_fetch(url: str) -> bytes:
    raise OSError(url)


def desk_config(folder: Path, policy: str = POLICY, text: str = CONFIG) -> Config:
    """The settings of a server in a folder."""
    return config_in(folder, policy, text)


@contextmanager
def open_desk(
    config: Config, provider: Any = None, people: bool = True, others: bool = True
) -> Iterator[Desk]:
    """Run a server with its console until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[RunningServer, ConsoleMount]:
        assembled = assemble(config, _no_fetch)
        mount = ConsoleMount(assembled.parts, provider)
        server = RunningServer(assembled, mounts=[mount])
        await server.start()
        return server, mount

    server, mount = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        live = Live(server.urls[0], server.parts, rights=Right if people and others else ())
        yield Desk(live, mount, server.invitation, people)
    finally:
        stopped = asyncio.run_coroutine_threadsafe(server.stop(), loop)
        try:
            assert stopped.result(20)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()
