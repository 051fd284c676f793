"""The blocks of docs/coding-agents.md run as they stand; its table is that of the declarations."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from coding_agents import installed
from hooked import REMIT, Claude, HookServer, RunningServe, policy_in

from remit.hooks.hosts import HOSTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coding-agents.md"
MARK = "REMIT_GOLDEN=write renews it -->\n"


def block(kind: str, containing: str) -> str:
    found = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [text] = [each for each in found if containing in each]
    return str(text)


def shell(home: Path, text: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home), "PATH": f"{REMIT.parent}:{os.environ['PATH']}"}
    command = ["/bin/sh", "-e", "-c", text]
    return subprocess.run(
        command, env=environment, cwd=home, capture_output=True, text=True, check=False
    )


def table() -> str:
    lines = [
        "| | results that policy withholds or redacts | by itself, on a broken hook | stays open |"
    ]
    lines.append("|---|---|---|---|")
    for host in HOSTS:
        untested = "" if host.tested else " (format only)"
        name = f"**{host.title}**{untested}"
        lines.append(f"| {name} | {host.redacts} | {host.fails} | {' '.join(host.open)} |")
    return "\n" + "\n".join(lines) + "\n"


def test_the_table_is_that_of_the_declarations() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, mark, rest = page.partition(MARK)
    after = rest[rest.index("\nNo hook is a wall") :]
    if os.environ.get("REMIT_GOLDEN") == "write":
        PAGE.write_text(before + mark + table() + after, encoding="utf-8")
    assert page == before + mark + table() + after


def test_start(tmp_path: Path) -> None:
    done = shell(tmp_path, block("sh", "remit hooks status"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Claude Code  protected") == 2
    look = block("sh", "remit tail").replace("remit tail", "timeout 2 remit tail")
    assert (tmp_path / ".remit" / "remit.yaml").exists()
    claude = Claude(tmp_path / "work", "--policy", str(tmp_path / ".remit"))
    claude.options = ("--agent", "coder", "--policy", str(tmp_path / ".remit"))
    assert "waits for approval" in claude.command("npm publish")
    with (tmp_path / ".remit" / "remit.toml").open("a") as settings:
        settings.write("[server]\nlisten = []\n")
    server = RunningServe(tmp_path / ".remit")
    socket = f"unix://{tmp_path}/.remit/remit.sock"
    asked = Claude(tmp_path / "work", "--connect", socket)
    asked.options = ("--agent", "coder", "--connect", socket)
    assert asked.command("echo hello") == ""
    server.stop()
    approvals = look.splitlines()[1]
    assert "shell.run" in shell(tmp_path, approvals).stdout


def test_a_document_of_ones_own(tmp_path: Path) -> None:
    policy = policy_in(tmp_path / "policy", block("yaml", "not-the-lock-file"))
    claude = Claude(tmp_path / "work", "--policy", str(policy))
    written = {"file_path": "requirements.lock", "content": "x"}
    assert "not-the-lock-file" in claude.before("Write", written)
    assert "must approve" in claude.before("mcp__github__create_issue", {"title": "x"})
    assert claude.before("mcp__github__get_issue", {"number": 1}) == ""
    shown = claude.after("mcp__github__get_issue", {"number": 1}, "words")
    assert shown == {}
    quoted = {"title": "words"}
    assert "after-untrusted" in claude.before("mcp__github__create_issue", quoted)
    given = {"command": "cat people.txt"}
    assert claude.before("Bash", given) == ""
    result = {"stdout": "grace@customer.example", "stderr": "", "interrupted": False}
    told = claude.after("Bash", given, result)["hookSpecificOutput"]["updatedToolOutput"]
    assert "customer.example" not in told["stdout"]
    assert "not for models" in told["stdout"]


def test_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = HookServer(tmp_path / "s")
    server.stop()
    written = block("toml", "[[identity.peers]]").replace("uid = 1000", f"uid = {os.getuid()}")
    (server.folder / "remit.toml").write_text(written)
    server.start()
    try:
        home = tmp_path / "home"
        (home / ".config").mkdir(parents=True)
        shutil.copy(server.key_file, home / ".config" / "coder.key")
        text = block("sh", "--connect").replace("/srv/remit", str(server.folder))
        for line in text.replace("http://127.0.0.1:8700", server.url).splitlines():
            assert shell(home, line).returncode == 0, line
            settings = (home / ".claude" / "settings.json").read_text()
            assert "--connect" in settings
        claude = Claude(tmp_path / "work", *server.ways["unix"])
        assert claude.command("echo hello") == ""
    finally:
        server.stop()


def test_agent_hooks(tmp_path: Path) -> None:
    (tmp_path / "remit.yaml").write_text(
        "remit: 1\nagents: {coder: {}}\npeople: {ada: {}}\n"
        'rules: [{id: all, tools: ["*"], effect: allow}]\n'
    )
    program = block("python", "RemitInterceptor") + "guard.close()\n"
    python = installed("agent-hooks") / "bin" / "python"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [str(python), "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
