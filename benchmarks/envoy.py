"""What asking Remit costs a request through Envoy (``ext_authz``), over HTTP and over gRPC.

Remit decides by 100 rules and records each request durably in SQLite; plain Envoy, nginx and plain
aiohttp govern nothing. How it is measured: ``benchmarks/gateways.py``. What the store allows is
measured in the same run: whole actions a second of 32 callers in one process, with no gateway at
all, and bare durable appends, which nothing that is recorded can do without.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from benchmarks import gateways, legacy
from benchmarks.floor import BareGroupCommit
from benchmarks.gateways import CORES, ROOT, Begin, Begun, Gateway
from benchmarks.measure import line, throughput, verdict
from benchmarks.policies import text
from remit import Guard

MODES = ("read", "write")
CASES = tuple((mode, clients) for mode in MODES for clients in ("1", "32"))
HOST = "inventory.corp.example"
_THREADS = 32
_FLOOR_SECONDS = 3.0
_TOOLS = """tools:
  - {match: ["http.get *"], does: read}
  - {match: ["http.post *"], does: write}
"""
_RULES = f"""
  - {{id: reads, tools: ["http.get {HOST}/products/*"], effect: allow}}
  - {{id: writes, tools: ["http.post {HOST}/orders"], when: args.body.quantity < 10, effect: allow}}
"""
_SCRIPT = """
import socket, subprocess, sys, time
remit = subprocess.Popen(sys.argv[2].split("|"))
while socket.socket().connect_ex(("127.0.0.1", int(sys.argv[1]))):
    time.sleep(0.02)
subprocess.Popen(sys.argv[3].split("|")).wait()
"""


def _envoy(form: Literal["grpc", "http", ""]) -> Begin:
    """Envoy as it is shipped, asking in that form; ``""``: asking nobody."""

    def begin(upstream: str, port: int, folder: Path) -> Begun:
        remit = gateways.free_port()
        listen = f'[envoy]\nhosts = ["{HOST}"]\ntls = false\n'
        server = remit
        if form == "grpc":
            listen += f'grpc = ["127.0.0.1:{remit}"]\n'
            server = gateways.free_port()
        policy = text(98).replace("tools:\n", _TOOLS, 1) + _RULES
        command, (authorization,) = gateways.remit(folder, server, listen, policy)
        _configure(folder, form, upstream, port, remit)
        program = str(Path(sys.executable).with_name("envoy"))
        envoy = [program, "-c", "envoy.yaml", "--concurrency", "1", "-l", "error"]
        key = authorization.rpartition(" ")[2]
        headers = (f"X-Remit-Key: {key}",)
        both = ["|".join(command), "|".join([*envoy, "--use-dynamic-base-id"])]
        started = [sys.executable, "-c", _SCRIPT, str(remit), *both] if form else envoy
        return Begun(started, "/", headers)

    return begin


def _configure(folder: Path, form: str, upstream: str, port: int, remit: int) -> None:
    shipped = (ROOT / "deploy" / "envoy" / f"{form or 'grpc'}.yaml").read_text()
    ports = {"10000": port, "9901": gateways.free_port(), "8702": remit, "8700": remit}
    ports["5000"] = int(upstream.rpartition(":")[2])
    shipped = re.sub(r"port_value: (\d+)", lambda found: f"port_value: {ports[found[1]]}", shipped)
    if not form:
        begin, end = map(
            shipped.index,
            (
                "                  - name: envoy.filters.http.ext",
                "                  - name: envoy.filters.http.router",
            ),
        )
        shipped = shipped[:begin] + shipped[end:]
    (folder / "envoy.yaml").write_text(shipped, encoding="utf-8")


WAYS: dict[str, Begin] = {
    "plain aiohttp proxy": legacy.WAYS["plain aiohttp proxy"],
    "Envoy, asking nobody": _envoy(""),
    "Envoy and Remit over HTTP": _envoy("http"),
    "Envoy and Remit over gRPC": _envoy("grpc"),
}


def run() -> None:
    """Load every proxy in turn and compare."""
    print(
        "\nEnvoy: an HTTP API through Envoy, decided by Remit (ext_authz), durable store and audit"
    )
    ways = dict(WAYS)
    ways |= legacy.nginx_if_there()
    found, flushed = gateways.compared(
        ways,
        lambda port: [sys.executable, "-m", "benchmarks.legacy_upstream", str(port)],
        "/",
        "benchmarks.envoy_load",
        CASES,
    )
    legacy.tell(found)
    gateways.tell_sizes(found)
    line("two bare durable commits (the store's flush)", f"{flushed:6.2f} ms")
    _judge(found, *_floor())


def _floor() -> tuple[float, float]:
    """What the store allows 32 callers: bare appends, and whole governed actions, a second.

    On the first core, where the gateways run.
    """
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[0]})
    try:
        return _allowed()
    finally:
        os.sched_setaffinity(0, everywhere)


def _allowed() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "remit.yaml").write_text(text(100), encoding="utf-8")
        bare = BareGroupCommit(folder / "group.db")
        body = bytes(700)
        with Guard.open(folder / "remit.yaml") as guard:

            def action() -> None:
                with guard.permit("tool-0", {"table": "customers", "amount": 12}) as permit:
                    permit.result = 12

            sessions = [guard.session(agent="bot", user="ada") for _ in range(_THREADS)]
            calls = [session.bind(action) for session in sessions]
            appends, actions = (
                throughput(work, threads=_THREADS, seconds=_FLOOR_SECONDS)
                for work in (lambda _: bare.append(body), lambda number: calls[number]())
            )
        bare.close()
    return appends, actions


def _judge(found: Mapping[str, Gateway], appends: float, actions: float) -> None:
    line("bare group-commit appends, 32 callers", f"{appends:,.0f}/s")
    line("the store's floor: governed actions, 32 callers, no gateway", f"{actions:,.0f}/s")
    for form in ("HTTP", "gRPC"):
        for mode in MODES:
            rate = found[f"Envoy and Remit over {form}"].of((mode, "32"), "rate")
            told = verdict(rate / actions, 1.0, at_most=False)
            line(
                f"{mode}: Envoy and Remit over {form} against that", f"{rate / actions:.2f}x", told
            )
