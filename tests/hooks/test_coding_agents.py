"""The contract of the hooks, in the real coding agents: whether a tool ran is what its file says.

``make test-adapters`` runs all agents, CI two of them, with fewer of the ways to break a hook.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import coding_agents
import pytest
from coding_agents import AGENTS, IN_CI, CodingAgent
from hooked import hook_server

from remit.audit.record import parse_record
from remit.hooks.answers import EVENTS
from remit.hooks.hosts import host_of
from remit.hooks.installing import HookCommand, HookFile, with_hooks
from remit.storage.sqlite import SqliteStore

ALL = os.environ.get("REMIT_ADAPTERS") == "all"
CHOSEN = tuple(AGENTS) if ALL else IN_CI
REMIT = Path(sys.executable).with_name("remit")
EVERY = pytest.mark.parametrize("agent", [AGENTS[name] for name in CHOSEN], ids=lambda a: a.name)
WAYS = {
    "crash": "#!/bin/sh\nexit 1\n",
    "killed": "#!/bin/sh\nkill -9 $$\n",
    "garbage": "#!/bin/sh\necho garbage\n",
    "silent": "#!/bin/sh\nexit 0\n",
    "silent-2": "#!/bin/sh\nexit 2\n",
    "missing": None,
}
"""What a program that is not Remit does, by the way in which a hook breaks."""
IN_CI_WAYS = ("crash", "garbage", "missing")


def remit(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("CODEX_HOME", None)
    return subprocess.run(
        [str(REMIT), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def install(home: Path, agent: CodingAgent, *options: str) -> None:
    home.mkdir(exist_ok=True)
    done = remit(home, "hooks", "install", agent.name, "--user", "ada", *options)
    assert home.joinpath(*host_of(agent.name).place(Path("/")).parts[1:]).exists(), done.stderr


def outcomes(home: Path) -> list[str]:
    """What the log says of results, in order."""
    with SqliteStore(home / ".remit" / "remit.db") as store:
        records = store.read(
            lambda view: [parse_record(each.body) for each in view.records(0, view.log_size())]
        )
    return [str(each.status) for each in records if each.kind == "outcome"]


@EVERY
def test_allowed_calls_run_and_denied_ones_do_not(agent: CodingAgent, tmp_path: Path) -> None:
    home = tmp_path / "home"
    install(home, agent)
    ran = agent.run(
        home,
        tmp_path / "work",
        [
            agent.shell("touch allowed"),
            [agent.shell("touch forced && git push --force"), agent.shell("touch beside")],
        ],
    )
    assert ran.did("allowed"), ran.output
    assert ran.did("beside"), ran.output
    assert not ran.did("forced")
    # The model reads why, and goes on.
    assert any("force-push" in told and "rewrites what others have" in told for told in ran.told)
    assert ran.requests == 3
    assert outcomes(home) == ["ok", "ok"]


@EVERY
def test_without_hooks_the_same_call_runs(agent: CodingAgent, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    calls = [agent.shell("touch forced && git push --force")]
    assert agent.run(tmp_path / "home", tmp_path / "work", calls).did("forced")


@EVERY
@pytest.mark.parametrize("way", WAYS if ALL else IN_CI_WAYS)
def test_a_broken_hook_stops_the_tool(agent: CodingAgent, way: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    program = broken(tmp_path, way)
    host = host_of(agent.name)
    command = HookCommand(program=(str(program),), options=("--agent", "coder"))
    HookFile(host, host.place(home)).install(command, json.loads)
    ran = agent.run(home, tmp_path / "work", [agent.shell("touch ran")])
    assert not ran.did("ran"), ran.output
    assert ran.requests == 2


@pytest.mark.parametrize("name", [name for name in CHOSEN if AGENTS[name].opens_on_crash])
def test_a_plain_command_would_have_let_it_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same crash without the shell around the command: what the hosts do by themselves."""
    agent, home = AGENTS[name], tmp_path / "home"
    host, program = host_of(name), broken(tmp_path, "crash")
    command = HookCommand(program=(str(program),), options=("--agent", "coder"))
    written = with_hooks(host, {}, command)
    for entries in written["hooks"].values():
        for group in entries:
            for entry in group["hooks"]:
                entry["command"] = str(program)
                entry.pop("onFailure", None)
    path = host.place(home)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(written))
    assert agent.run(home, tmp_path / "work", [agent.shell("touch ran")]).did("ran")


@EVERY
def test_no_server_no_tool(agent: CodingAgent, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    home = tmp_path / "home"
    install(home, agent, "--connect", f"http://127.0.0.1:{port}")
    ran = agent.run(home, tmp_path / "work", [agent.shell("touch ran")])
    assert not ran.did("ran"), ran.output
    assert any("does not answer" in told for told in ran.told)


@EVERY
def test_a_server_decides(agent: CodingAgent, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hook_server(tmp_path / "s") as server:
        install(home, agent, "--connect", f"unix://{server.socket}")
        calls = [agent.shell("touch allowed"), agent.shell("touch forced && git push --force")]
        ran = agent.run(home, tmp_path / "work", calls)
    assert ran.did("allowed"), ran.output
    assert not ran.did("forced")
    assert any("force-push" in told for told in ran.told)


def test_codex_runs_no_hook_that_was_not_reviewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is why ``remit hooks status`` does not call it protected then."""
    home, agent = tmp_path / "home", AGENTS["codex"]
    install(home, agent)
    monkeypatch.setattr(coding_agents, "reviewed", lambda path: "")
    assert agent.run(home, tmp_path / "one", [agent.shell("touch x && git push -f")]).did("x")
    assert "NOT protected" in remit(home, "hooks", "status", "codex").stdout
    monkeypatch.undo()
    assert not agent.run(home, tmp_path / "two", [agent.shell("touch x && git push -f")]).did("x")
    assert "Codex  protected" in remit(home, "hooks", "status", "codex").stdout


RESULTS = """
remit: 1
default: deny
agents:
  coder: {}
people:
  ada: {}
tools:
  - {match: [shell.run], does: execute}
rules:
  - {id: commands, tools: [shell.run], effect: allow}
  - id: says-so
    tools: [shell.run]
    when: args.command == "echo public"
    effect: allow
    obligations: [{rewrite: {args.command: 'args.command + "; echo rewritten"'}}]
  - id: nothing-secret
    tools: [shell.run]
    on: result
    when: result.output.contains("hunter2")
    effect: deny
    because: Passwords are not shown to models.
"""


@EVERY
def test_results_are_withheld_and_arguments_rewritten(agent: CodingAgent, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "remit.yaml").write_text(RESULTS)
    install(home, agent, "--policy", str(tmp_path / "remit.yaml"))
    calls = [agent.shell("touch ran; echo hunter2"), agent.shell("echo public")]
    ran = agent.run(home, tmp_path / "work", calls)
    assert ran.did("ran"), ran.output
    assert not any("hunter2" in told for told in ran.told), ran.told
    assert any("Passwords are not shown" in told for told in ran.told)
    assert any("rewritten" in told for told in ran.told)


def broken(folder: Path, way: str) -> Path:
    program, text = folder / "broken-remit", WAYS[way]
    if text is not None:
        program.write_text(text)
        program.chmod(0o755)
    return program


def test_every_host_with_a_program_is_driven() -> None:
    assert set(AGENTS) == {name for name in EVENTS if host_of(name).tested}
