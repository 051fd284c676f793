"""The gateways' HTTP client against servers that answer well, badly, early and not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from multidict import CIMultiDict

from remit.gateway.lean_client import LeanAnswer, LeanClient

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=x\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def client_of(serve: Serve, **settings: float) -> AsyncIterator[LeanClient]:
    writers: list[asyncio.StreamWriter] = []

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(joined, "127.0.0.1", 0, limit=2**26)
    port = server.sockets[0].getsockname()[1]
    client = LeanClient(
        f"http://127.0.0.1:{port}",
        connections=2,
        connect=1.0,
        silence=settings.get("silence", 5.0),
        keep_alive=5.0,
    )
    try:
        yield client
    finally:
        await client.close()
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


class Answering:
    """Answers every request with the same bytes, and keeps what came."""

    def __init__(self, answer: bytes, *, ends: bool = False) -> None:
        self.answer, self.ends = answer, ends
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                self.bodies.append(await reader.readexactly(int(length or 0)))
                writer.write(self.answer)
                await writer.drain()
                if self.ends:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def post(client: LeanClient, body: bytes = b"{}") -> tuple[LeanAnswer, bytes]:
    headers = CIMultiDict({"X-Own": "one"})
    async with await client.send("POST", "/a?b=c", headers, body) as answer:
        return answer, await answer.read()


async def test_requests_share_a_connection_and_carry_what_was_given() -> None:
    serve = Answering(GOOD)
    async with client_of(serve) as client:
        for _ in range(3):
            answer, body = await post(client)
            assert (answer.status, answer.content_type, body) == (200, "text/plain", b"ok")
    assert serve.connections == 1
    assert serve.heads[0].startswith(b"POST /a?b=c HTTP/1.1\r\nX-Own: one\r\nHost: 127.0.0.1:")
    assert serve.bodies == [b"{}"] * 3


async def test_a_large_body_arrives_whole() -> None:
    serve = Answering(GOOD)
    async with client_of(serve) as client:
        large = b"x" * 5_000_000
        _, body = await post(client, large)
        assert body == b"ok"
    assert serve.bodies == [large]


async def test_an_answer_before_the_body_was_read_ends_the_connection() -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(GOOD.replace(b"200 OK", b"413 No"))
        await writer.drain()
        await asyncio.sleep(0.1)  # and reads nothing of the body
        seen.append(writer)
        writer.close()

    async with client_of(serve) as client:
        for _ in range(2):
            answer, body = await post(client, b"x" * 30_000_000)
            assert (answer.status, body) == (413, b"ok")
        await asyncio.sleep(0.3)
    assert len(seen) == 2


async def test_what_comes_before_the_answer_is_not_the_answer() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with client_of(Answering(early + GOOD)) as client:
        answer, body = await post(client)
        assert (answer.status, body) == (200, b"ok")


async def test_an_answer_that_is_let_go_ends_its_connection() -> None:
    serve = Answering(GOOD.replace(b"Length: 2", b"Length: 9"))
    async with client_of(serve) as client:
        answer = await client.send("GET", "/", CIMultiDict(), None)
        answer.close()
        answer.close()
        answer = await client.send("GET", "/", CIMultiDict(), None)
        answer.close()
    assert serve.connections == 2


async def test_an_answer_without_a_length_is_read_to_the_end() -> None:
    serve = Answering(b"HTTP/1.1 200 OK\r\n\r\nto the end", ends=True)
    async with client_of(serve) as client:
        assert (await post(client))[1] == b"to the end"
        assert (await post(client))[1] == b"to the end"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    ],
)
async def test_what_is_no_whole_answer_is_an_error(answer: bytes) -> None:
    async with client_of(Answering(answer, ends=True)) as client:
        with pytest.raises(aiohttp.ClientError):
            await post(client)


async def test_silence_ends_the_wait() -> None:
    async with client_of(Answering(b"HTTP/1.1 200 OK\r\n"), silence=0.1) as client:
        with pytest.raises(TimeoutError):
            await post(client)


async def test_nobody_there_and_headers_that_cannot_be_sent() -> None:
    client = LeanClient(
        "http://127.0.0.1:9", connections=1, connect=1.0, silence=1.0, keep_alive=1.0
    )
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(client)
    await client.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await post(client)
    async with client_of(Answering(GOOD)) as client:
        with pytest.raises(ValueError, match="header"):
            await client.send("GET", "/", CIMultiDict({"X": "a\r\nY: b"}), None)
        assert (await post(client))[1] == b"ok"


async def test_a_request_that_is_given_up_frees_its_place() -> None:
    serve = Answering(b"")
    async with client_of(serve) as client:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await post(client, b"x" * 3_000_000)
        serve.answer = GOOD
        assert (await post(client))[1] == b"ok"
