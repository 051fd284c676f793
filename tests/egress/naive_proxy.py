"""A forward proxy as many are written: it looks at the first line, and passes on what comes.

Here so that the attacks can be seen to work where nothing is done against them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_DENIED = ("evil.example", "127.0.0.1", "localhost", "169.254.169.254")
_ADMIN = "/admin"


@asynccontextmanager
async def naive_proxy(plain: int, secure: int) -> AsyncIterator[int]:
    """Its port. Every name leads to this machine: to ``plain``, or to ``secure`` by CONNECT."""

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _serve(reader, writer, plain, secure)
        except (OSError, asyncio.IncompleteReadError, IndexError, ValueError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(joined, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plain: int, secure: int
) -> None:
    first = await reader.readline()
    method, target = first.decode("latin-1").split()[:2]
    host = re.sub(r"^[a-z]+://", "", target).split("/")[0].rsplit(":", 1)[0]
    if host in _DENIED or (_ADMIN in target):
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        return
    port = secure if method == "CONNECT" else plain
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    if method == "CONNECT":
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        path = "/" + target.split("://", 1)[-1].partition("/")[2]
        version = first.split()[2] if len(first.split()) > 2 else b"HTTP/0.9"
        far_writer.write(f"{method} {path} ".encode() + version + b"\r\n")
    await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
