"""How gateways are measured: each in a process of its own, one after the other, over one upstream.

Every gateway runs on the first core, the upstream and its clients on the last; they take turns, so
that a noisy machine is noisy for all. What two bare durable commits take (the store's flush) is
measured in the same run and told apart, because it depends on the disk alone.

``REMIT_BENCH_PEERS`` names the folder of installed peers (``.bench-peers`` by default);
``REMIT_BENCH_SECONDS`` says for how long each gateway is loaded altogether (60 by default).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.floor import BareCommit
from benchmarks.measure import latency, line

ROUNDS = 3
SECONDS = float(os.environ.get("REMIT_BENCH_SECONDS", "60")) / 60
"""Seconds of one round of one gateway in one case."""
CORES = sorted(os.sched_getaffinity(0))
ROOT = Path(__file__).parents[1]
PEERS = Path(os.environ.get("REMIT_BENCH_PEERS", ROOT / ".bench-peers"))
PYTHONPATH = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
_START = 60.0
Case = tuple[str, ...]
"""What a load is told besides the address: the number of clients last."""


@dataclass(frozen=True)
class Begun:
    """How a gateway is started, and how a request reaches it."""

    command: list[str]
    path: str
    headers: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


Begin = Callable[[str, int, Path], Begun]
"""Of the upstream's URL, a free port and a folder."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def on_core(core: int, command: list[str]) -> list[str]:
    """A command that runs on one core, before others of the machine where that is permitted."""
    return ["nice", "-n", "-15", "taskset", "-c", str(core), *command]


