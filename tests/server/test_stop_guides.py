"""The blocks of docs/stop-switch.md and of the server's part of docs/approvals.md."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remit.cli.app import run
from remit.config import parse_config
from remit.webhooks.settings import with_secrets
from remit.webhooks.signature import signed_headers

DOCS = Path(__file__).parents[2] / "docs"
POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {}
tools:
  - {match: [db.query], does: read}
rules:
  - {id: reading, tools: [db.query], effect: allow}
"""


def block(guide: str, language: str, holding: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", (DOCS / guide).read_text(), re.DOTALL)
    (found,) = (each for each in blocks if holding in each)
    return found


def test_the_program_of_the_stop_switch(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(POLICY)
    program = block("stop-switch.md", "python", "stopped")
    (tmp_path / "program.py").write_text(program)

    def ran() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "program.py"], capture_output=True, text=True)

    assert ran().returncode == 0
    assert run(["stop", "--all", "--reason", "a drill", "--wait", "0"]) == 0
    stopped = ran()
    assert stopped.returncode == 1
    assert "a drill" in stopped.stderr


def test_the_commands_of_the_stop_switch(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(POLICY)
    subprocess.run([sys.executable, "-c", block("stop-switch.md", "python", "stopped")], check=True)
    commands = (DOCS / "stop-switch.md").read_text().partition("```\n")[2].partition("```")[0]
    for line in commands.splitlines():
        words = line.partition("#")[0].replace("'", "").replace('"', "").split()
        assert words[0] == "remit"
        rest = ["--wait", "0"] if words[1] == "stop" else []
        reason = words.index("--reason") if "--reason" in words else len(words)
        assert run([*words[1:reason], *rest]) == 0, line
    assert "everything" in capsys.readouterr().out


def test_the_webhooks_of_the_guide(tmp_path) -> None:
    text = block("approvals.md", "toml", "[[webhooks]]")
    webhooks = parse_config(text, "remit.toml", tmp_path).webhooks
    known = {
        "REMIT_WEBHOOK_AUDIT_SECRET": "a secret of twenty-four bytes or more",
        "REMIT_WEBHOOK_CHAT_URL": "https://hooks.slack.com/services/T/B/x",
    }
    audit, chat = with_secrets(webhooks, known.get)
    assert not audit.settings.arguments
    assert chat.key is None


@pytest.mark.parametrize("age", [0, 299, 301, -301])
def test_the_verifier_of_the_guide(age: int) -> None:
    space: dict = {}
    exec(block("approvals.md", "python", "genuine"), space)
    key, body = b"k" * 32, b'{"id":"m"}'
    headers = signed_headers(key, "m", int(time.time()) - age, body)
    assert space["genuine"](key, headers, body) is (abs(age) < 300)
    assert not space["genuine"](key, headers, body + b" ")
    assert not space["genuine"](b"x" * 32, headers, body)
