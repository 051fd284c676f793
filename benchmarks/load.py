"""Load on a server's ``/v1/admit`` and ``/v1/settle``: clients that keep their connection.

The client is as thin as it can be (requests joined from bytes, answers cut out of them), so that
on a machine with few cores it is the server that is measured. It notes whatever was acknowledged,
to be compared with the log afterwards.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from array import array
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct, field

from remit.audit.record import Record

T = TypeVar("T")

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
CALL = b'"action":{"name":"tool-0"},"arguments":{"table":"customers","amount":12}'
ACTIONS_IN_A_SESSION = 500


class Opened(Struct, frozen=True):
    """The part of an opened session that a client needs."""

    id: str


class Answer(Struct, frozen=True):
    """The part of an admission or a settlement that a client needs."""

    id: str
    position: int
    granted: bool = True


class Tally(Struct):
    """What clients saw."""

    decisions: dict[int, str] = field(default_factory=dict)
    """Action by position in the log, of every admission that was answered with 200."""
    outcomes: dict[int, str] = field(default_factory=dict)
    """The same of every settlement."""
    unsettled: dict[str, str] = field(default_factory=dict)
    """Session by action: admitted, and no answer came to what was said of its outcome."""
    problems: list[str] = field(default_factory=list)
    """Answers that were no 2xx."""
    broken: int = 0
    """Connections that ended before the answer."""
    admitting: array[float] = field(default_factory=lambda: array("d"))
    """Seconds from the call to the answer."""
    settling: array[float] = field(default_factory=lambda: array("d"))


class Connection(asyncio.Protocol):
    """One connection that is kept, with one request under way at a time."""

    def __init__(self, key: str, *, repeatable: bool = False) -> None:
        """Prepare; ``connected`` makes one.

        Args:
            key: the API key.
            repeatable: send an Idempotency-Key with each request, as the SDK does.
        """
        self._head = b"Host: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer "
        self._head += key.encode() + b"\r\n"
        self._repeatable = repeatable
        self._tag = secrets.token_hex(8).encode()
        self._sent = 0
        self._received = bytearray()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._lost = False

    async def connected(self, host: str, port: int) -> Connection:
        """The same, connected."""
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._received, 0, end + 2)
        body = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < body:
            return
        answer = int(self._received[9:12]), bytes(self._received[end + 4 : body])
        del self._received[:body]
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("the server went away"))

    async def post(self, path: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            ConnectionError: none came.
        """
        if self._lost:
            raise ConnectionResetError("the server went away")
        self._waiting = asyncio.get_running_loop().create_future()
        repeat = b""
        if self._repeatable:
            self._sent += 1
            repeat = b"Idempotency-Key: %b-%d\r\n" % (self._tag, self._sent)
        self._transport.write(
            b"POST %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b"
            % (path, self._head, repeat, len(body), body)
        )
        return await self._waiting

    def close(self) -> None:
        """Close it."""
        self._transport.close()


class Client:
    """One agent: opens a session, admits and settles in it, over and over, into a tally."""

    def __init__(self, connection: Connection, tally: Tally) -> None:
        self._connection = connection
        self._tally = tally

    async def work(self, goes_on: Callable[[], bool]) -> None:
        """Act until told not to, or until the server goes away."""
        try:
            while goes_on():
                await self._session(goes_on)
        except ConnectionError:
            self._tally.broken += 1
        finally:
            self._connection.close()

    def close(self) -> None:
        """Close its connection."""
        self._connection.close()

    async def settle(self, action: str, session: str) -> int:
        """Say what came of an action; the status of the answer."""
        body = b'{"id":"%b","session":"%b",%b,"outcome":{"status":"ok","result":12}}'
        status, reply = await self._connection.post(
            b"/v1/settle", body % (action.encode(), session.encode(), CALL)
        )
        if status == 200:
            answer = msgspec.json.decode(reply, type=Answer)
            self._tally.outcomes[answer.position] = answer.id
        return status

    async def _session(self, goes_on: Callable[[], bool]) -> None:
        status, reply = await self._connection.post(b"/v1/sessions", b'{"user":"ada"}')
        if status != 201:
            self._tally.problems.append(f"session: {status} {reply.decode()}")
            return
        session = msgspec.json.decode(reply, type=Opened).id
        for _ in range(ACTIONS_IN_A_SESSION):
            if not goes_on():
                return
            await self._action(session)
        await self._connection.post(b"/v1/sessions/%b/end" % session.encode(), b"")

    async def _action(self, session: str) -> None:
        tally, begun = self._tally, time.perf_counter()
        status, reply = await self._connection.post(
            b"/v1/admit", b'{"session":"%b",%b}' % (session.encode(), CALL)
        )
        admitted = time.perf_counter()
        if status != 200:
            tally.problems.append(f"admit: {status} {reply.decode()}")
            return
        answer = msgspec.json.decode(reply, type=Answer)
        tally.decisions[answer.position] = answer.id
        if not answer.granted:
            tally.problems.append(f"admit: not granted: {reply.decode()}")
            return
        tally.unsettled[answer.id] = session
        status = await self.settle(answer.id, session)
        if status != 200:
            tally.problems.append(f"settle: {status}")
            return
        del tally.unsettled[answer.id]
        tally.admitting.append(admitted - begun)
        tally.settling.append(time.perf_counter() - admitted)


async def load(
    place: tuple[str, int],
    key: str,
    tally: Tally,
    goes_on: Callable[[], bool],
    *,
    clients: int = 32,
    repeatable: bool = False,
) -> None:
    """Run that many clients until ``goes_on`` says no, or the server goes away."""
    connections = [
        await Connection(key, repeatable=repeatable).connected(*place) for _ in range(clients)
    ]
    await asyncio.gather(*(Client(each, tally).work(goes_on) for each in connections))


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run in the fast event loop where there is one."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.run(work)
    return uvloop.run(work)


def check_log(records: Iterable[tuple[int, Record]], tally: Tally) -> list[str]:
    """What of that which was acknowledged is not in the log, and what is there twice."""
    decisions, outcomes = dict(tally.decisions), dict(tally.outcomes)
    admitted: set[str] = set()
    settled: set[str] = set()
    faults = []
    for position, record in records:
        action = record.action or ""
        if record.kind == "decision":
            if action in admitted:
                faults.append(f"{position}: {action} is admitted twice")
            admitted.add(action)
            acknowledged = decisions.pop(position, action)
        elif record.kind == "outcome":
            if action in settled:
                faults.append(f"{position}: {action} is settled twice")
            settled.add(action)
            acknowledged = outcomes.pop(position, action)
        else:
            continue
        if acknowledged != action:
            faults.append(f"{position}: {acknowledged} was acknowledged and {action} is there")
    for what, left in (("decision on", decisions), ("outcome of", outcomes)):
        faults += [f"{at}: the acknowledged {what} {each} is lost" for at, each in left.items()]
    return faults


def percentile(sample: array[float], share: float) -> float:
    """A percentile, milliseconds."""
    ordered = sorted(sample)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3 if ordered else 0.0
