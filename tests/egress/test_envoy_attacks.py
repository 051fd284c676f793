"""Ways past Envoy with Remit behind it: none may reach the application undecided.

What the application has seen is what counts. The naive variant has Envoy as loose as it comes, and
a decision service that looks at the path.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from egress_world import World
from envoy_world import HOST, Envoy, Form, envoy_config, envoy_world
from naive_authz import naive_authz
from outside import outside
from test_forward_attacks import bytes_of, gets_through, raw, told

FORMS = pytest.mark.parametrize("form", ["grpc", "http"])
ADMIN = "/admin/users"
HIDDEN = f"GET {ADMIN} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"


def attacks(key: str) -> dict[str, str]:
    """Requests that would be something else to the application than to whoever decides."""
    line = f"X-Remit-Key: {key}\r\n"
    post = f"POST /orders HTTP/1.1\r\nHost: {HOST}\r\n{line}Content-Type: application/json\r\n"
    order = '{"quantity": 3}'
    sized = f"Content-Length: {len(order)}\r\n\r\n{order}"
    chunked = "Transfer-Encoding: chunked\r\n"

    def get(path: str, host: str = HOST, version: str = " HTTP/1.1") -> str:
        return f"GET {path}{version}\r\nHost: {host}\r\n{line}\r\n"

    return {
        "CL.TE": f"{post}Content-Length: {len(HIDDEN) + 5}\r\n{chunked}\r\n0\r\n\r\n{HIDDEN}",
        "TE.CL": f"{post}{chunked}Content-Length: 4\r\n\r\n5c\r\n{HIDDEN}\r\n0\r\n\r\n",
        "TE.TE": f"{post}{chunked}Transfer-Encoding: x\r\n\r\n0\r\n\r\n{HIDDEN}",
        "TE obscured": f"{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
        "TE blank": f"{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
        "CL twice": f"{post}Content-Length: 0\r\n{sized}",
        "CL list": f"{post}Content-Length: 0, {len(HIDDEN)}\r\n\r\n{HIDDEN}",
        "chunk size": f"{post}{chunked}\r\n0x0\r\n\r\n{HIDDEN}",
        "bare LF": f"{post}X: y\n\nGET {ADMIN} HTTP/1.1\n\n{HIDDEN}",
        "NUL in value": f"{post}X: a\0b\r\n{sized}",
        "CR in value": f"{post}X: a\rContent-Length: 0\r\n{sized}",
        "pipelined": f"{post}{sized}" + get(ADMIN),
        "dot segments": get("/stock/../admin/users"),
        "encoded dots": get("/stock/%2e%2e/admin/users"),
        "double encoding": get("/stock/%252e%252e/admin/users"),
        "encoded slash": get("/stock/..%2fadmin/users"),
        "backslash": get("/stock/..\\admin\\users"),
        "encoded backslash": get("/stock/..%5cadmin"),
        "two slashes": get("//admin/users"),
        "path parameter": get("/stock;/../admin/users"),
        "encoded admin": get("/%61dmin/users"),
        "absolute form": get(f"http://{HOST}/admin/users"),
        "absolute form against Host": get(f"http://{HOST}/stock", host="evil.example"),
        "other host": get("/stock", host="other.corp.example"),
        "host with port": get("/admin", host=f"{HOST}:80"),
        "host with dot": get("/admin", host=f"{HOST}."),
        "two hosts": f"GET /stock HTTP/1.1\r\nHost: {HOST}\r\nHost: evil.example\r\n{line}\r\n",
        "HTTP/0.9": "GET /admin/users\r\n",
        "HTTP/1.0": get("/admin/users", version=" HTTP/1.0"),
        "underscore": f"GET /stock HTTP/1.1\r\nHost: {HOST}\r\nX_Remit_Agent: ada\r\n{line}\r\n",
        "method override": f"{post}X-HTTP-Method-Override: DELETE\r\n{sized}",
        "original url": f"{post}X-Original-URL: {ADMIN}\r\n{sized}",
        "envoy's original path": f"{post}X-Envoy-Original-Path: {ADMIN}\r\n{sized}",
        "websocket": f"GET /chat HTTP/1.1\r\nHost: {HOST}\r\n{line}Connection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "h2c": f"GET /stock HTTP/1.1\r\nHost: {HOST}\r\n{line}Connection: Upgrade, HTTP2-Settings"
        f"\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n{HIDDEN}",
        "CONNECT": f"CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}:80\r\n{line}\r\n",
        "TRACE": f"TRACE /stock HTTP/1.1\r\nHost: {HOST}\r\n{line}\r\n",
        "two keys": f"GET /stock HTTP/1.1\r\nHost: {HOST}\r\n{line}{line}\r\n",
        "connection drops the key": f"GET /stock HTTP/1.1\r\nHost: {HOST}\r\n{line}"
        "Connection: close, X-Remit-Key\r\n\r\n",
        "partial body": f"{post}X-Envoy-Auth-Partial-Body: true\r\n{sized}",
        "two types": f"{post}Content-Type: text/plain\r\n{sized}",
        "two keys in JSON": post + 'Content-Length: 31\r\n\r\n{"quantity": 3, "quantity": 300}',
        "oversized head": get("/stock").replace("\r\n\r\n", f"\r\nX: {'y' * 70_000}\r\n\r\n"),
        "header injected": f"GET /stock HTTP/1.1\r\nHost: {HOST}\r\n{line}"
        f"X: a%0d%0aX-Remit-Agent: ada\r\n\r\n",
    }


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _granted(here: World) -> list[str]:
    return [str(each.tool) for each in here.records("decision") if each.granted]


@FORMS
async def test_none_reaches_the_application_undecided(form: Form, tmp_path: Path) -> None:
    async with envoy_world(tmp_path, form) as here:
        for name, written in attacks(here.key).items():
            await raw(_port(here.envoy.url), bytes_of(written), 0.15)
            seen = here.outside.seen
            assert not any("admin" in each or "DELETE" in each for each in seen), name
            assert len(seen) <= len(_granted(here)), name
            for head in here.outside.headers:
                assert head["x-remit-agent"] == "inventory-bot", name
                assert "x-remit-key" not in head, name
        assert all(HOST in each and "evil" not in each for each in here.outside.seen)
        paths = {each.split()[1].removeprefix(HOST) for each in here.outside.seen}
        assert paths <= {"/stock", "/orders"}


@FORMS
async def test_slow_heads_are_cut_off(form: Form, tmp_path: Path) -> None:
    quick = {"request_headers_timeout: 10s": "request_headers_timeout: 1s"}
    async with envoy_world(tmp_path, form, changes=quick) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port(here.envoy.url))
        writer.write(b"GET /stock HTTP/1.1\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1] == b"408"
        writer.close()
        assert here.outside.seen == []


async def test_the_check_service_itself_gives_nothing_away(tmp_path: Path) -> None:
    """Who reaches it without Envoy can have an action of its own recorded, and no more."""
    async with envoy_world(tmp_path, "http") as here:
        port = _port(here.server.urls[0])
        line = f"Host: {HOST}\r\nX-Remit-Key: {here.key}\r\n\r\n"
        for target in (
            "/envoy/",
            "/envoy/check",
            "/envoy/other/stock",
            "/envoy/check/../v1/agents",
        ):
            status = await told(port, f"GET {target} HTTP/1.1\r\n{line}".encode())
            assert status in (b"400", b"404"), target
        keyless = f"GET /envoy/check/stock HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        assert await told(port, keyless.encode()) == b"401"
        other = line.replace(HOST, "other.corp.example")
        assert await told(port, f"GET /envoy/check/stock HTTP/1.1\r\n{other}".encode()) == b"421"
        assert here.records("decision") == []


async def test_a_loose_envoy_and_a_naive_service_let_these_through(tmp_path: Path) -> None:
    loose = {
        "path_with_escaped_slashes_action: REJECT_REQUEST": "merge_slashes: false",
        "normalize_path: true": "normalize_path: false",
        "headers_with_underscores_action: REJECT_REQUEST": "max_requests_per_connection: 0",
        f"domains: [{HOST}]": 'domains: ["*"]',
    }
    surely = {"dot segments", "two slashes", "encoded admin", "other host", "underscore"}
    async with outside(tmp_path) as found, naive_authz() as port:
        text = envoy_config("http", port, found.plain, {}).replace(
            "merge_slashes: false\n", "\n", 1
        )
        for before, after in loose.items():
            assert before in text
            text = text.replace(before, after)
        envoy = Envoy(text, tmp_path)
        try:
            await envoy.ready()
            through = set()
            for name, written in attacks("x").items():
                before_it = len(found.seen)
                await gets_through(
                    _port(envoy.url), written, found.seen, 5 if name in surely else 0.15
                )
                seen = found.seen[before_it:]
                if any("admin" in each for each in seen) or (seen and "admin" not in written):
                    through.add(name)
        finally:
            envoy.close()
    assert surely <= through
