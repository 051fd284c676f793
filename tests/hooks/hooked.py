"""``remit hook`` as hosts start it, with and without a real ``remit serve``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

REMIT = Path(sys.executable).with_name("remit")
DEPLOYMENT = """
remit: 1
agents:
  coder: {}
people:
  ada: {}
tools:
  - {match: [tracker.read], does: read, returns: [untrusted]}
"""


def policy_in(folder: Path, text: str = DEPLOYMENT) -> Path:
    """A policy folder: the shipped packs, and who is who."""
    folder.mkdir(parents=True, exist_ok=True)
    for pack in ("coding-agent.yaml", "coding-agent-hooks.yaml"):
        shipped = resources.files("remit") / "packs" / pack
        (folder / pack).write_text(shipped.read_text(encoding="utf-8"))
    (folder / "remit.yaml").write_text(text)
    return folder


def ask(
    host: str, event: str, payload: Mapping[str, Any] | bytes, *options: str, **environment: str
) -> dict[str, Any]:
    """What the hook prints for a host's question. It must be JSON, whatever is asked."""
    given = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    done = subprocess.run(
        [str(REMIT), "hook", host, "--event", event, *options],
        input=given,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Claude:
    """One session of Claude Code, as its hooks see it."""

    def __init__(self, folder: Path, *options: str, session: str = "s1") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.session = session
        self.options = ("--agent", "coder", "--user", "ada", *options)
        self._calls = 0

    def before(self, tool: str, given: Mapping[str, Any]) -> str:
        """Why a tool must not run; empty where it may."""
        self._calls += 1
        answer = self._ask("PreToolUse", tool, given, {})
        told = answer.get("hookSpecificOutput", {})
        if told.get("permissionDecision") == "deny":
            return str(told["permissionDecisionReason"])
        assert answer == {}, answer
        return ""

    def after(self, tool: str, given: Mapping[str, Any], result: Any) -> dict[str, Any]:
        """What the host is told of a result."""
        return self._ask("PostToolUse", tool, given, {"tool_response": result})

    def command(self, text: str) -> str:
        """Why a command must not run; where it may, it has run."""
        given = {"command": text}
        refused = self.before("Bash", given)
        if not refused:
            shown = self.after("Bash", given, {"stdout": "", "stderr": "", "interrupted": False})
            assert shown == {}, shown
        return refused

    def says(self, prompt: str) -> None:
        """The user says something."""
        payload = self._common("UserPromptSubmit") | {"prompt": prompt}
        assert ask("claude-code", "UserPromptSubmit", payload, *self.options) == {}

    def _ask(
        self, event: str, tool: str, given: Mapping[str, Any], more: Mapping[str, Any]
    ) -> dict[str, Any]:
        asked = {"tool_name": tool, "tool_input": given, "tool_use_id": f"call-{self._calls}"}
        payload = {**self._common(event), **asked, **more}
        return ask("claude-code", event, payload, *self.options)

    def _common(self, event: str) -> dict[str, Any]:
        common = {"session_id": self.session, "cwd": str(self.folder)}
        return {**common, "hook_event_name": event}


class RunningServe:
    """A real ``remit serve`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.start()

    def start(self) -> None:
        log = self.folder / "server.log"
        log.write_bytes(b"")
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [str(REMIT), "serve"], cwd=self.folder, stderr=stream, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in log.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n") and b'"listening"' in line:
                    self.url = json.loads(line)["urls"][0]
                    return
            time.sleep(0.02)
        raise RuntimeError(log.read_text())

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, (self.folder / "server.log").read_text()


class HookServer(RunningServe):
    """A real ``remit serve`` with the shipped packs."""

    def __init__(self, folder: Path) -> None:
        self.folder = policy_in(folder)
        self.socket = folder / "remit.sock"
        rule = f'uid = {os.getuid()}\nprincipal = "hooks"\nkind = "service"\n'
        (folder / "remit.toml").write_text(
            '[server]\nlisten = ["127.0.0.1:0"]\ndrain = "1s"\n[policy]\npath = "."\n'
            f'[[identity.peers]]\n{rule}rights = ["agent"]\nagents = ["coder"]\n'
        )
        self.key_file = folder / "coder.key"
        added = self._remit("agents", "add", "coder", "--json")
        self.key_file.write_text(json.loads(added)["key"])
        super().__init__(self.folder)

    def _remit(self, *arguments: str) -> str:
        return subprocess.check_output([str(REMIT), *arguments], cwd=self.folder, text=True)

    @property
    def ways(self) -> dict[str, tuple[str, ...]]:
        """How hooks reach it."""
        return {
            "tcp": ("--connect", self.url, "--key-file", str(self.key_file)),
            "unix": ("--connect", f"unix://{self.socket}"),
            "found": ("--policy", str(self.folder), "--socket", str(self.socket)),
        }


@contextmanager
def hook_server(folder: Path) -> Iterator[HookServer]:
    server = HookServer(folder)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
