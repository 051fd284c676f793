"""A server that takes whatever it is sent, as leniently as old ones do, and counts it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class CountingServer:
    """Keeps the first line and the bytes of every request that reached it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        """Method and target of each request, as it was read."""
        self.bytes = b""
        """All that it was sent."""
        self.answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        self.answers: dict[str, bytes] = {}
        """Answers by target."""
        self.closes = False
        """Whether the connection ends after an answer."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\n\r\n"):
                self.bytes += head
                first, *rest = head.decode("latin-1").splitlines()
                self.lines.append(first.rpartition(" ")[0])
                fields = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in rest)
                }
                # Content-Length goes before Transfer-Encoding here: what smuggling lives on.
                size = int(fields.get("content-length", "0"))
                self.bytes += await reader.readexactly(size)
                writer.write(self.answers.get(self.lines[-1].partition(" ")[2], self.answer))
                await writer.drain()
                if self.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()
