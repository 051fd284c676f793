"""What may be between a node and its database: passes bytes on, cuts, or holds everything."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path


class DroppingProxy:
    """A TCP port in front of the Unix socket of a PostgreSQL server.

    Attributes:
        chance: of a connection to be cut after a message to the server, before its answer is back.
        holding: whether it takes everything and passes nothing on.
        cuts: how many connections were cut in the middle.
    """

    def __init__(self, folder: Path, seed: int = 10) -> None:
        self.chance = 0.0
        self.holding = False
        self.cuts = 0
        self.at_commit = ""
        """``before``: the next commit does not arrive; ``after``: its answer does not."""
        self._socket = folder / ".s.PGSQL.5432"
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen; on which port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """End, with all that is under way."""
        if self._server is not None:
            self._server.close()
        self.cut_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Cut every connection now."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back, True), self._pass(there, writer, False))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in (writer, back):
                self._writers.discard(each)
                each.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asks: bool
    ) -> None:
        while data := await reader.read(1 << 16):
            while self.holding:
                await asyncio.sleep(0.05)
            if self.at_commit == ("before" if asks else "after") and b"COMMIT\0" in data:
                self.at_commit = ""
                self.cuts += 1
                raise ConnectionResetError
            writer.write(data)
            with suppress(OSError):
                await writer.drain()
            if asks and self.chance and self._random.random() < self.chance:
                self.cuts += 1
                # What was asked arrives and is carried out; nobody hears of it.
                await asyncio.sleep(self._random.choice((0.0, 0.001, 0.005)))
                raise ConnectionResetError
        raise ConnectionResetError
