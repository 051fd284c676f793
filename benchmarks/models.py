"""What the model gateway costs a request, beside other gateways, over one scripted model API.

Every gateway runs on the first core, the model API and its clients on the last; they take turns, so
that a noisy machine is noisy for all. Remit decides by 100 rules and records each request durably
in SQLite; the others govern nothing. The flush of two bare durable commits is measured in the same
run and printed apart, because it depends on the disk alone.

The peers run when they are installed: ``make bench-peers`` (LiteLLM), and ``REMIT_BENCH_PORTKEY``
with the path of Portkey's ``start-server.js``. ``REMIT_BENCH_SECONDS`` says for how long each is
loaded altogether (60 by default).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.mcp import CORES, PEERS, ROUNDS, cpu, flush_in, free_port, memory, start, stop
from benchmarks.measure import line, verdict
from benchmarks.policies import text

SECONDS = float(os.environ.get("REMIT_BENCH_SECONDS", "60")) / 60
MODES = ("whole", "stream")
CLIENTS = (1, 32)
PATH = "/v1/chat/completions"
_START = 60.0
Begun = tuple[list[str], str, tuple[str, ...]]
Begin = Callable[[str, int, Path], Begun]
"""Upstream URL, port and folder to command, path and headers."""


@dataclass
class Way:
    """One way to reach the model API, and what was measured of it, by mode and clients."""

    name: str
    url: str
    headers: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    start_up: float = 0.0
    memory: float = 0.0
    seen: dict[tuple[str, int], list[dict[str, float]]] = field(default_factory=dict)

    def load(self, mode: str, clients: int, seconds: float) -> dict[str, float]:
        """Load it from the last core.

        Raises:
            RuntimeError: a request failed.
        """
        client = [sys.executable, "-m", "benchmarks.models_load", self.url, mode]
        done = subprocess.run(
            ["taskset", "-c", str(CORES[-1]), *client, str(clients), str(seconds), *self.headers],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr[-2000:]}")
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    def round(self, mode: str, clients: int) -> None:
        """One round; its figures are kept."""
        before = cpu(self.process.pid) if self.process else 0.0
        seen = self.load(mode, clients, SECONDS)
        spent = cpu(self.process.pid) - before if self.process else 0.0
        seen["cpu"] = spent / seen["all"] * 1e6
        self.seen.setdefault((mode, clients), []).append(seen)
        self.memory = memory(self.process.pid) if self.process else 0.0

    def of(self, mode: str, clients: int, what: str) -> float:
        """The median of a figure."""
        return statistics.median(each[what] for each in self.seen[mode, clients])


def _passthrough(upstream: str, port: int, folder: Path) -> Begun:
    return [sys.executable, "-m", "benchmarks.models_passthrough", upstream, str(port)], PATH, ()


def _remit(upstream: str, port: int, folder: Path) -> Begun:
    policy = text(98).replace("tools:\n", "tools:\n  - {match: ['model.*'], does: send}\n", 1)
    policy += _RULES
    (folder / "remit.yaml").write_text(policy, encoding="utf-8")
    (folder / "remit.toml").write_text(
        f'[server]\nlisten = ["127.0.0.1:{port}"]\nsocket = ""\n\n'
        f'[[models]]\nname = "bench"\nformat = "openai"\nkeyless = true\nurl = "{upstream}"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "remit", "agents", "add", "bot", "--json"]
    key = json.loads(subprocess.check_output(command, cwd=folder))["key"]
    serve = [sys.executable, "-m", "remit", "serve"]
    return serve, f"/openai{PATH}", (f"Authorization: Bearer {key}",)


_RULES = """
  - {id: models, tools: ['model.*'], when: args.bytes >= 0, effect: allow}
  - {id: other, tools: ['model.*'], when: args.model == 'other', effect: deny}
