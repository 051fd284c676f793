"""Hooks in hosts' configurations: written once, shown truly, taken out byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coding_agents import reviewed
from hooked import REMIT

from remit.cli import app
from remit.hooks.answers import EVENTS
from remit.hooks.hosts import HOSTS, HookHost, host_of

OTHER = 'remit: 1\nagents: {other: {}}\nrules: [{id: all, tools: ["*"], effect: allow}]\n'
EVERY = pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
BEFORE = {
    "claude-code": '{"model": "x",  "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": '
    '[{"type": "command", "command": "mine"}]}]}}\n',
    "codex": '{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "mine"}]}]}}',
    "gemini": '// my settings\n{"theme": "dark", "hooks": {"BeforeTool": []},}\n',
    "cursor": '{"version": 1, "hooks": {"stop": [{"command": "mine"}]}}\n',
}


Run = Callable[..., str]


@pytest.fixture
def remit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``remit hooks ARGUMENTS`` in a home, and gives what it prints."""
    monkeypatch.delenv("CODEX_HOME", raising=False)

    def run(home: Path, *arguments: str, code: int = 0) -> str:
        monkeypatch.setenv("HOME", str(home))
        ended = app.run(["hooks", *arguments])
        told = capsys.readouterr()
        assert ended == code, told.out + told.err
        return told.out + told.err

    return run


def state(remit: Run, home: Path, host: HookHost, code: int) -> dict[str, Any]:
    [row] = json.loads(remit(home, "status", host.name, "--json", code=code))["hosts"]
    return dict(row)


def given(home: Path, host: HookHost) -> Path:
    path = host.place(home)
    path.parent.mkdir(parents=True)
    if host.name in BEFORE:
        path.write_text(BEFORE[host.name])
        path.chmod(0o640)
    return path


@EVERY
def test_install_status_and_uninstall(host: HookHost, remit: Run, tmp_path: Path) -> None:
    path = given(tmp_path, host)
    assert state(remit, tmp_path, host, 1)["problems"] == ["not installed"]
    # Codex runs hooks once its user has reviewed them; that is not claimed before.
    good = 1 if host.name == "codex" else 0
    remit(tmp_path, "install", host.name, "--user", "ada", code=good)
    written = path.read_text()
    assert all(event in written for event in EVENTS[host.name])
    if host.name in BEFORE:
        assert "mine" in written or "dark" in written
        assert path.stat().st_mode & 0o777 == 0o640
    remit(tmp_path, "install", host.name, "--user", "ada", code=good)
    assert path.read_text() == written
    row = state(remit, tmp_path, host, good)
    assert row["stays_open"]
    assert row["protected"] is not (host.name == "codex")
    remit(tmp_path, "uninstall", host.name)
    if host.name in BEFORE:
        assert path.read_text() == BEFORE[host.name]
    else:
        assert not path.exists()
    assert [each.name for each in path.parent.iterdir() if "remit" in each.name] == []


def test_other_options_replace_what_was_installed(remit: Run, tmp_path: Path) -> None:
    host = host_of("claude-code")
    path = given(tmp_path, host)
    remit(tmp_path, "install", host.name, "--user", "ada")
    remit(tmp_path, "install", host.name, "--user", "ada", "--wait", "20")
    hooks = json.loads(path.read_text())["hooks"]
    commands = [each["command"] for group in hooks["PreToolUse"] for each in group["hooks"]]
    assert len(commands) == 2
    assert commands[0] == "mine"
    assert "--wait 20" in commands[1]
    assert hooks["PreToolUse"][1]["hooks"][0]["timeout"] == 65
    remit(tmp_path, "uninstall", host.name)
    assert path.read_text() == BEFORE[host.name]


def test_a_file_that_was_changed_since_keeps_its_changes(remit: Run, tmp_path: Path) -> None:
    host = host_of("claude-code")
    path = given(tmp_path, host)
    remit(tmp_path, "install", host.name, "--user", "ada")
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "added": True}))
    remit(tmp_path, "uninstall", host.name)
    left = json.loads(path.read_text())
    assert left == {**json.loads(BEFORE[host.name]), "added": True}


def test_a_hook_that_was_taken_out_is_seen(remit: Run, tmp_path: Path) -> None:
    host = host_of("gemini")
    path = given(tmp_path, host)
    remit(tmp_path, "install", host.name, "--user", "ada")
    settings = json.loads(path.read_text())
    del settings["hooks"]["BeforeTool"]
    path.write_text(json.dumps(settings))
    assert state(remit, tmp_path, host, 1)["problems"] == ["no hook for BeforeTool"]


