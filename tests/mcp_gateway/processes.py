"""Real processes for the tests: started, waited for, ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START = 30.0
"""Seconds that a process may take until it listens."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str], log: Path, *, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in ``log``; end it, and what it started, with the block."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def listening(
    command: Sequence[str], port: int, log: Path, *, cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The same of a command that listens on a port, once it does."""
    with running(command, log, cwd=cwd) as process:
        deadline = time.monotonic() + START
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command} does not listen:\n{log.read_text()}") from None
                time.sleep(0.02)
        yield process


def remit(folder: Path, *arguments: str) -> str:
    """Run a command of the CLI in a folder; what it printed.

    Raises:
        AssertionError: it failed.
    """
    command = [sys.executable, "-m", "remit", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def remit_json(folder: Path, *arguments: str) -> object:
    """The same with ``--json``, read."""
    return json.loads(remit(folder, *arguments, "--json"))
