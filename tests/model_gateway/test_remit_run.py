"""``remit run --models``: a program that knows nothing of Remit, its models behind the gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from model_world import POLICY
from scripted_models import KEY, Call, Script, ScriptedModels

from remit.audit.record import Record, parse_record
from remit.storage.sqlite import SqliteStore

CONFIG = """
[server]
listen = ["127.0.0.1:{port}"]
socket = ""
[[models]]
name = "openai"
format = "openai"
url = "{url}"
[[models]]
name = "anthropic"
format = "anthropic"
url = "{url}"
[[models]]
name = "gemini"
format = "gemini"
url = "{url}"
"""
AGENT = """
import anthropic, json, openai, os
from google import genai
tools = [{"type": "function", "function": {"name": "read_note", "parameters": {"type": "object"}}}]
asked = [{"role": "user", "content": "go"}]
openai_said = openai.OpenAI().chat.completions.create(model="gpt-a", messages=asked, tools=tools)
claude = anthropic.Anthropic().messages.create(model="claude-a", max_tokens=9, messages=asked)
google = genai.Client()
gemini = google.models.generate_content(model="gemini-a", contents="go")
print(json.dumps({
    "calls": [c.function.name for c in openai_said.choices[0].message.tool_calls or ()],
    "claude": claude.content[0].text, "gemini": gemini.text,
    "left": sorted(n for n in os.environ if n.startswith("REMIT_")),
    "keys": [os.environ[n] for n in os.environ if n.endswith("_API_KEY")],
}))
raise SystemExit(7)
"""


@pytest.fixture
def models() -> Iterator[ScriptedModels]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    found = ScriptedModels()
    found.script = lambda seen: Script(
        parts=(Call("read_note", {"name": "x"}),) if seen["body"].get("tools") else ("hello",)
    )
    asyncio.run_coroutine_threadsafe(found.start(), loop).result(10)
    yield found
    asyncio.run_coroutine_threadsafe(found.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def prepare(folder: Path, models: ScriptedModels) -> None:
    """Policy, configuration and a store."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    (folder / "remit.yaml").write_text(POLICY)
    (folder / "remit.toml").write_text(CONFIG.format(port=port, url=models.url))
    (folder / "agent.py").write_text(AGENT)
    remit(folder, "agents", "add", "somebody")


def remit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    names = ("OPENAI", "ANTHROPIC", "GEMINI")
    keys = {f"REMIT_MODEL_{name}_KEY": KEY for name in names}
    return subprocess.run(
        [sys.executable, "-m", "remit", *arguments],
        cwd=folder,
        env={**os.environ, **keys, "OPENAI_API_KEY": "sk-own"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def records(folder: Path) -> list[Record]:
    with SqliteStore(folder / "remit.db") as store:
        return store.read(
            lambda view: [parse_record(each.body) for each in view.records(0, view.log_size())]
        )


def test_a_program_is_governed_without_a_change(tmp_path: Path, models: ScriptedModels) -> None:
    prepare(tmp_path, models)
    command = ("run", "--models", "--agent", "inventory-bot", "--intent", "count the bolts", "--")
    done = remit(tmp_path, *command, sys.executable, "agent.py")
    assert done.returncode == 7, done.stderr
    said = json.loads(done.stdout)
    assert (said["calls"], said["claude"], said["gemini"]) == (["read_note"], "hello", "hello")
    assert said["left"] == ["REMIT_SESSION"]
    assert all(key.startswith("biscuit_") for key in said["keys"])
    assert {KEY in str(each["headers"]) for each in models.seen} == {True}
    found = records(tmp_path)
    decisions = [each for each in found if each.kind == "decision"]
    assert {each.session for each in decisions} == {decisions[0].session}
    assert [each.tool for each in decisions] == [
        "model.openai.gpt-a",
        "read_note",
        "model.anthropic.claude-a",
        "model.gemini.gemini-a",
    ]
    assert [each.status for each in found if each.kind == "session"] == ["started", "ended"]
    # The key that was made for it is worth nothing any more, and no server was left behind.
    listed = remit(tmp_path, "agents", "list", "--json").stdout
    assert "inventory-bot" not in listed
    again = remit(tmp_path, *command, sys.executable, "-c", "print('still works')")
    assert (again.returncode, again.stdout) == (0, "still works\n")


def test_signals_are_the_programs_own(tmp_path: Path, models: ScriptedModels) -> None:
    prepare(tmp_path, models)
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\ntime.sleep(30)\n"
    )
    keys = {f"REMIT_MODEL_{name}_KEY": KEY for name in ("OPENAI", "ANTHROPIC", "GEMINI")}
    command = ["run", "--models", "--agent", "inventory-bot", "--", sys.executable, "-c", script]
    with subprocess.Popen(
        [sys.executable, "-m", "remit", *command],
        cwd=tmp_path,
        env={**os.environ, **keys},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 9
    time.sleep(0.1)
    assert records(tmp_path)[-1].kind in ("session", "credential")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--", "true"), "Say what goes through Remit"),
        (("run", "--models", "--", "true"), "Say --agent, one of: inventory-bot, other-bot"),
        (("run", "--models", "--agent", "inventory-bot", "--", "no-such-program"), "cannot be run"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, models: ScriptedModels, arguments: tuple[str, ...], said: str
) -> None:
    prepare(tmp_path, models)
    done = remit(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_without_a_model_api_there_is_nothing_to_run(tmp_path: Path) -> None:
    (tmp_path / "remit.yaml").write_text(POLICY)
    done = remit(tmp_path, "run", "--models", "--", "true")
    assert done.returncode == 2
    assert "no model API is configured" in done.stderr
