"""What the reverse proxy for legacy APIs costs a request, beside plain aiohttp and nginx.

Remit names each operation by an OpenAPI document, decides by 100 rules, attaches a credential and
records each request durably in SQLite; the others pass it on. How it is measured:
``benchmarks/gateways.py``. nginx is measured where it is installed (Debian: ``nginx-light``).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import gateways
from benchmarks.gateways import Begin, Begun, Gateway
from benchmarks.measure import line, verdict
from benchmarks.policies import text

MODES = ("read", "write")
CASES = tuple((mode, clients) for mode in MODES for clients in ("1", "32"))
_ORDER = {
    "type": "object",
    "required": ["product", "quantity"],
    "properties": {
        "product": {"type": "integer"},
        "quantity": {"type": "integer"},
        "supplier": {"type": "string"},
        "note": {"type": "string"},
    },
}
_DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/products/{id}": {
            "get": {
                "operationId": "showProduct",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
                ],
            }
        },
        "/orders": {
            "post": {
                "operationId": "createOrder",
                "requestBody": {"content": {"application/json": {"schema": _ORDER}}},
            }
        },
    },
}
_TOOLS = """tools:
  - {match: [up.showProduct], does: read, arguments: {id: int}}
  - match: [up.createOrder]
    does: write
    arguments: {product: int, quantity: int, supplier: string?, note: string?}
"""
_RULES = """
  - {id: reads, tools: [up.showProduct], when: args.id > 0, effect: allow}
  - {id: writes, tools: [up.createOrder], when: args.quantity < 10, effect: allow}
"""
_NGINX = """
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream behind {{ server {upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    keepalive_requests 1000000;
    location / {{
      proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""


def _passthrough(upstream: str, port: int, folder: Path) -> Begun:
    return Begun([sys.executable, "-m", "benchmarks.passthrough", upstream, str(port)], "/")


def _remit(upstream: str, port: int, folder: Path) -> Begun:
    (folder / "up.json").write_text(json.dumps(_DOCUMENT), encoding="utf-8")
    api = (
        f'[[legacy]]\nname = "up"\nurl = "{upstream}"\nopenapi = "up.json"\n'
        '[[legacy.credentials]]\nname = "key"\nheader = "X-Key"\nsecret = "UP_KEY"\n'
    )
    policy = text(98).replace("tools:\n", _TOOLS, 1) + _RULES
    command, headers = gateways.remit(folder, port, api, policy)
    return Begun(command, "/legacy/up/", headers, {"UP_KEY": "key-4711"})


def _nginx(upstream: str, port: int, folder: Path) -> Begun:
    written = _NGINX.format(upstream=upstream.removeprefix("http://"), port=port)
    (folder / "nginx.conf").write_text(written, encoding="utf-8")
    program = str(_program())
    return Begun([program, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"], "/")


def _program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


WAYS: dict[str, Begin] = {"plain aiohttp proxy": _passthrough, "Remit": _remit}


def nginx_if_there() -> dict[str, Begin]:
    """nginx as a way, where it is installed."""
    if _program() is None:
        line("nginx not measured", "", "not installed (Debian: nginx-light)")
        return {}
    return {"nginx": _nginx}


def run() -> None:
    """Load every proxy in turn and compare."""
    print("\nLegacy: an HTTP API through a reverse proxy, 100 rules, durable store and audit on")
    ways = dict(WAYS)
    ways |= nginx_if_there()
    found, flushed = gateways.compared(
        ways,
        lambda port: [sys.executable, "-m", "benchmarks.legacy_upstream", str(port)],
        "/",
        "benchmarks.legacy_load",
        CASES,
    )
    tell(found)
    gateways.tell_sizes(found)
    _judge(found, flushed)


def tell(found: Mapping[str, Gateway]) -> None:
    """Print what each adds to a request, and how many it carries."""
    direct = found["direct"]
    for case in CASES:
        mode, clients = case
        print(f"  {mode}, {clients} client(s): added p50, p99; requests/s; CPU for a request")
        for gateway in found.values():
            added = [gateway.of(case, of) - direct.of(case, of) for of in ("p50", "p99")]
            told = "  ".join(f"+{each:7.2f} ms" for each in added)
            rate = f"{gateway.of(case, 'rate'):8,.0f}/s"
            line(f"  {gateway.name}", f"{told} {rate}", f"{gateway.of(case, 'cpu'):6.0f} us")


def _judge(found: Mapping[str, Gateway], flushed: float) -> None:
    remit, direct = found["Remit"], found["direct"]
    line("two bare durable commits (the store's flush)", f"{flushed:6.2f} ms")
    for mode in MODES:
        case = (mode, "1")
        beyond = remit.of(case, "p50") - direct.of(case, "p50") - flushed
        told = verdict(beyond, 1.0, at_most=True)
        line(f"{mode}: Remit adds at one client beyond the flush", f"{beyond:6.2f} ms", told)
    for name in ("plain aiohttp proxy", "nginx"):
        if name not in found:
            continue
        for mode in MODES:
            ratio = remit.of((mode, "32"), "rate") / found[name].of((mode, "32"), "rate")
            told = verdict(ratio, 0.25, at_most=False) if name.startswith("plain") else ""
            line(f"{mode}: requests/s at 32 clients against {name}", f"{ratio:.2f}x", told)
