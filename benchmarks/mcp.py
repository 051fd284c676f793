"""What the MCP gateway costs a tool call, beside other gateways, over one upstream server.

Remit decides by 100 rules and records each call durably in SQLite; the others govern nothing. How
it is measured: ``benchmarks/gateways.py``. ``make bench-peers`` installs the peers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import gateways
from benchmarks.gateways import PEERS, PYTHONPATH, Begin, Begun, Gateway
from benchmarks.measure import line, verdict
from benchmarks.policies import text

PATH = "/mcp"
CASES = (("1",), ("32",))
"""Numbers of clients."""
ONE, MANY = CASES
_UPSTREAM = [sys.executable, "-m", "benchmarks.mcp_upstream"]


def _passthrough(upstream: str, port: int, folder: Path) -> Begun:
    return Begun([sys.executable, "-m", "benchmarks.passthrough", upstream, str(port)], PATH)


def _fastmcp(kind: str) -> Begin:
    script = str(Path(__file__).parent / "peers" / "fastmcp_proxy.py")
    python = str(PEERS / "fastmcp" / "bin" / "python")
    return lambda upstream, port, folder: Begun(
        [python, script, upstream + PATH, str(port), kind], PATH
    )


def _mcp_proxy(upstream: str, port: int, folder: Path) -> Begun:
    program = str(PEERS / "mcp-proxy" / "bin" / "mcp-proxy")
    options = ["--port", str(port), "--log-level", "ERROR", "--pass-environment", "--"]
    return Begun([program, *options, *_UPSTREAM, "stdio"], PATH)


def policy() -> str:
    """The 100 rules of the other benchmarks, on the tool and argument that are called here."""
    rules = text(100).replace("tool-0", "bench.echo").replace("args.table", "args.text")
    return rules.replace("args.amount", "size(args.text)")


def _remit(server: str) -> Begin:
    """Remit before an upstream that ``server`` (lines of ``[[mcp]]``) describes."""

    def begin(upstream: str, port: int, folder: Path) -> Begun:
        table = f'[[mcp]]\nname = "bench"\n{server.format(upstream=upstream + PATH)}\n'
        command, headers = gateways.remit(folder, port, table, policy())
        return Begun(command, "/mcp/bench", headers)

    return begin


_STDIO = (
    f"command = {json.dumps([*_UPSTREAM, 'stdio'])}\n"
    f"env = {{{{PYTHONPATH = {json.dumps(PYTHONPATH)}}}}}"
)
WAYS: dict[str, Begin] = {
    "plain aiohttp proxy": _passthrough,
    "Remit": _remit('url = "{upstream}"'),
    "Remit, server over stdio": _remit(_STDIO),
}
PEER_WAYS: dict[str, Begin] = {
    "mcp-proxy, server over stdio": _mcp_proxy,
    "FastMCP proxy, client for each call": _fastmcp("each"),
    "FastMCP proxy, shared client": _fastmcp("shared"),
}


def run() -> None:
    """Load every gateway in turn and compare."""
    print("\nMCP: tools/call through a gateway, 100 rules, durable store and audit on")
    ways = dict(WAYS)
    if (PEERS / "fastmcp").is_dir():
        ways |= PEER_WAYS
    else:
        line("peers not measured", "", "make bench-peers installs them")
    found, flushed = gateways.compared(
        ways, lambda port: [*_UPSTREAM, "http", str(port)], PATH, "benchmarks.mcp_load", CASES
    )
    _tell(found)
    gateways.tell_sizes(found)
    _judge(found, flushed)


def _tell(found: Mapping[str, Gateway]) -> None:
    direct = found["direct"]
    for case in CASES:
        (clients,) = case
        print(f"  {clients} client(s): added p50 and p99, calls/s, CPU for a call")
        for gateway in found.values():
            p50, p99 = (gateway.of(case, what) - direct.of(case, what) for what in ("p50", "p99"))
            figure = f"+{p50:8.2f} ms  +{p99:8.2f} ms  {gateway.of(case, 'rate'):9,.0f}/s"
            line(f"  {gateway.name}", figure, f"{gateway.of(case, 'cpu'):6.0f} us")


def _judge(found: Mapping[str, Gateway], flushed: float) -> None:
    remit, direct = found["Remit"], found["direct"]
    added = remit.of(ONE, "p50") - direct.of(ONE, "p50") - flushed
    line("two bare durable commits (the store's flush)", f"{flushed:6.2f} ms")
    line(
        "Remit adds at one client beyond the flush",
        f"{added:6.2f} ms",
        verdict(added, 1.0, at_most=True),
    )
    targets = {
        "plain aiohttp proxy": 0.25,
        "mcp-proxy, server over stdio": 1.0,
        "FastMCP proxy, shared client": 5.0,
    }
    for name, target in targets.items():
        if name in found:
            ratio = remit.of(MANY, "rate") / found[name].of(MANY, "rate")
            told = verdict(ratio, target, at_most=False)
            line(f"calls/s at 32 clients against {name}", f"{ratio:.2f}x", told)
