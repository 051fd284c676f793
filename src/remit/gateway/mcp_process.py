"""An MCP server as a child process: started, spoken to line by line, kept alive, and ended.

The child has an environment of its own choosing only as far as somebody named it: ``PATH``,
``HOME``, and what the configuration says. It leads a process group, so that what it starts ends
with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from msgspec import Struct

_READ = 65_536
_STDERR_LINE = 2_000
_STDERR_LINES = 200
_HEALTHY = 30.0
"""Seconds that a child must have lived for its end to count as the first one."""
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 30.0
_KILL_TIME = 2.0
_SEND_TIME = 30.0
"""Seconds that a child may leave what it is sent unread."""

ALWAYS_PASSED = ("PATH", "HOME")
"""Variables that every child gets: without them it finds neither programs nor its own files."""


class ChildSettings(Struct, frozen=True, kw_only=True):
    """How to run a server."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    """All of its environment, but for ``ALWAYS_PASSED``."""
    cwd: Path | None = None
    max_message: int
    """Bytes of one line."""
    grace: float = 3.0
    """Seconds to end by itself once its input is closed."""
    ready_time: float = 20.0
    """Seconds that a message waits for a child that is being started again."""


class ChildListener(Struct, frozen=True, kw_only=True):
    """Who hears of a child."""

    line: Callable[[bytes], Awaitable[None]]
    """One line of its output, without the line break."""
    ended: Callable[[str], Awaitable[None]]
    """It ended, or was ended, and why."""
    restarted: Callable[[], Awaitable[None]]
    """It runs again; what is sent before this returns goes first."""
    log: Callable[[str], None]
    """Its errors, and what happens to it, line by line."""


class ChildServer:
    """One server process, run again with growing pauses when it ends by itself."""

    def __init__(self, settings: ChildSettings, listener: ChildListener) -> None:
        self._settings = settings
        self._listener = listener
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._stopping = False
        self.stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        """The last lines of its standard error."""
        self.starts = 0

    @property
    def grace(self) -> float:
        """Seconds that it has to end by itself once its input is closed."""
        return self._settings.grace

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        await self._spawn()
        self._ready.set()
        self._running = asyncio.create_task(self._run())

    async def send(self, data: bytes) -> None:
        """Send a message. Waits while the child is slow to read, or is being started again.

        Raises:
            OSError: it does not run, or no longer reads.
        """
        if not self._ready.is_set():
            await self._wait_ready()
        await self.send_now(data)

    async def send_now(self, data: bytes) -> None:
        """Send a message to a child that has just been started.

        Raises:
            OSError: as ``send``.
        """
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            raise ConnectionError("the server does not run")
        # No reader may take one message for two, whatever it takes for the end of a line.
        if b"\n" in data or b"\r" in data:
            data = data.replace(b"\n", b" ").replace(b"\r", b" ")
        process.stdin.write(data + b"\n")
        try:
            async with asyncio.timeout(_SEND_TIME):
                await process.stdin.drain()
        except TimeoutError:
            raise ConnectionError("the server does not read what it is sent") from None

    async def stop(self) -> None:
        """End it: close its input, wait, then end its whole process group."""
        self._stopping = True
        await self.close_input()
        process, running = self._process, self._running
        if running is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.grace):
                    await asyncio.shield(running)
        if process is not None:
            await self._end(process)
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def close_input(self) -> None:
        """Close its standard input: the polite way to ask it to end. It is not run again."""
        self._stopping = True
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()

    async def ended(self) -> None:
        """Wait until it has ended and is not run again."""
        if self._running is not None:
            await asyncio.shield(self._running)

    async def _wait_ready(self) -> None:
        if self._stopping:
            raise ConnectionError("the server has ended")
        try:
            async with asyncio.timeout(self._settings.ready_time):
                await self._ready.wait()
        except TimeoutError:
            raise ConnectionError("the server is not running again yet; try later") from None

    async def _spawn(self) -> None:
        settings = self._settings
        passed = {name: os.environ[name] for name in ALWAYS_PASSED if name in os.environ}
        self.starts += 1
        self._process = await asyncio.create_subprocess_exec(
            *settings.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**passed, **settings.env},
            cwd=settings.cwd,
            start_new_session=True,
            limit=_READ,
        )

    async def _run(self) -> None:
        """Read until the child ends, and start it again."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            process, started = self._process, loop.time()
            assert process is not None
            why = await self._read(process)
            self._ready.clear()
            await self._end(process)
            self._listener.log(f"{why}; exit status {process.returncode}")
            await self._listener.ended(self._told(why))
            if loop.time() - started > _HEALTHY:
                pause = _FIRST_PAUSE
            while not self._stopping:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                if await self._again():
                    break
            if self._stopping:
                return

    async def _again(self) -> bool:
        """Whether it runs again."""
        try:
            await self._spawn()
            await self._listener.restarted()
        except OSError as error:
            self._listener.log(f"cannot be started again: {error}")
            return False
        self._ready.set()
        return True

    def _told(self, why: str) -> str:
        last = next((line for line in reversed(self.stderr) if line.strip()), "")
        return f"{why} (it last said: {last[:300]})" if last else why

    async def _read(self, process: asyncio.subprocess.Process) -> str:
        """Read its output to the end; why it ended."""
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(self._read_errors(process.stderr))
        try:
            return await self._read_lines(process.stdout)
        finally:
            done, _ = await asyncio.wait((errors,), timeout=0.2)
            if not done:  # a grandchild may hold it open
                errors.cancel()
                await asyncio.gather(errors, return_exceptions=True)

    async def _read_lines(self, stdout: asyncio.StreamReader) -> str:
        held = bytearray()
        while chunk := await stdout.read(_READ):
            start, end = 0, chunk.find(b"\n")
            while end >= 0:
                held += chunk[start:end]
                line = bytes(held).strip()
                held.clear()
                start, end = end + 1, chunk.find(b"\n", end + 1)
                if line:
                    await self._listener.line(line)
            held += chunk[start:]
            if len(held) > self._settings.max_message:
                return f"the server sent a line of more than {self._settings.max_message:,} bytes"
        return "the server ended" if self._stopping else "the server closed its output"

    async def _read_errors(self, stderr: asyncio.StreamReader) -> None:
        """Keep what it says on standard error; lines are cut, old ones forgotten."""
        held = b""
        while chunk := await stderr.read(_READ):
            *lines, held = (held + chunk).split(b"\n")
            if len(held) > _STDERR_LINE:
                lines.append(held)
                held = b""
            for line in lines:
                self._keep(line)
        self._keep(held)

    def _keep(self, line: bytes) -> None:
        text = line[:_STDERR_LINE].decode("utf-8", "replace").rstrip()
        if text:
            self.stderr.append(text)
            self._listener.log(text)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """End a process and its group, and take its exit status."""
        if process.stdin is not None:
            process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                _signal_group(process.pid, number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_KILL_TIME):
                        await process.wait()
        # Whatever it started and left behind goes, too.
        _signal_group(process.pid, signal.SIGKILL)
        transport = getattr(process, "_transport", None)
        if transport is not None:
            transport.close()


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
