"""A fleet that is badly treated, clients that go on, and those who know the truth about it."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from benchmarks.databases import Database, fresh
from benchmarks.load import Tally, check_log
from benchmarks.serving import ServerProcess
from dropping_proxy import DroppingProxy
from fleet_servers import FleetFolder
from fleet_world import ADA, POLICY, Node, records_of

from remit.audit.checkpoint import Checkpoint, open_checkpoint
from remit.audit.merkle import consistency_proof, verify_consistency
from remit.errors import RemitError, StoreError
from remit.model import ApprovalId
from remit.signing import read_vkey
from remit.storage import Snapshot
from remit.storage.postgres import PostgresStore

_PATIENCE = aiohttp.ClientTimeout(total=20)


class Truth:
    """What really happened: actions that ran. Its words are not those of the ledger."""

    def __init__(self) -> None:
        self.paid = 0
        self.refunded: dict[int, int] = {}
        """How often each approved call ran."""
        self.answers = 0
        self.refused = 0
        self.silent = 0
        """Requests that were not answered, or with 5xx."""


class Witness:
    """Looks at every checkpoint that it can get, and holds it against the one before."""

    def __init__(self, url: str, key: Path) -> None:
        self.seen: Checkpoint | None = None
        self.checked = 0
        self._url = url
        self._key = key
        self._store: PostgresStore | None = None

    async def watch(self) -> None:
        """Look again and again, until cancelled. A fork raises."""
        try:
            while True:
                try:
                    await asyncio.to_thread(self.look)
                except StoreError:
                    await asyncio.sleep(0.1)
                await asyncio.sleep(0.1)
        finally:
            if self._store is not None:
                self._store.close()

    def look(self) -> None:
        """Look once.

        Raises:
            AuditError: the log was forked, or the checkpoint is not signed.
        """
        if self._store is None:
            self._store = PostgresStore(self._url, timeout=1)
        self._store.read(self._compare)

    def _compare(self, view: Snapshot) -> None:
        note = view.checkpoint()
        if note is None:
            return
        found = open_checkpoint(note, [read_vkey(self._key)]).checkpoint
        before = self.seen
        if before == found:
            return
        if before is not None and before.size:
            assert found.size > before.size, "the log has become shorter, or there are two"
            proof = consistency_proof(before.size, found.size, view.hashes)
            verify_consistency(before.size, found.size, before.root, found.root, proof)
        self.seen = found
        self.checked += 1


class FaultyFleet:
    """Three nodes behind a proxy on a database, and everybody around them."""

    def __init__(self, folder: Path, limit: int, nodes: int = 3, seed: int = 3) -> None:
        self.tally, self.truth = Tally(), Truth()
        self.chance = random.Random(seed)
        self.limit = limit
        self._folder = folder
        self._count = nodes
        self._stopping = False
        self._repeats = 0

    async def __aenter__(self) -> FaultyFleet:
        self.database = await asyncio.to_thread(Database)
        self.direct = fresh(self.database.url())
        self.proxy = DroppingProxy(self.database.folder / "data")
        port = await self.proxy.start()
        name = self.direct.partition("@/")[2].partition("?")[0]
        url = f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"
        policy = POLICY.format(limit=self.limit, window="per: year")
        self.fleet = FleetFolder(
            self._folder, url, policy, self._count, interval="300ms", direct=self.direct
        )
        key = await asyncio.to_thread(self.fleet.key)
        self._headers = {"Authorization": f"Bearer {key}"}
        # The clocks of the nodes are a minute apart.
        skews = (0, 60, -60)
        self.skews = [skews[number % 3] for number in range(self._count)]
        starting = (self._started(number) for number in range(self._count))
        self.nodes: list[ServerProcess | None] = list(await asyncio.gather(*starting))
        self.person = await asyncio.to_thread(Node, self.direct, self.limit, window="per: year")
        self.witness = Witness(self.direct, self.fleet.signing_key.with_name("remit.pub"))
        self._tasks = [asyncio.create_task(self.witness.watch())]
        self._session = aiohttp.ClientSession(timeout=_PATIENCE)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        for node in self.nodes:
            if node is not None:
                node.process.send_signal(signal.SIGCONT)
                await asyncio.to_thread(node.kill)
        await asyncio.to_thread(self.person.close)
        await self.proxy.close()
        await asyncio.to_thread(self.database.stop)

    def load(self, clients: int) -> None:
        """Begin to load all nodes."""
        self._tasks += [asyncio.create_task(self._client(number)) for number in range(clients)]

    async def finish(self) -> None:
        """Let clients end what they do, and look at the last checkpoint; all that failed raises."""
        self._stopping = True
        watching, *clients = self._tasks
        await asyncio.gather(*clients)
        if watching.done():
            watching.result()
        await asyncio.to_thread(self.witness.look)

    # Faults. Each comes back when all is as before.

    async def kill_node(self, number: int | None = None) -> None:
        """kill -9 of a node, which is started again."""
        chosen = self.chance.randrange(self._count) if number is None else number
        node = self.nodes[chosen]
        assert node is not None
        self.nodes[chosen] = None
        await asyncio.to_thread(node.kill)
        self.nodes[chosen] = await self._started(chosen)

    async def kill_leader(self) -> None:
        """kill -9 of the node that leads; another one does then."""
        leader = await self.leader()
        await self.kill_node(int(leader.removeprefix("node")))
        await self.leader()

    async def kill_database(self) -> None:
        """kill -9 of all processes of the database, which recovers."""
        await asyncio.to_thread(self.database.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(self.database.start)

    async def cut(self) -> None:
        """Connections are cut for a second, many of them between a commit and its answer."""
        self.proxy.chance = 0.03
        await asyncio.sleep(1.0)
        self.proxy.chance = 0.0
        self.proxy.cut_all()

    async def pause_leader(self, seconds: float = 7.0) -> None:
        """SIGSTOP of the leader for longer than any lease; another one leads meanwhile."""
        leader = await self.leader()
        node = self.nodes[int(leader.removeprefix("node"))]
        assert node is not None
        node.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        try:
            await self.leader(other_than=leader)
            await asyncio.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        finally:
            node.process.send_signal(signal.SIGCONT)

    async def leader(self, other_than: str = "", seconds: float = 20.0) -> str:
        """The node that leads, once there is one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                found = await asyncio.to_thread(self.person.store.members)  # type: ignore[attr-defined]
            except StoreError:
                found = []
            for node in found:
                if node.leads and node.name != other_than and node.seen < 2:
                    name: str = node.name
                    return name
            await asyncio.sleep(0.1)
        raise AssertionError("nobody leads")

    async def progress(self, answers: int, seconds: float = 30.0) -> None:
        """Wait until that many more requests were answered: the fleet works."""
        wanted, deadline = self.truth.answers + answers, time.monotonic() + seconds
        while self.truth.answers < wanted:
            assert time.monotonic() < deadline, "the fleet does not answer"
            await asyncio.sleep(0.02)

    def check(self) -> dict[str, Any]:
        """Hold the log against what clients and the truth know."""
        with PostgresStore(self.direct) as store:
            records = records_of(store)
        faults = check_log(enumerate(records), self.tally)
        assert faults == [], faults[:5]
        assert self.truth.paid <= self.limit
        assert all(count <= 1 for count in self.truth.refunded.values())
        return {
            "records": len(records),
            "decisions": len(self.tally.decisions),
            "outcomes": len(self.tally.outcomes),
            "answers": self.truth.answers,
            "silent": self.truth.silent,
            "paid": self.truth.paid,
            "refunds": sum(self.truth.refunded.values()),
            "checkpoints": self.witness.checked,
            "cuts": self.proxy.cuts,
        }

    # Clients.

    async def _started(self, number: int) -> ServerProcess:
        for attempt in range(5):
            try:
                return await asyncio.to_thread(self.fleet.start, number, self.skews[number])
            except RuntimeError:  # the database was being started, or a connection was cut
                if attempt == 4:
                    raise
        raise AssertionError

    async def _client(self, number: int) -> None:
        chance = random.Random(number)
        session = ""
        count = 0
        while not self._stopping:
            if not session or count % 50 == 0:
                opened = await self._post("/v1/sessions", {"user": "grace"})
                session = opened[1]["id"] if opened[0] == 201 else ""
            count += 1
            if session and count % 40 == 7:
                await self._refund(session, number * 100_000 + count)
            elif session:
                await self._act(session, chance.choice(("look", "look", "pay")), {"n": count})

    async def _act(self, session: str, tool: str, arguments: dict[str, Any]) -> str | None:
        """Admit, act and settle, on whichever nodes; the approval that it waits for, if any."""
        call = {"session": session, "action": {"name": tool}, "arguments": arguments}
        status, answer = await self._post("/v1/admit", call)
        if status != 200:
            return None
        self.tally.decisions[answer["position"]] = answer["id"]
        if not answer["granted"]:
            self.truth.refused += 1
            approval: str | None = answer.get("approval")
            return approval
        if tool == "pay":
            self.truth.paid += 1
        elif tool == "refund":
            self.truth.refunded[arguments["n"]] = self.truth.refunded.get(arguments["n"], 0) + 1
        said = {**call, "id": answer["id"], "outcome": {"status": "ok", "result": 12}}
        for _ in range(20):
            status, settled = await self._post("/v1/settle", said)
            if status == 200:
                self.tally.outcomes[settled["position"]] = settled["id"]
            if status in (200, 409) or self._stopping:
                return None
        return None

    async def _refund(self, session: str, number: int) -> None:
        """A call that a person approves, then made by several clients at once."""
        approval = await self._act(session, "refund", {"n": number})
        if approval is None:
            return
        deciding = self._decide(ApprovalId(approval))
        await asyncio.gather(deciding, self._decide(ApprovalId(approval)))
        await asyncio.gather(*(self._act(session, "refund", {"n": number}) for _ in range(3)))

    async def _decide(self, approval: ApprovalId) -> None:
        person = self.person
        for _ in range(5):
            try:
                await asyncio.to_thread(
                    person.store.write, lambda t: person.governor.approve(t, approval, ADA)
                )
            except StoreError:
                await asyncio.sleep(0.1)
            except RemitError:
                return
            else:
                return

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Ask a node that is there, whichever; status 0 stands for no answer."""
        there = [node for node in self.nodes if node is not None]
        node = self.chance.choice(there)
        try:
            async with self._session.post(
                f"http://{node.host}:{node.port}{path}", json=body, headers=self._headers
            ) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.truth.silent += 1
            await asyncio.sleep(0.05)
            return 0, {}
        if response.status >= 500:
            self.truth.silent += 1
            await asyncio.sleep(0.05)
        elif response.status in (200, 201, 409):
            self.truth.answers += 1
        else:
            raise AssertionError(f"{path}: {response.status} {answer}")
        return response.status, answer


Fault = Callable[[], Awaitable[None]]