def boost(pid: int) -> None:
    """Put a session before others: Linux shares processors between sessions first."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("-10")


def start(
    command: list[str], core: int, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process on one core, its output in a file of the folder."""
    with (folder / "output.log").open("ab") as log:
        process = subprocess.Popen(
            on_core(core, command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": PYTHONPATH, **(environment or {})},
            start_new_session=True,
        )
    boost(process.pid)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tree(pid: int) -> Iterator[int]:
    """A process and what descends from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from tree(int(child))


def cpu(pid: int) -> float:
    """Processor seconds that a process and its children used."""
    spent = 0
    for each in tree(pid):
        for task in Path(f"/proc/{each}/task").glob("*/schedstat"):
            spent += int(task.read_text().split()[0])
    return spent / 1e9


def memory(pid: int) -> float:
    """Proportional memory of a process and its children, MiB."""
    total = 0
    for each in tree(pid):
        for row in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if row.startswith("Pss:"):
                total += int(row.split()[1])
    return total / 1024


@dataclass
class Gateway:
    """One way to reach the upstream, running, and what was measured of it."""

    name: str
    load: str
    """The module that loads it."""
    url: str
    headers: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    start_up: float = 0.0
    memory: float = 0.0
    seen: dict[Case, list[dict[str, float]]] = field(default_factory=dict)

    def loaded(self, case: Case, seconds: float) -> dict[str, float]:
        """What a load from the last core sees.

        Raises:
            RuntimeError: a request failed.
        """
        client = [sys.executable, "-m", self.load, self.url, *case, str(seconds), *self.headers]
        done = subprocess.run(
            on_core(CORES[-1], client), capture_output=True, text=True, check=False, cwd=ROOT
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr[-2000:]}")
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    def round(self, case: Case) -> None:
        """One round; its figures are kept."""
        before = cpu(self.process.pid) if self.process else 0.0
        seen = self.loaded(case, SECONDS)
        spent = cpu(self.process.pid) - before if self.process else 0.0
        seen["cpu"] = spent / seen["all"] * 1e6
        self.seen.setdefault(case, []).append(seen)
        self.memory = memory(self.process.pid) if self.process else 0.0

    def of(self, case: Case, what: str) -> float:
        """The median of a figure: ``rate``, ``p50``, ``p99`` (ms), ``cpu`` (us a request)."""
        return statistics.median(each[what] for each in self.seen[case])


def remit(folder: Path, port: int, upstream: str, policy: str) -> tuple[list[str], tuple[str, ...]]:
    """A server of Remit as it comes, with an agent; its command, and what its requests carry.

    Args:
        folder: to make it in.
        port: to listen on.
        upstream: lines of ``remit.toml`` that describe what is behind it.
        policy: the document.
    """
    (folder / "remit.yaml").write_text(policy, encoding="utf-8")
    (folder / "remit.toml").write_text(
        f'[server]\nlisten = ["127.0.0.1:{port}"]\nsocket = ""\n\n{upstream}', encoding="utf-8"
    )
    command = [sys.executable, "-m", "remit", "agents", "add", "bot", "--json"]
    key = json.loads(subprocess.check_output(command, cwd=folder))["key"]
    return [sys.executable, "-m", "remit", "serve"], (f"Authorization: Bearer {key}",)


def _opened(gateway: Gateway, begun: Begun, case: Case, port: int, folder: Path) -> None:
    """Start a gateway, time until it listens, and see it answer.

    Raises:
        RuntimeError: it does not.
    """
    since = time.monotonic()
    gateway.process = start(begun.command, CORES[0], folder, begun.environment)
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        if time.monotonic() - since > _START or gateway.process.poll() is not None:
            stop(gateway.process)
            output = (folder / "output.log").read_text()[-2000:]
            raise RuntimeError(f"{gateway.name} does not listen:\n{output}")
        time.sleep(0.005)
    gateway.start_up = time.monotonic() - since
    try:
        gateway.loaded(case, 0.05)
    except RuntimeError:
        stop(gateway.process)
        raise


def compared(
    ways: Mapping[str, Begin],
    upstream: Callable[[int], list[str]],
    path: str,
    load: str,
    cases: Sequence[Case],
) -> tuple[dict[str, Gateway], float]:
    """Load every gateway in turn, in every case.

    Args:
        ways: how each is started, by name.
        upstream: the command of the upstream on a port.
        path: of a request to the upstream.
        load: the module that loads.
        cases: what it is told.

    Returns:
        The gateways by name, ``direct`` first, and the flush of the store, milliseconds.
    """
    boost(os.getpid())
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as ends:
        folder, port = Path(place), free_port()
        ends.callback(stop, start(upstream(port), CORES[-1], folder))
        time.sleep(1)
        url = f"http://127.0.0.1:{port}"
        gateways = [Gateway("direct", load, url + path)]
        for number, (name, begin) in enumerate(ways.items()):
            own, port = folder / str(number), free_port()
            own.mkdir()
            begun = begin(url, port, own)
            gateway = Gateway(name, load, f"http://127.0.0.1:{port}{begun.path}", begun.headers)
            _opened(gateway, begun, cases[0], port, own)
            assert gateway.process is not None
            ends.callback(stop, gateway.process)
            gateways.append(gateway)
        flushes = []
        for _ in range(ROUNDS):
            flushes.append(_flush(folder))
            for case in cases:
                for gateway in gateways:
                    gateway.round(case)
        return {each.name: each for each in gateways}, statistics.median(flushes)


def tell_sizes(gateways: Mapping[str, Gateway]) -> None:
    """Print how long each took to start, and what memory it had at the end."""
    print("  start-up until it listens, memory after the load")
    for gateway in gateways.values():
        if gateway.process is not None:
            line(f"  {gateway.name}", f"{gateway.start_up:6.2f} s   {gateway.memory:6.0f} MiB")


def _flush(folder: Path) -> float:
    """The p50 of two bare durable commits, in a folder of its own, milliseconds."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        bare = BareCommit(Path(place) / "bare.db")
        try:
            return 2 * latency(lambda: bare.append(b"x" * 800), samples=300, warm_up=20).p50 / 1e3
        finally:
            bare.close()