def test_a_program_that_is_gone_still_refuses_and_one_that_lets_through_is_seen(
    remit: Run, tmp_path: Path
) -> None:
    host = host_of("copilot")
    path = given(tmp_path, host)
    remit(tmp_path, "install", host.name, "--user", "ada")
    whole = path.read_text()
    path.write_text(whole.replace(str(REMIT), "/nowhere/remit"))
    [problem] = state(remit, tmp_path, host, 1)["problems"]
    assert "is remit still where it was" in problem
    path.write_text(whole.replace(f"{sys.executable} -I {REMIT}", "echo '{}' ;: "))
    assert "did not refuse" in state(remit, tmp_path, host, 1)["problems"][0]


def test_codex_is_not_called_protected_before_it_trusts_the_hooks(
    remit: Run, tmp_path: Path
) -> None:
    """The digests are those that Codex itself gives; it runs with them in test_coding_agents."""
    host = host_of("codex")
    path = given(tmp_path, host)
    assert "reviewed them" in remit(tmp_path, "install", host.name, "--user", "ada", code=1)
    config = path.with_name("config.toml")
    config.write_text(reviewed(path))
    assert state(remit, tmp_path, host, 0)["protected"]
    config.write_text(reviewed(path) + "[features]\nhooks = false\n")
    assert "switched off" in state(remit, tmp_path, host, 1)["problems"][0]
    config.write_text(reviewed(path))
    # Other hooks have to be reviewed anew.
    remit(tmp_path, "install", host.name, "--user", "ada", "--wait", "9", code=1)


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "line 1"), ("[]", "no table"), ('{"hooks": []}', "no table"), ("\ufffe", "line 1")],
)
def test_a_file_that_is_not_understood_is_left_alone(
    text: str, word: str, remit: Run, tmp_path: Path
) -> None:
    path = given(tmp_path, host_of("claude-code"))
    path.write_text(text)
    assert word in remit(tmp_path, "install", "claude-code", "--user", "ada", code=2)
    assert path.read_text() == text


def test_what_cannot_be_installed_says_why(remit: Run, tmp_path: Path) -> None:
    assert "no coding agent is found" in remit(tmp_path, "status", code=2)
    (tmp_path / ".claude").mkdir()
    policy = tmp_path / "remit.yaml"
    assert "remit init" in remit(tmp_path, "install", "--policy", str(policy), code=2)
    policy.write_text(OTHER)
    told = remit(tmp_path, "install", "--policy", str(policy), code=2)
    assert "no agent 'coder'; declared are: other" in told
    assert "is no address" in remit(tmp_path, "install", "--connect", "nowhere", code=2)
    assert not (tmp_path / ".claude" / "settings.json").exists()


def test_a_module_of_the_agents_folder_is_not_loaded(remit: Run, tmp_path: Path) -> None:
    host = host_of("gemini")
    path = given(tmp_path, host)
    remit(tmp_path, "install", host.name, "--user", "ada")
    hook = json.loads(path.read_text())["hooks"]["BeforeTool"][0]["hooks"][0]["command"]
    work = tmp_path / "work"
    (work / "remit").mkdir(parents=True)
    (work / "remit" / "__init__.py").write_text("print('{}')\nraise SystemExit(0)\n")
    for environment in ({}, {"PYTHONPATH": str(work), "PYTHONSTARTUP": str(work / "x.py")}):
        done = subprocess.run(
            ["/bin/sh", "-c", hook],
            input=b"?",
            capture_output=True,
            cwd=work,
            env={**os.environ, **environment},
        )
        assert json.loads(done.stdout)["decision"] == "deny"
    # Without the isolation it is.
    done = subprocess.run(
        ["/bin/sh", "-c", hook.replace(" -I ", " ")],
        input=b"?",
        capture_output=True,
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(work)},
    )
    assert json.loads(done.stdout) == {}


def test_the_first_install_makes_a_policy_that_is_good(remit: Run, tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    remit(tmp_path, "install", "--user", "no")
    folder = tmp_path / ".remit"
    names = sorted(each.name for each in folder.glob("*.yaml"))
    assert names == ["coding-agent-hooks.yaml", "coding-agent.yaml", "remit.yaml"]
    subprocess.run([str(REMIT), "check", str(folder)], check=True, capture_output=True)
    assert folder.stat().st_mode & 0o777 == 0o700
