"""The HTTP adapter against real connections, with routes made for the purpose."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from msgspec import Struct

from remit.api.frame import ANY_RIGHT, PUBLIC, Call, Parts, Problem, Reply, Route
from remit.api.http import HttpApi
from remit.config import ByteCount, Config, Duration, LimitsConfig, ServerConfig
from remit.credentials import Right
from remit.errors import (
    ApprovalError,
    InvalidRequest,
    SettlementError,
    StoreLocked,
    Unavailable,
)
from serving import Client, parts_of, serving


class Order(Struct, forbid_unknown_fields=True):
    item: str
    count: int = 1
    more: Any = None


class Page(Struct, forbid_unknown_fields=True):
    limit: int = 10
    after: str | None = None


async def echo(call: Call) -> Reply:
    return Reply(
        body={
            "params": dict(call.params),
            "body": call.body,
            "query": call.query,
            "who": None if call.who is None else call.who.principal.id,
            "base": call.base_url,
        }
    )


def row(path: str, handler: Any = echo, method: Any = "GET", **others: Any) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary="for tests",
        **{"rights": PUBLIC, "reply": dict, **others},
    )


ROUTES = (
    row("/orders", method="POST", body=Order),
    row("/orders", query=Page),
    row("/orders/{id}"),
    row("/orders/{id}", method="DELETE", body=Order, body_optional=True),
    row("/files/{rest...}"),
    row("/mine", rights=ANY_RIGHT),
    row("/review", rights=frozenset({Right.REVIEWER, Right.ADMIN})),
)


def limited(**limits: Any) -> Parts:
    return parts_of(config=Config(limits=LimitsConfig(**limits)))


async def raw(client: Client, text: bytes, *, until_closed: bool = True) -> bytes:
    """What the server sends when it is sent ``text``."""
    port = int(client.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        async with asyncio.timeout(5):
            return await (reader.read() if until_closed else reader.readuntil(b"\r\n\r\n"))
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert answer.json["type"] == f"urn:remit:problem:{answer.json['code']}"
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    return answer.status, answer.json["code"]


async def test_what_a_handler_is_given() -> None:
    async with serving(parts_of(), ROUTES) as client:
        posted = await client("POST", "/orders", json={"item": "pump"})
        assert posted.json["body"] == {"item": "pump", "count": 1, "more": None}
        listed = await client("GET", "/orders?limit=3&after=a%20b")
        assert listed.json["query"] == {"limit": 3, "after": "a b"}
        assert listed.json["base"] == client.url
        one = await client("GET", "/orders/caf%C3%A9%2Fx")
        assert one.json["params"] == {"id": "café/x"}
        rest = await client("GET", "/files/a/b%20c/d")
        assert rest.json["params"] == {"rest": "a/b c/d"}
        gone = await client("DELETE", "/orders/1")
        assert gone.json["body"] is None


async def test_every_answer_carries_the_same_headers() -> None:
    async with serving(parts_of(), ROUTES) as client:
        for answer in (
            await client("GET", "/orders", headers={"X-Request-ID": "given-1"}),
            await client("GET", "/none", headers={"X-Request-ID": "given-1"}),
            await client("OPTIONS", "/orders", headers={"X-Request-ID": "given-1"}),
        ):
            assert answer.headers["X-Request-ID"] == "given-1"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "Date" in answer.headers
            assert "Server" not in answer.headers
            assert not [name for name in answer.headers if name.lower().startswith("access-c")]


async def test_a_bad_request_id_is_replaced() -> None:
    async with serving(parts_of(), ROUTES) as client:
        for given in ("a b", "x" * 129, ""):
            answer = await client("GET", "/orders", headers={"X-Request-ID": given})
            assert answer.headers["X-Request-ID"].startswith("r_")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "body-missing"),
        ("{", "invalid-json"),
        ('{"item": "a", "item": "b"}', "invalid-json"),
        ('{"item": NaN}', "invalid-json"),
        ('{"item": "a"} x', "invalid-json"),
        ('{"item": "\\ud800"}', "invalid-json"),
        ('{"item": "a", "more": ' + "[" * 80 + "]" * 80 + "}", "invalid-json"),
        ('{"item": 3}', "invalid-body"),
        ('{"item": "a", "cuont": 3}', "invalid-body"),
        ('["item"]', "invalid-body"),
    ],
)
async def test_bodies_that_are_refused(body: str, code: str) -> None:
    async with serving(parts_of(), ROUTES) as client:
        headers = {"Content-Type": "application/json"}
        answer = await client("POST", "/orders", data=body.encode(), headers=headers)
        assert problem(answer) == (400, code)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Content-Type": "text/plain"}, (415, "unsupported-media-type")),
        ({"Content-Type": "application/x-www-form-urlencoded"}, (415, "unsupported-media-type")),
        ({"Content-Type": "application/json; charset=latin-1"}, (415, "unsupported-media-type")),
        (
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
            (415, "unsupported-encoding"),
        ),
    ],
)
async def test_content_types_are_strict(headers: dict[str, str], expected: tuple[int, str]) -> None:
    async with serving(parts_of(), ROUTES) as client:
        answer = await client("POST", "/orders", data=b'{"item": "a"}', headers=headers)
        assert problem(answer) == expected
        good = {"Content-Type": 'Application/JSON; Charset="UTF-8"'}
        assert (await client("POST", "/orders", data=b'{"item":"a"}', headers=good)).status == 200


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=1&limit=2", "lmit=3", "after=%ff", "&".join(["a=1"] * 100)]
)
async def test_queries_that_are_refused(query: str) -> None:
    async with serving(parts_of(), ROUTES) as client:
        answer = await client("GET", f"/orders?{query}")
        assert problem(answer) == (400, "invalid-query")


async def test_what_a_route_does_not_take_is_refused() -> None:
    async with serving(parts_of(), ROUTES) as client:
        assert problem(await client("GET", "/orders/1?x=1")) == (400, "invalid-query")
        assert problem(await client("GET", "/orders", json={})) == (400, "unexpected-body")


async def test_paths_and_methods() -> None:
    async with serving(parts_of(), ROUTES) as client:
        for path in ("/none", "/orders/", "/orders/1/2", "//orders", "/files/", "/orders/%ff"):
            assert problem(await client("GET", path)) == (404, "not-found"), path
        answer = await client("PUT", "/orders")
        assert problem(answer) == (405, "method-not-allowed")
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
        options = await client("OPTIONS", "/orders/1")
        assert (options.status, options.headers["Allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
        assert problem(await client("OPTIONS", "/none")) == (404, "not-found")
        head = await client("HEAD", "/orders")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["Content-Length"]) > 0


async def test_other_forms_of_the_target() -> None:
    async with serving(parts_of(), ROUTES) as client:
        ask = b"%b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        assert b" 204 " in (await raw(client, ask % b"OPTIONS *")).split(b"\r\n")[0]
        assert (
            b" 200 " in (await raw(client, ask % b"GET http://h/orders?limit=1")).split(b"\r\n")[0]
        )
        assert b" 400 " in (await raw(client, ask % b"GET *")).split(b"\r\n")[0]
        assert b" 404 " in (await raw(client, ask % b"CONNECT h:80")).split(b"\r\n")[0]


async def test_only_who_may_gets_in() -> None:
    async with serving(parts_of(), ROUTES) as client:
        nobody = await client("GET", "/mine")
        assert problem(nobody) == (401, "unauthenticated")
        assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="remit"'
        assert problem(await client("GET", "/mine", token="nobody")) == (401, "unauthenticated")
        assert (await client("GET", "/mine", token="inventory-bot")).json["who"] == "inventory-bot"
        refused = await client("GET", "/review", token="inventory-bot")
        assert problem(refused) == (403, "forbidden")
        assert (await client("GET", "/review", token="ada")).json["who"] == "ada"
        assert (await client("GET", "/review", token="admin")).json["who"] == "admin"


async def test_a_body_is_not_read_for_who_may_not_send_it() -> None:
    routes = (row("/mine", method="POST", rights=ANY_RIGHT, body=Order),)
    async with serving(limited(body=ByteCount(1024)), routes) as client:
        answer = await client("POST", "/mine", json={"item": "x" * 5000})
        assert problem(answer) == (401, "unauthenticated")


async def test_large_bodies_are_refused_declared_or_not() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 500

    async with serving(limited(body=ByteCount(1024)), ROUTES) as client:
        headers = {"Content-Type": "application/json"}
        declared = await client("POST", "/orders", json={"item": "x" * 5000})
        assert problem(declared) == (413, "too-large")
        chunked = await client("POST", "/orders", data=parts(), headers=headers)
        assert problem(chunked) == (413, "too-large")
        fits = await client("POST", "/orders", json={"item": "x" * 1000})
        assert fits.status == 200


async def test_a_client_may_ask_before_it_sends_its_body() -> None:
    head = b"POST /orders HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n"
    head += b"Content-Type: application/json\r\nExpect: %b\r\n\r\n"
    async with serving(limited(body=ByteCount(1024)), ROUTES) as client:
        body = b'{"item": "a"}'
        answer = await raw(client, head % (len(body), b"100-continue") + body)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        refused = await raw(client, head % (9999, b"100-continue"), until_closed=False)
        assert refused.startswith(b"HTTP/1.1 413 ")
        other = await raw(client, head % (len(body), b"magic") + body)
        assert other.startswith(b"HTTP/1.1 417 ")


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with serving(limited(request_time=Duration(0.2)), ROUTES) as client:
        text = b"POST /orders HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        answer = await raw(client, text + b"Content-Length: 20\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close" in answer


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    async with serving(limited(keepalive=Duration(0.2)), ROUTES) as client:
        assert await raw(client, b"GET /orders HTTP/1.1\r\nHost:") == b""


async def test_a_handler_that_takes_too_long_is_cut() -> None:
    async def slow(call: Call) -> Reply:
        await asyncio.sleep(5)
        return Reply()

    async def patient(call: Call) -> Reply:
        await asyncio.sleep(0.3)
        return Reply(body={})

    async def elsewhere(call: Call) -> Reply:
        raise TimeoutError

    routes = (row("/slow", slow), row("/patient", patient, waits=5.0), row("/else", elsewhere))
    async with serving(limited(request_time=Duration(0.2)), routes) as client:
        answer = await client("GET", "/slow")
        assert problem(answer) == (503, "timed-out")
        assert answer.headers["Retry-After"] == "1"
        assert (await client("GET", "/patient")).status == 200
        assert problem(await client("GET", "/else")) == (500, "internal")


async def test_too_many_connections_are_turned_away() -> None:
    async with serving(limited(connections=1), ROUTES) as client:
        assert (await client("GET", "/orders")).status == 200  # its connection is kept
        answer = await raw(client, b"GET /orders HTTP/1.1\r\nHost: h\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in head
        assert json.loads(body)["code"] == "too-many-connections"
        assert (await client("GET", "/orders")).status == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"400"),
        (b"GET /orders\r\n\r\n", b"505"),
        (b"GET /orders HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", b"400"),
        (b"GET /orders HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 9000), b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: %b\r\n\r\n" % (b"a" * 9000), b"431"),
    ],
)
async def test_what_is_no_http_gets_a_problem_too(text: bytes, expected: bytes) -> None:
    async with serving(parts_of(), ROUTES) as client:
        head, _, body = (await raw(client, text)).partition(b"\r\n\r\n")
        assert head.split(b" ")[1] == expected, head
        assert b"Server:" not in head
        assert json.loads(body)["status"] == int(expected)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Problem(418, "teapot", "No coffee.", members={"pot": 1}), (418, "teapot")),
        (InvalidRequest("so not"), (400, "invalid-request")),
        (SettlementError("was settled"), (409, "not-to-be-settled")),
        (ApprovalError("is closed"), (409, "not-to-be-decided")),
        (StoreLocked("/secret/place.db is locked"), (503, "store-unavailable")),
        (Unavailable("not now"), (503, "unavailable")),
        (KeyError("secret"), (500, "internal")),
        (ConnectionRefusedError("secret"), (500, "internal")),
    ],
)
async def test_errors_become_problems(
    error: Exception, expected: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(call: Call) -> Reply:
        raise error

    async with serving(parts_of(), (row("/fail", fail),)) as client:
        answer = await client("GET", "/fail")
    assert problem(answer) == expected
    assert b"secret" not in answer.body
    failures = [each for each in caplog.records if each.message == "request failed"]
    assert len(failures) == (expected[0] >= 500)
    assert all(each.request_id == answer.json["request_id"] for each in failures)
    if expected[0] == 418:
        assert answer.json["pot"] == 1


async def test_numbers_of_any_size_come_back() -> None:
    async with serving(parts_of(), ROUTES) as client:
        big = 10**40
        answer = await client("POST", "/orders", json={"item": "é", "more": [big, 1.5]})
        assert answer.json["body"]["more"] == [big, 1.5]
        assert answer.json["body"]["item"] == "é"


async def test_bytes_and_empty_answers() -> None:
    async def tile(call: Call) -> Reply:
        return Reply(body=b"\x00\x01", headers={"Cache-Control": "max-age=60"})

    async def nothing(call: Call) -> Reply:
        return Reply(status=204)

    async def large(call: Call) -> Reply:
        return Reply(body=b"x" * 200_000)

    routes = (
        row("/tile", tile, media="application/octet-stream", reply=bytes),
        row("/nothing", nothing, reply=None),
        row("/large", large, reply=bytes),
    )
    async with serving(parts_of(), routes) as client:
        answer = await client("GET", "/tile")
        assert answer.body == b"\x00\x01"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Cache-Control"] == "max-age=60"
        empty = await client("GET", "/nothing")
        assert (empty.status, empty.body) == (204, b"")
        assert len((await client("GET", "/large")).body) == 200_000


async def test_streams() -> None:
    ended: list[str] = []

    async def counted() -> AsyncIterator[bytes]:
        try:
            for number in range(3):
                yield f"data: {number}\n\n".encode()
        finally:
            ended.append("counted")

    async def broken() -> AsyncIterator[bytes]:
        yield b"data: 0\n\n"
        raise KeyError("secret")

    async def stream(call: Call) -> Reply:
        return Reply(stream=counted() if call.params["kind"] == "counted" else broken())

    routes = (row("/{kind}", stream, streams=True, media="text/event-stream"),)
    async with serving(parts_of(), routes) as client:
        answer = await client("GET", "/counted")
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert (await client("HEAD", "/counted")).body == b""
        assert ended == ["counted"]
        with pytest.raises(aiohttp.ClientError):
            await client("GET", "/broken")


async def test_a_stream_ends_when_the_server_drains() -> None:
    parts = parts_of()

    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"data\n\n"
            await parts.changes.wait("news", 20)

    async def stream(call: Call) -> Reply:
        return Reply(stream=forever())

    async with serving(parts, (row("/stream", stream, streams=True),)) as client:
        reading = asyncio.create_task(client("GET", "/stream"))
        await asyncio.sleep(0.1)
        parts.changes.drain()
        answer = await asyncio.wait_for(reading, 2)
        assert answer.body == b"data\n\ndata\n\n"


async def test_a_client_that_stops_reading_is_cut_off() -> None:
    async def large(call: Call) -> Reply:
        return Reply(body=b"x" * 30_000_000)

    routes = (row("/large", large, reply=bytes),)
    parts = limited(request_time=Duration(0.3))
    async with serving(parts, routes) as client:
        port = int(client.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(1.0)
        received = 0
        with suppress(ConnectionError):
            while chunk := await reader.read(1_000_000):
                received += len(chunk)
        assert received < 30_000_000
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_the_public_url_is_what_was_configured() -> None:
    config = Config(server=ServerConfig(public_url="https://remit.corp.com"))
    async with serving(parts_of(config=config), ROUTES) as client:
        assert (await client("GET", "/orders")).json["base"] == "https://remit.corp.com"
    async with serving(parts_of(), ROUTES) as client:
        answer = await client("GET", "/orders", headers={"Host": "x y\u00e9"})
        assert answer.json["base"] == "http://localhost"


async def test_requests_are_measured() -> None:
    seen: list[tuple[str, int]] = []

    class Notes:
        def answered(self, route: Route, status: int, seconds: float) -> None:
            assert seconds >= 0
            seen.append((route.path, status))

    async with serving(parts_of(measures=Notes()), ROUTES) as client:
        await client("GET", "/orders")
        await client("GET", "/orders?x=1")
        await client("GET", "/none")
    assert seen == [("/orders", 200), ("/orders", 400)]


def test_two_routes_for_the_same_requests_are_refused() -> None:
    parts = parts_of()
    with pytest.raises(ValueError, match="two such routes"):
        HttpApi(parts, (row("/a/{id}"), row("/a/{name}")))
    with pytest.raises(ValueError, match="begins with /"):
        HttpApi(parts, (row("a"),))
    parts.store.close()
