"""``remit hooks``: coding agents put under Remit, and what of them is protected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import click

from remit.cli import jsonc, rendering
from remit.cli.app import Exit, json_option
from remit.cli.init import os_user
from remit.config import CONFIG_FILE, read_config
from remit.errors import ConfigError
from remit.guard.opening import beside, read_documents
from remit.hooks.answers import BEFORE, EVENTS
from remit.hooks.hosts import HOSTS, HookHost, host_of
from remit.hooks.installing import HookCommand, HookFile
from remit.hooks.trust import unreviewed
from remit.policy import load

NAMES = tuple(host.name for host in HOSTS)
PACKS = ("coding-agent.yaml", "coding-agent-hooks.yaml")
_OWN = """\
# Who your coding agents are, and who may approve what they ask for. The rules are beside this.
remit: 1
agents:
  {agent}: {{}}
people:
  {user}: {{}}
"""
_SERVER = """\
# For `remit serve` in this folder: while it runs, the hooks ask it, over its socket.
[policy]
path = "."

[[identity.peers]]
uid = {uid}
principal = "coding-agents"
kind = "service"
rights = ["agent"]
agents = ["{agent}"]
"""
_PROBE_TIME = 30.0


@click.group()
def hooks() -> None:
    """Put coding agents under Remit by their own hooks."""


def _hosts_argument(command: Any) -> Any:
    return click.argument("names", metavar="[HOST]...", nargs=-1, type=click.Choice(NAMES))(command)


@hooks.command()
@_hosts_argument
@click.option("--agent", default="coder", show_default=True, help="The agent, as in policy.")
@click.option("--user", default=os_user, help="On whose behalf it acts.  [default: the OS user]")
@click.option(
    "--policy",
    "policy",
    type=click.Path(path_type=Path),
    default=None,
    help="Policy document or folder.  [default: ~/.remit, made if it is not there]",
)
@click.option(
    "--connect", "url", default=None, help="A server that decides, and nothing without it."
)
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="File with the agent's API key of that server.",
)
@click.option(
    "--wait",
    type=click.IntRange(0, 60),
    default=0,
    show_default=True,
    help="Seconds that a held call waits for a person before it is refused for now.",
)
@click.option(
    "--trigger",
    type=click.Choice(["user", "untrusted"]),
    default="user",
    show_default=True,
    help="Who starts the agent: a user, or text of strangers (issues, mails).",
)
@json_option
def install(
    names: Sequence[str],
    agent: str,
    user: str,
    policy: Path | None,
    url: str | None,
    key_file: Path | None,
    wait: int,
    trigger: str,
    as_json: bool,
) -> int:
    """Have coding agents ask Remit before each tool call.

    HOST is one of claude-code, codex, gemini, copilot, opencode, cursor; without any, all that are
    found. Each file is kept beside itself as it was. Doing it again changes nothing.
    """
    options = ["--agent", agent, *(["--user", user] if user else [])]
    if trigger != "user":
        options += ["--trigger", trigger]
    if wait:
        options += ["--wait", str(wait)]
    if url is not None:
        options += ["--connect", _checked(url)]
    else:
        options += _local(policy or Path.home() / ".remit", agent, user, made=policy is None)
    if key_file is not None:
        options += ["--key-file", str(key_file.absolute())]
    command = HookCommand(program=_remit(), options=tuple(options), wait=wait)
    files = _files(names)
    for file in files:
        file.install(command, _parse)
    return _tell(files, as_json)


@hooks.command()
@_hosts_argument
@json_option
def status(names: Sequence[str], as_json: bool) -> int:
    """Show which coding agents are under Remit, and what stays open.

    Each hook is started with a question that nobody can decide: it must refuse. Exits with 1 where
    a coding agent that is here is not protected.
    """
    return _tell(_files(names), as_json)


@hooks.command()
@_hosts_argument
@json_option
def uninstall(names: Sequence[str], as_json: bool) -> int:
    """Take Remit's hooks out, and put files back as they were.

    A file that was changed since keeps its changes: only Remit's own entries go.
    """
    files = _files(names)
    for file in files:
        file.uninstall(_parse)
    _tell(files, as_json)
    return Exit.OK


def _files(names: Sequence[str]) -> list[HookFile]:
    """The files of the hosts that were named, or of those that are found here.

    Raises:
        ConfigError: none is found.
    """
    home = Path.home()
    chosen = [host_of(name) for name in names] or [
        host for host in HOSTS if _found(host.place(home), home)
    ]
    if not chosen:
        raise ConfigError(f"no coding agent is found in {home}; name one of {', '.join(NAMES)}")
    return [HookFile(host, host.place(home)) for host in chosen]


def _found(path: Path, home: Path) -> bool:
    """Whether a host has left something of its own beside where its hooks are."""
    if path.is_file() or path.parent.is_dir():
        return True
    # Folders of a host that hold its hooks one level below its own.
    return path.parent.parent not in (home, home / ".config") and path.parent.parent.is_dir()


def _parse(text: str) -> Any:
    return jsonc.parse(text)[0]


def _remit() -> tuple[str, ...]:
    beside_python = Path(sys.executable).with_name("remit")
    # Isolated (-I): the hook starts in the agent's folder, whose files must not become its modules.
    if beside_python.is_file():
        return (sys.executable, "-I", str(beside_python))
    return (sys.executable, "-I", "-m", "remit")


def _checked(url: str) -> str:
    from remit.client import read_endpoint

    read_endpoint(url)
    return url


def _local(policy: Path, agent: str, user: str, *, made: bool) -> list[str]:
    """Options for a policy on this machine: a server beside it, or none.

    Raises:
        ConfigError: there is no such policy, or it does not declare the agent.
        PolicyError: it is faulty.
    """
    policy = policy.absolute()
    if made and not policy.exists():
        _begin(policy, agent, user or "ada")
    policies = load(read_documents(policy))
    if agent not in policies.agents:
        known = ", ".join(sorted(policies.agents)) or "none"
        raise ConfigError(f"{policy}: no agent {agent!r}; declared are: {known}. Say --agent NAME")
    settings = beside(policy, CONFIG_FILE)
    socket = read_config(settings).server.socket if settings.exists() else None
    default = beside(policy, "remit.sock")
    return ["--policy", str(policy), "--socket", str(socket or default)]


def _begin(folder: Path, agent: str, user: str) -> None:
    """Make a policy folder: the shipped rules, and who is who."""
    folder.mkdir(mode=0o700, parents=True)
    for pack in PACKS:
        text = (resources.files("remit") / "packs" / pack).read_text(encoding="utf-8")
        (folder / pack).write_text(text, encoding="utf-8")
    (folder / "remit.yaml").write_text(
        _OWN.format(agent=json.dumps(agent), user=json.dumps(user)), encoding="utf-8"
    )
    settings = _SERVER.format(uid=os.getuid(), agent=agent)
    (folder / CONFIG_FILE).write_text(settings, encoding="utf-8")


def _tell(files: Sequence[HookFile], as_json: bool) -> int:
    rows = [_state(file) for file in files]
    if as_json:
        rendering.print_json({"hosts": rows})
    else:
        for row in rows:
            _show(row)
    return Exit.OK if all(row["protected"] for row in rows) else Exit.FINDINGS


def _state(file: HookFile) -> dict[str, Any]:
    host = file.host
    commands = file.commands(_parse)
    wrong = [f"no hook for {event}" for event in EVENTS[host.name] if event not in commands]
    if len(wrong) == len(EVENTS[host.name]):
        wrong = ["not installed"]
    else:
        wrong += [
            f"the hook for {event} does not answer as it must: {fault}"
            for event, command in commands.items()
            if EVENTS[host.name].get(event) == BEFORE and (fault := _probe(command)) is not None
        ]
        if host.name == "codex":
            wrong += unreviewed(file.path, file.settings(_parse))
    return {
        "host": host.name,
        "file": str(file.path),
        "protected": not wrong,
        "problems": wrong,
        "results": host.redacts,
        "stays_open": list(host.open),
        "tested": host.tested,
    }


def _probe(command: str) -> str | None:
    """Start a hook with what it cannot decide; what is wrong with its answer, if anything is."""
    try:
        done = subprocess.run(  # noqa: S602 - exactly what the host runs
            command, shell=True, input=b"?", capture_output=True, timeout=_PROBE_TIME
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError):
        return "it gave no JSON; is remit still where it was?"
    refused = "deny" in json.dumps(answer)
    return None if done.returncode == 0 and refused else "it did not refuse"


def _show(row: dict[str, Any]) -> None:
    host: HookHost = host_of(row["host"])
    state = (
        rendering.text("protected", "green")
        if row["protected"]
        else rendering.text("NOT protected", "bold red")
    )
    rendering.line(rendering.text(host.title, "bold"), "  ", state, f"  {row['file']}")
    for problem in row["problems"]:
        rendering.line(f"  ! {problem}")
    if row["problems"] != ["not installed"]:
        rendering.line(f"  results that policy withholds or redacts: {row['results']}")
        for gap in row["stays_open"]:
            rendering.line(f"  stays open: {gap}")
