"""Those who spend: an upstream that counts the truth, and clients that die while they spend.

As a program it forks: ``python spenders.py MODE FOLDER PORT CHILDREN TRIES ROUND``.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remit import Guard, Refused, charging, policy
from remit.budgets import cells
from remit.errors import RemitError
from remit.governor import Governor
from remit.model import AccessRequest, Action, ActionState, Outcome, SessionId
from remit.storage import Transaction
from remit.storage.sqlite import SqliteStore

WORST = 50
"""Nano-dollars that one call takes at most."""
LIMIT = 2000
LEASE = 600 * 10**9

POLICY = """
remit: 1
agents:
  bot: {roles: [worker], team: ops}
tools:
  - {match: [chat], does: send, cost: {usd: {at-most: 0.00000005, charge: result.usd}}}
rules:
  - {id: all, tools: [chat], effect: allow}
budgets:
  - {id: org, by: org, limit: {usd: 0.000002}, rolling: 30d, notify: []}
  - {id: team, by: team, limit: {usd: 0.000005}, rolling: 30d, notify: []}
"""


class Upstream:
    """Takes money for every call, and is the only one who knows the truth."""

    def __init__(self, pause: float = 0.002) -> None:
        self.spent = 0
        self.calls = 0
        self._pause = pause
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more calls."""
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        chance = random.Random()
        with connection:
            try:
                while connection.recv(1):
                    cost = chance.randint(1, WORST)
                    with self._lock:
                        self.spent += cost
                        self.calls += 1
                    time.sleep(self._pause)
                    connection.sendall(cost.to_bytes(4, "big"))
            except OSError:
                return


class Line:
    """A connection to the upstream."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))

    def spend(self) -> int:
        """What a call took."""
        self._socket.sendall(b"x")
        return int.from_bytes(self._socket.recv(4), "big")

    def chat(self) -> dict[str, float]:
        """A call as the governed tool makes it."""
        return {"usd": self.spend() / 10**9}

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def spend_with(guard: Guard, port: int, tries: int, patient: bool = False) -> None:
    """Call the governed tool again and again. ``patient``: also when nobody answers."""
    line = Line(port)
    tool = guard.wrap(line.chat, name="chat")
    left = tries
    while left:
        try:
            with guard.session(agent="bot"):
                while left:
                    left -= 1
                    try:
                        tool()
                    except Refused:
                        time.sleep(0.005)
        except RemitError:
            if not patient:
                raise
            time.sleep(0.02)
    line.close()


def naive(book: Path, port: int, tries: int) -> None:
    """Check what was recorded, call, record: how it is done where it does not hold."""
    line = Line(port)
    for _ in range(tries):
        if sum(map(int, book.read_text().split())) < LIMIT:
            cost = line.spend()
            with book.open("a") as stream:
                stream.write(f"{cost}\n")
    line.close()


def dying(folder: Path, port: int, tries: int, number: int) -> None:
    """Reserve and spend in one SQLite file; one time in four, die before it is settled.

    Each round starts after the leases of the round before have ended.
    """
    chance = random.Random(os.getpid())
    line = Line(port)
    policies = policy.load({"remit.yaml": POLICY})
    governor = Governor(
        policies=lambda: policies,
        clock=lambda: time.time_ns() + number * 2 * LEASE,
        entropy=os.urandom,
        lease=LEASE,
    )
    store = SqliteStore(folder / "remit.db")
    store.write(governor.expire)
    principal = policies.principal("bot")
    session = store.write(lambda t: governor.open_session(t, principal))
    for _ in range(tries):
        request = AccessRequest(
            principal=principal, session=SessionId(session.id), action=Action(name="chat")
        )

        def ask(t: Transaction, request: AccessRequest = request) -> Any:
            return governor.admit(t, request)

        admission = store.write(ask)
        if not admission.granted:
            continue
        died = chance.random() < 0.25
        if died and chance.random() < 0.2:
            os.kill(os.getpid(), signal.SIGKILL)
        outcome = Outcome(status="ok", result=line.chat())
        if died:
            os.kill(os.getpid(), signal.SIGKILL)
        store.write(lambda t: governor.settle(t, admission.id, request, outcome))  # noqa: B023
    store.close()


def forgiving() -> None:
    """Give holds of those who died back instead of charging them, as is often done."""

    def expire(t: Transaction, action: Any, now: int) -> charging.Charged:
        assert action.state is ActionState.ADMITTED
        for hold in action.holds:
            cell = t.cell(hold.cell)
            assert cell is not None
            t.put_cell(cells.charge(cell, hold, 0))
        return charging.Charged()

    charging.expire = expire


def work_of(mode: str, folder: Path, port: int, tries: int, number: int) -> Callable[[], None]:
    """What each child does."""
    if mode == "naive":
        return lambda: naive(folder / "book", port, tries)
    if mode == "file":
        return lambda: spend_with(Guard.open(folder / "remit.yaml"), port, tries)
    if mode == "forgiving":
        forgiving()
    if mode in ("dying", "forgiving"):
        return lambda: dying(folder, port, tries, number)
    url, key = mode.split(",")
    return lambda: spend_with(Guard.connect(url, credential=key), port, tries, patient=True)


def main() -> None:
    """Fork, let the children work, and wait for them all."""
    mode, folder, port, children, tries, number = sys.argv[1:]
    work = work_of(mode, Path(folder), int(port), int(tries), int(number))
    for _ in range(int(children)):
        if os.fork() == 0:
            code = 1
            try:
                work()
                code = 0
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
            finally:
                os._exit(code)
    failed = 0
    for _ in range(int(children)):
        _, status = os.wait()
        failed += os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL)
    sys.exit(failed)


if __name__ == "__main__":
    main()
