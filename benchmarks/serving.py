"""A real ``remit serve`` process, for load: started, watched from outside, stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

CONFIG = '[server]\nlisten = ["127.0.0.1:0"]\nsocket = ""\n'
AGENT = "bot"
_START = 30.0
"""Seconds that a server may take to listen."""


def prepare(folder: Path, policy: str) -> str:
    """Write policy and configuration, and make the key of the agent; its text."""
    (folder / "remit.yaml").write_text(policy, encoding="utf-8")
    (folder / "remit.toml").write_text(CONFIG, encoding="utf-8")
    return key_of(folder)


def key_of(folder: Path, agent: str = AGENT) -> str:
    """Make a key of an agent in the store of a folder; its text."""
    command = [sys.executable, "-m", "remit", "agents", "add", agent, "--json"]
    key: str = json.loads(subprocess.check_output(command, cwd=folder))["key"]
    return key


class ServerProcess:
    """One process of ``remit serve`` in a folder that was prepared. It listens once made."""

    def __init__(self, folder: Path, program: Sequence[str] = ("-m", "remit", "serve")) -> None:
        """Start it: ``program`` is what Python is to run."""
        log = folder / "server.log"
        written = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stream:
            self.process = subprocess.Popen([sys.executable, *program], cwd=folder, stderr=stream)
        address = urlsplit(self._listening(log, written))
        assert address.hostname is not None
        assert address.port is not None
        self.host, self.port = address.hostname, address.port

    def _listening(self, log: Path, written: int) -> str:
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in log.read_bytes()[written:].splitlines(keepends=True):
                if line.endswith(b"\n") and b'"listening"' in line:
                    url: str = json.loads(line)["urls"][0]
                    return url
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"the server does not listen:\n{log.read_text()[-4000:]}")

    def rss(self) -> int:
        """Resident memory, bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the server has no memory: it has ended")

    def cpu(self) -> float:
        """Processor seconds that it used until now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in good order.

        Raises:
            RuntimeError: it did not end well.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError("the server did not end within 30 s") from None
        if code != 0:
            raise RuntimeError(f"the server ended with {code}")
