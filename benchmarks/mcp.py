"""What the MCP gateway costs a tool call, beside other gateways, over one upstream server.

Every gateway runs on the first core, the upstream and its clients on the last; they take turns, so
that a noisy machine is noisy for all. Remit decides by 100 rules and records each call durably in
SQLite; the others govern nothing. The flush of two bare durable commits is measured in the same
run and printed apart, because it depends on the disk alone.

The peers run when they are installed: ``make bench-peers``, or ``REMIT_BENCH_PEERS`` names the
folder. ``REMIT_BENCH_SECONDS`` says for how long each is loaded altogether (60 in all by default).
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.floor import BareCommit
from benchmarks.measure import latency, line, verdict
from benchmarks.policies import text

ROUNDS = 3
SECONDS = float(os.environ.get("REMIT_BENCH_SECONDS", "60")) / 60
"""Seconds of one round of one gateway at one number of clients."""
CLIENTS = (1, 32)
CORES = sorted(os.sched_getaffinity(0))
_START = 60.0
_PATH = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
PEERS = Path(os.environ.get("REMIT_BENCH_PEERS", Path(__file__).parents[1] / ".bench-peers"))


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


def start(command: list[str], core: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process on one core, its output in a file of the folder."""
    with (folder / "output.log").open("ab") as log:
        process = subprocess.Popen(
            on_core(core, command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_PATH)},
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
class Figures:
    """What the rounds at one number of clients showed; medians are what is told."""

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Microseconds of processor time for a call."""

    @property
    def rate(self) -> float:
        """Calls a second."""
        return statistics.median(self.rates)

    @property
    def middle(self) -> float:
        """The median latency, milliseconds."""
        return statistics.median(self.p50)


@dataclass
class Gateway:
    """One way to reach the upstream, running, and what was measured of it."""

    name: str
    url: str
    headers: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    start_up: float = 0.0
    figures: dict[int, Figures] = field(default_factory=dict)
    memory: float = 0.0

    def load(self, clients: int, seconds: float) -> dict[str, float]:
        """Load it from the last core.

        Raises:
            RuntimeError: a call failed.
        """
        client = [sys.executable, "-m", "benchmarks.mcp_load"]
        arguments = [self.url, str(clients), str(seconds), *self.headers]
        done = subprocess.run(
            on_core(CORES[-1], [*client, *arguments]),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr[-2000:]}")
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    def round(self, clients: int) -> None:
        """One round; its figures are kept."""
        before = cpu(self.process.pid) if self.process else 0.0
        seen = self.load(clients, SECONDS)
        spent = cpu(self.process.pid) - before if self.process else 0.0
        kept = self.figures.setdefault(clients, Figures())
        kept.rates.append(seen["rate"])
        kept.p50.append(seen["p50"])
        kept.p99.append(seen["p99"])
        kept.cpu.append(spent / seen["all"] * 1e6)
        self.memory = memory(self.process.pid) if self.process else 0.0


Begin = Callable[[str, int, Path], tuple[list[str], str, tuple[str, ...]]]
"""Upstream URL, port and folder to command, path and headers."""


def _passthrough(upstream: str, port: int, folder: Path) -> tuple[list[str], str, tuple[str, ...]]:
    return [sys.executable, "-m", "benchmarks.passthrough", upstream, str(port)], "/mcp", ()


def _fastmcp(kind: str) -> Begin:
    script = str(Path(__file__).parent / "peers" / "fastmcp_proxy.py")
    python = str(PEERS / "fastmcp" / "bin" / "python")
    return lambda upstream, port, folder: ([python, script, upstream, str(port), kind], "/mcp", ())


def _mcp_proxy(upstream: str, port: int, folder: Path) -> tuple[list[str], str, tuple[str, ...]]:
    program = str(PEERS / "mcp-proxy" / "bin" / "mcp-proxy")
    options = ["--port", str(port), "--log-level", "ERROR", "--pass-environment", "--"]
    server = [sys.executable, "-m", "benchmarks.mcp_upstream", "stdio"]
    return [program, *options, *server], "/mcp", ()


def policy() -> str:
    """The 100 rules of the other benchmarks, on the tool and argument that are called here."""
    rules = text(100).replace("tool-0", "bench.echo").replace("args.table", "args.text")
    return rules.replace("args.amount", "size(args.text)")


def _remit(server: str) -> Begin:
    """Remit before an upstream that ``server`` (lines of ``[[mcp]]``) describes."""

    def begin(upstream: str, port: int, folder: Path) -> tuple[list[str], str, tuple[str, ...]]:
        (folder / "remit.yaml").write_text(policy(), encoding="utf-8")
        (folder / "remit.toml").write_text(
            f'[server]\nlisten = ["127.0.0.1:{port}"]\nsocket = ""\n\n'
            f'[[mcp]]\nname = "bench"\n{server.format(upstream=upstream)}\n',
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "remit", "agents", "add", "bot", "--json"]
        key = json.loads(subprocess.check_output(command, cwd=folder))["key"]
        serve = [sys.executable, "-m", "remit", "serve"]
        return serve, "/mcp/bench", (f"Authorization: Bearer {key}",)

    return begin


_STDIO = json.dumps([sys.executable, "-m", "benchmarks.mcp_upstream", "stdio"])
_STDIO_TABLE = (
    f"command = {_STDIO}\nenv = {{{{PYTHONPATH = {json.dumps(os.pathsep.join(_PATH))}}}}}"
)
WAYS: dict[str, Begin] = {
    "plain aiohttp proxy": _passthrough,
    "Remit": _remit('url = "{upstream}"'),
    "Remit, server over stdio": _remit(_STDIO_TABLE),
}
PEER_WAYS: dict[str, Begin] = {
    "mcp-proxy, server over stdio": _mcp_proxy,
    "FastMCP proxy, client for each call": _fastmcp("each"),
    "FastMCP proxy, shared client": _fastmcp("shared"),
}


def opened(name: str, begin: Begin, upstream: str, folder: Path) -> Gateway:
    """Start a gateway, and time until its first call is answered.

    Raises:
        RuntimeError: none was within a minute.
    """
    port = free_port()
    folder.mkdir()
    command, path, headers = begin(upstream, port, folder)
    begun = time.monotonic()
    gateway = Gateway(name, f"http://127.0.0.1:{port}{path}", headers)
    gateway.process = start(command, CORES[0], folder)
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        if time.monotonic() - begun > _START or gateway.process.poll() is not None:
            output = (folder / "output.log").read_text()[-2000:]
            raise RuntimeError(f"{name} does not listen:\n{output}")
        time.sleep(0.005)
    gateway.start_up = time.monotonic() - begun
    gateway.load(1, 0.05)
    return gateway


def flush(folder: Path) -> float:
    """The p50 of two bare durable commits, milliseconds."""
    bare = BareCommit(folder / "bare.db")
    try:
        return 2 * latency(lambda: bare.append(b"x" * 800), samples=300, warm_up=20).p50 / 1e3
    finally:
        bare.close()


def run() -> None:
    """Load every gateway in turn and compare."""
    boost(os.getpid())
    print("\nMCP: tools/call through a gateway, 100 rules, durable store and audit on")
    ways = dict(WAYS)
    if (PEERS / "fastmcp").is_dir():
        ways |= PEER_WAYS
    else:
        line("peers not measured", "", "make bench-peers installs them")
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as ends:
        folder = Path(place)
        port = free_port()
        upstream = start(
            [sys.executable, "-m", "benchmarks.mcp_upstream", "http", str(port)], CORES[-1], folder
        )
        ends.callback(stop, upstream)
        url = f"http://127.0.0.1:{port}/mcp"
        time.sleep(1)
        gateways = [Gateway("direct", url)]
        for number, (name, begin) in enumerate(ways.items()):
            gateway = opened(name, begin, url, folder / str(number))
            assert gateway.process is not None
            ends.callback(stop, gateway.process)
            gateways.append(gateway)
        flushes = []
        for _ in range(ROUNDS):
            flushes.append(flush_in(folder))
            for clients in CLIENTS:
                for gateway in gateways:
                    gateway.round(clients)
        _tell(gateways, statistics.median(flushes))


def flush_in(folder: Path) -> float:
    """The same in a folder of its own, so that no file is met again."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return flush(Path(place))


