"""A running server with a model gateway, scripted model APIs behind it, and what its log says."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripted_models import KEY, ScriptedModels

from remit import custody
from remit.approvals import ApprovalState
from remit.audit.record import Record, parse_record
from remit.config.file import parse_config
from remit.config.models import with_keys
from remit.credentials import Right
from remit.gateway.llm import model_mounts
from remit.gateway.llm_upstream import ModelUpstreams
from remit.journal import Journal
from remit.model import Principal
from remit.server.assembly import assemble
from remit.server.running import RunningServer
from remit.storage import Transaction

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [clerk], team: warehouse}
  other-bot: {}
people:
  ada: {roles: [security-team]}
tools:
  - {match: "model.*", does: send}
  - {match: "notes.read", does: read, arguments: {}}
  - {match: "read_note", does: read}
  - {match: "delete_note", does: delete}
  - {match: "pay", does: pay}
  - {match: "wire_money", does: pay}
  - {match: "fetch_page", does: read, returns: [untrusted]}
  - {match: "send_email", does: send}
  - {match: "lookup", does: read}
  - {match: "hosted.web_search", does: read, returns: [untrusted]}
  - {match: "hosted.code_execution", does: execute}
rules:
  - {id: models, agents: [inventory-bot], tools: ["model.*"], effect: allow}
  - {id: no-b, tools: ["model.*.gpt-b"], effect: deny, because: The model gpt-b is not for agents.}
  - id: reading
    agents: [inventory-bot]
    tools: [read_note, fetch_page, lookup, send_email, "hosted.web_search"]
    effect: allow
  - id: no-system-notes
    tools: read_note
    when: args.name.startsWith("system")
    effect: deny
    because: System notes are not for agents.
  - id: small-payments
    agents: [inventory-bot]
    tools: pay
    effect: allow
    obligations:
      - cap: {args.amount: 10}
  - {id: wires, agents: [inventory-bot], tools: wire_money, effect: ask, approvers: [ada]}
  - id: no-mail-after-web
    tools: send_email
    after: untrusted
    effect: deny
    because: The session has read the web.
  - id: no-balances
    tools: lookup
    on: result
    effect: allow
    obligations:
      - redact: [result.balance]
  - id: no-cards
    tools: read_note
    on: result
    when: has(result.card)
    effect: deny
    because: Card numbers stay where they are.
"""

CONFIG = """
[server]
listen = ["127.0.0.1:0"]
socket = ""
drain = "1s"
[model_gateway]
hold = "{hold}"
offered = "{offered}"
[[models]]
name = "openai"
format = "openai"
url = "{url}"
retries = 0
{openai}
[[models]]
name = "anthropic"
format = "anthropic"
url = "{url}"
retries = 0
[[models]]
name = "gemini"
format = "gemini"
url = "{url}"
retries = 0
{more}
"""


class World:
    """A server, the model APIs behind it, and the key of an agent."""

    def __init__(self, server: RunningServer, models: ScriptedModels, loop: Any) -> None:
        self.server = server
        self.models = models
        self.url = server.urls[0]
        self.parts = server.parts
        self.loop = loop
        self.key = self.issue("inventory-bot")

    def issue(self, agent: str) -> str:
        def work(t: Transaction) -> str:
            journal = Journal.begin(t, time.time_ns(), os.urandom)
            return custody.add_key(
                journal,
                Principal(id="test", kind="service"),
                principal=agent,
                kind="agent",
                rights=frozenset({Right.AGENT}),
            ).text

        return self.parts.store.write(work)

    def records(self) -> list[Record]:
        """All records of the log."""
        return self.parts.store.read(
            lambda view: [parse_record(each.body) for each in view.records(0, view.log_size())]
        )

    def actions(self, tool: str = "") -> list[tuple[Record, Record | None]]:
        """Decisions on tools whose names begin so, each with its outcome."""
        records = self.records()
        outcomes = {each.action: each for each in records if each.kind == "outcome"}
        return [
            (each, outcomes.get(each.action))
            for each in records
            if each.kind == "decision" and (each.tool or "").startswith(tool)
        ]

    def results(self, tool: str) -> list[Any]:
        """What was recorded as the results of a tool."""

        def work(view: Any) -> list[Any]:
            found = []
            for kept in view.records(0, view.log_size()):
                record = parse_record(kept.body)
                if record.kind == "outcome" and (record.tool or "").startswith(tool):
                    sealed = view.values(kept.position)
                    found.append(None if sealed is None else json.loads(sealed.canonical))
            return found

        return self.parts.store.read(work)

    def settled(self, tool: str, count: int = 1) -> list[tuple[Record, Record | None]]:
        """The actions, once that many have outcomes."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = self.actions(tool)
            if sum(outcome is not None for _, outcome in found) >= count:
                return found
            time.sleep(0.01)
        raise AssertionError(f"not settled: {self.actions(tool)}")

    def labels(self) -> set[str]:
        """Labels that records put on sessions."""
        return {label for each in self.records() for label in each.labels}

    def approve(self) -> None:
        """Approve the one approval that is open, as soon as there is one."""
        governor, store = self.parts.governor, self.parts.store
        ada = self.parts.policies.current.person("ada")
        deadline = time.monotonic() + 10
        while not (found := store.read(lambda view: view.approvals((ApprovalState.PENDING,), 10))):
            assert time.monotonic() < deadline, "nothing waits for approval"
            time.sleep(0.01)
        store.write(lambda t: governor.approve(t, found[0].id, ada))


@contextmanager
def model_world(
    folder: Path,
    *,
    policy: str = POLICY,
    hold: str = "5s",
    offered: str = "remove",
    more: str = "",
    openai: str = "",
) -> Iterator[World]:
    """Run it all in a thread until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    (folder / "remit.yaml").write_text(policy)
    models = ScriptedModels()

    async def start() -> tuple[RunningServer, ModelUpstreams]:
        await models.start()
        text = CONFIG.format(
            hold=hold,
            offered=offered,
            url=models.url,
            openai=openai,
            more=more.replace("URL", models.url),
        )
        config = parse_config(text, "remit.toml", folder)
        upstreams = ModelUpstreams(with_keys(config.models, lambda _: KEY))
        assembled = assemble(config, _no_fetch)
        server = RunningServer(assembled, None, model_mounts(assembled.parts, upstreams))
        await server.start()
        return server, upstreams

    def run(work: Any, seconds: float = 20) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(seconds)

    server, upstreams = run(start())
    try:
        yield World(server, models, loop)
    finally:
        try:
            assert run(server.stop())
            run(upstreams.__aexit__(None, None, None))
            run(models.stop())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()


async def _no_fetch(url: str) -> bytes:
    raise OSError(url)


def steps(world: World, *scripts: Any) -> None:
    """Answer one request after the other with these, the last one again and again."""
    left: Sequence[Any] = list(scripts)

    def script(_: Any) -> Any:
        return left.pop(0) if len(left) > 1 else left[0]  # type: ignore[attr-defined]

    world.models.script = script