"""


def _litellm(upstream: str, port: int, folder: Path) -> Begun:
    model = {"model": "openai/gpt-bench", "api_base": f"{upstream}/v1", "api_key": "none"}
    entry = {"model_name": "gpt-bench", "litellm_params": model}
    (folder / "litellm.json").write_text(json.dumps({"model_list": [entry]}), encoding="utf-8")
    program = str(PEERS / "litellm" / "bin" / "litellm")
    options = ["--config", "litellm.json", "--host", "127.0.0.1", "--port", str(port)]
    return [program, *options], PATH, ()


def _portkey(upstream: str, port: int, folder: Path) -> Begun:
    command = ["node", os.environ["REMIT_BENCH_PORTKEY"], "--headless", f"--port={port}"]
    headers = (
        "x-portkey-provider: openai",
        f"x-portkey-custom-host: {upstream}/v1",
        "Authorization: Bearer none",
    )
    return command, PATH, headers


def ways() -> dict[str, Begin]:
    """What is measured, by name."""
    found: dict[str, Begin] = {"plain aiohttp proxy": _passthrough, "Remit": _remit}
    if (PEERS / "litellm").is_dir():
        found["LiteLLM"] = _litellm
    if "REMIT_BENCH_PORTKEY" in os.environ:
        found["Portkey"] = _portkey
    return found


def opened(name: str, begin: Begin, upstream: str, folder: Path) -> Way:
    """Start a gateway, and time until its first request is answered.

    Raises:
        RuntimeError: none was within a minute.
    """
    port = free_port()
    folder.mkdir()
    command, path, headers = begin(upstream, port, folder)
    begun = time.monotonic()
    way = Way(name, f"http://127.0.0.1:{port}{path}", headers)
    way.process = start(command, CORES[0], folder)
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        if time.monotonic() - begun > _START or way.process.poll() is not None:
            output = (folder / "output.log").read_text()[-2000:]
            raise RuntimeError(f"{name} does not listen:\n{output}")
        time.sleep(0.005)
    way.start_up = time.monotonic() - begun
    way.load("whole", 1, 0.05)
    return way


def run() -> None:
    """Load every gateway in turn and compare."""
    print("\nModels: chat completions through a gateway, 100 rules, durable store and audit on")
    chosen = ways()
    for name in ("LiteLLM", "Portkey"):
        if name not in chosen:
            line(f"{name} not measured", "", "not installed; see benchmarks/models.py")
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as ends:
        folder = Path(place)
        port = free_port()
        upstream = start(
            [sys.executable, "-m", "benchmarks.models_upstream", str(port)], CORES[-1], folder
        )
        ends.callback(stop, upstream)
        time.sleep(1)
        url = f"http://127.0.0.1:{port}"
        found = [Way("direct", url + PATH)]
        for number, (name, begin) in enumerate(chosen.items()):
            way = opened(name, begin, url, folder / str(number))
            assert way.process is not None
            ends.callback(stop, way.process)
            found.append(way)
        flushes = []
        for _ in range(ROUNDS):
            flushes.append(flush_in(folder))
            for mode in MODES:
                for clients in CLIENTS:
                    for way in found:
                        way.round(mode, clients)
        _tell(found, statistics.median(flushes))


def _tell(found: list[Way], flushed: float) -> None:
    direct = found[0]
    for mode in MODES:
        for clients in CLIENTS:
            print(
                f"  {mode}, {clients} client{'s' * (clients > 1)}: added p50, p99, first text; rate"
            )
            for way in found:
                added = [
                    way.of(mode, clients, what) - direct.of(mode, clients, what)
                    for what in ("p50", "p99", "first")
                ]
                told = "  ".join(f"+{each:7.2f} ms" for each in added)
                rate = f"{way.of(mode, clients, 'rate'):8,.0f}/s"
                line(f"  {way.name}", f"{told} {rate}", f"{way.of(mode, clients, 'cpu'):6.0f} us")
    print("  start-up until it listens, memory after the load")
    for way in found[1:]:
        line(f"  {way.name}", f"{way.start_up:6.2f} s   {way.memory:6.0f} MiB")
    _judge({way.name: way for way in found}, flushed)


def _judge(by_name: dict[str, Way], flushed: float) -> None:
    remit, direct = by_name["Remit"], by_name["direct"]
    line("two bare durable commits (the store's flush)", f"{flushed:6.2f} ms")
    added = remit.of("whole", 1, "p50") - direct.of("whole", 1, "p50") - flushed
    line(
        "Remit adds at one client beyond the flush",
        f"{added:6.2f} ms",
        verdict(added, 1.0, at_most=True),
    )
    first = remit.of("stream", 1, "first") - direct.of("stream", 1, "first") - flushed / 2
    line(
        "first text of a stream beyond one flush",
        f"{first:6.2f} ms",
        verdict(first, 1.0, at_most=True),
    )
    line("memory", f"{remit.memory:6.0f} MiB", verdict(remit.memory, 120, at_most=True))
    line("start-up", f"{remit.start_up:6.2f} s", verdict(remit.start_up, 1.5, at_most=True))
    for name, target in {"plain aiohttp proxy": 0.25, "Portkey": 1.0, "LiteLLM": 15.0}.items():
        if name in by_name:
            for mode in MODES:
                ratio = remit.of(mode, 32, "rate") / by_name[name].of(mode, 32, "rate")
                told = verdict(ratio, target, at_most=False)
                line(f"{mode}: requests/s at 32 clients against {name}", f"{ratio:.2f}x", told)