def _tell(gateways: list[Gateway], flushed: float) -> None:
    direct = gateways[0]
    for clients in CLIENTS:
        print(
            f"  {clients} client{'s' * (clients > 1)}: added p50 and p99, calls/s, CPU for a call"
        )
        for gateway in gateways:
            seen, base = gateway.figures[clients], direct.figures[clients]
            added = seen.middle - base.middle
            slow = statistics.median(seen.p99) - statistics.median(base.p99)
            figure = f"+{added:8.2f} ms  +{slow:8.2f} ms  {seen.rate:9,.0f}/s"
            line(f"  {gateway.name}", figure, f"{statistics.median(seen.cpu):6.0f} us")
    print("  start-up until it listens, memory after the load")
    for gateway in gateways[1:]:
        line(f"  {gateway.name}", f"{gateway.start_up:6.2f} s   {gateway.memory:6.0f} MiB")
    _judge({gateway.name: gateway for gateway in gateways}, flushed)


def _judge(by_name: dict[str, Gateway], flushed: float) -> None:
    remit, direct = by_name["Remit"], by_name["direct"]
    added = remit.figures[1].middle - direct.figures[1].middle
    line("two bare durable commits (the store's flush)", f"{flushed:6.2f} ms")
    line(
        "Remit adds at one client beyond the flush",
        f"{added - flushed:6.2f} ms",
        verdict(added - flushed, 1.0, at_most=True),
    )
    targets = {
        "plain aiohttp proxy": 0.25,
        "mcp-proxy, server over stdio": 1.0,
        "FastMCP proxy, shared client": 5.0,
    }
    for name, target in targets.items():
        if name in by_name:
            ratio = remit.figures[32].rate / by_name[name].figures[32].rate
            told = verdict(ratio, target, at_most=False)
            line(f"calls/s at 32 clients against {name}", f"{ratio:.2f}x", told)
