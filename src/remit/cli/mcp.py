"""``remit mcp``: the MCP servers that clients start: what they say, what was accepted of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import structs

from remit.cli import rendering
from remit.cli.app import Exit, json_option
from remit.cli.mcp_clients import servers_of
from remit.cli.mcp_install import (
    client_option,
    found_files,
    install,
    named,
    status,
    uninstall,
    unwrapped,
)
from remit.cli.mcp_servers import ServerAnswer, ServerCommand, ask
from remit.cli.workspace import policy_option
from remit.config import CONFIG_FILE, read_config, secret
from remit.errors import ConfigError, InvalidArgument
from remit.gateway.lockfile import LOCK_FILE, LockFile, origin_of
from remit.guard.opening import beside
from remit.inspection import pins
from remit.inspection.pins import PinChange, Pins
from remit.inspection.tools import describe_server, inspect_servers
from remit.model import Finding
from remit.protocols.mcp_methods import SERVER_NAME

_TIME = 20.0


@click.group()
def mcp() -> None:
    """Look at MCP servers, accept their tools, and govern clients."""


mcp.add_command(install)
mcp.add_command(uninstall)
mcp.add_command(status)

_TIME_OPTION = click.option(
    "--time", "seconds", default=_TIME, show_default=True, help="Seconds that each server has."
)


@mcp.command()
@client_option
@_TIME_OPTION
@policy_option
@json_option
def scan(clients: Sequence[str], seconds: float, policy_path: Path, as_json: bool) -> int:
    """Start each server that clients have, look at its tools, and end it.

    Nothing is called. Exits with 1 when something is found or not as it was accepted.
    """
    servers = _servers(clients)
    answers = asyncio.run(_ask_all(servers.values(), seconds))
    pinned = LockFile(beside(policy_path, LOCK_FILE)).read() or Pins()
    reports = _reports(servers, answers, pinned)
    if as_json:
        rendering.print_json({"servers": reports})
    else:
        for report in reports:
            _show_report(report)
    if any(report["findings"] or report["changes"] for report in reports):
        return Exit.FINDINGS
    return Exit.UNAVAILABLE if any(report["failure"] for report in reports) else Exit.OK


@mcp.command()
@client_option
@click.option("--name", default=None, help="The server's name in policy, for COMMAND.")
@click.option("--accept", is_flag=True, help="Accept the changes that are shown.")
@_TIME_OPTION
@policy_option
@json_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def pin(
    clients: Sequence[str],
    name: str | None,
    accept: bool,
    seconds: float,
    policy_path: Path,
    as_json: bool,
    command: tuple[str, ...],
) -> int:
    """Put down in remit.lock what servers are and which tools they have.

    For COMMAND under --name, or for every server of the clients. A server that is there already and
    differs is only put down with --accept; until then its changed tools are held.
    """
    servers = _one(name, command) if command or name else _servers(clients)
    lock = LockFile(beside(policy_path, LOCK_FILE))
    pinned = lock.read() or Pins()
    held, reports = False, []
    for server in servers.values():
        answer = asyncio.run(ask(server, seconds))
        if answer.failure is not None:
            raise ConfigError(f"{server.name}: {answer.failure}; nothing of it was put down")
        origin = origin_of(server.command)
        known = (server.name, answer.tools, answer.instructions, origin)
        changes = pinned.check(*known)
        fresh = server.name not in pinned.servers
        taken = fresh or accept
        if taken and changes:
            lock.change(lambda before, known=known: before.accepting(*known))  # type: ignore[misc]
        held = held or bool(changes and not taken)
        state = "accepted" if taken and changes else "held" if changes else "as accepted"
        shown = [] if fresh else [_told(each) for each in changes]
        told = "" if fresh else pins.render(changes)
        reports.append({"server": server.name, "state": state, "changes": shown})
        if not as_json:
            rendering.line(f"{server.name}: {len(answer.tools)} tools, {state}")
            if told:
                click.echo(told)
    if as_json:
        rendering.print_json({"servers": reports})
    elif held:
        rendering.line("Look at the changes; to accept them: remit mcp pin --accept")
    return Exit.FINDINGS if held else Exit.OK


def _one(name: str | None, command: tuple[str, ...]) -> dict[str, ServerCommand]:
    if name is None or not command:
        raise ConfigError("give both: --name NAME -- COMMAND ...")
    if not SERVER_NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: write lower-case letters, digits, - and _")
    return {name: ServerCommand(name=name, command=command)}


def configured(name: str, command: Sequence[str] = ()) -> ServerCommand:
    """The server of that name: a command that is given, one of ``remit.toml``, or of a client's.

    Raises:
        ConfigError: there is none, or it is not started by a command.
    """
    if command:
        return _one(name, tuple(command))[name]
    settings = read_config(Path(CONFIG_FILE)).mcp if Path(CONFIG_FILE).exists() else ()
    for each in settings:
        if each.name == name:
            if not each.command:
                raise ConfigError(
                    f"{CONFIG_FILE}: {name} is reached at a URL; save its answer to tools/list and "
                    "give the file with --tools"
                )
            env = {**each.env, **{key: secret(of) or "" for key, of in each.secret_env.items()}}
            return ServerCommand(name=name, command=each.command, env=env, cwd=each.cwd)
    known = _servers(())
    if name not in known:
        found = sorted({*known, *(each.name for each in settings)})
        raise ConfigError(
            f"there is no MCP server {name!r} in {CONFIG_FILE} or in a client; there are: "
            f"{', '.join(found) or 'none'}. Or name how it is started: --mcp {name} -- COMMAND"
        )
    return known[name]


def _servers(clients: Sequence[str]) -> dict[str, ServerCommand]:
    """Every server that clients start by a command, by its name in policy.

    Raises:
        ConfigError: two of them have one name and are not the same.
    """
    found: dict[str, ServerCommand] = {}
    for file in found_files(clients):
        for name, entry in servers_of(file).items():
            if "command" not in entry:
                continue
            command = unwrapped(entry) or (entry["command"], *entry.get("args", []))
            env = {key: str(value) for key, value in entry.get("env", {}).items()}
            server = ServerCommand(name=named(entry, name), command=tuple(command), env=env)
            other = found.setdefault(server.name, server)
            if other != server:
                raise ConfigError(
                    f"{file.path}: {server.name} is another server than the one of that name "
                    "elsewhere; name the client with --client"
                )
    return found


async def _ask_all(servers: Iterable[ServerCommand], seconds: float) -> list[ServerAnswer]:
    return [await ask(server, seconds) for server in servers]


def _reports(
    servers: Mapping[str, ServerCommand], answers: Sequence[ServerAnswer], pinned: Pins
) -> list[dict[str, Any]]:
    tools: dict[str, Sequence[Any]] = {}
    failures: dict[str, str | None] = {}
    for name, answer in zip(servers, answers, strict=True):
        failures[name] = answer.failure
        try:
            pins.definitions_of(answer.tools)
            tools[name] = answer.tools
        except InvalidArgument as error:
            failures[name] = str(error)
    findings = inspect_servers(tools)
    reports = []
    for (name, server), answer in zip(servers.items(), answers, strict=True):
        mine = list(describe_server(answer.instructions))
        places = [(name, each) for each in (*mine, *findings.get(name, ()))]
        places += [
            (f"{name}.{tool['name']}", each)
            for tool in tools.get(name, ())
            for each in findings.get(f"{name}.{tool['name']}", ())
        ]
        changes: tuple[PinChange, ...] = ()
        if failures[name] is None:
            origin = origin_of(server.command)
            changes = pinned.check(name, answer.tools, answer.instructions, origin)
        reports.append(
            {
                "server": name,
                "command": list(server.command),
                "version": answer.version,
                "tools": [tool["name"] for tool in tools.get(name, ())],
                "failure": failures[name],
                "findings": [_found(place, each) for place, each in places],
                "changes": [_told(each) for each in changes],
                "diff": pins.render(changes),
            }
        )
    return reports


def _found(place: str, finding: Finding) -> dict[str, Any]:
    return {"tool": place, **structs.asdict(finding)}


def _told(change: PinChange) -> dict[str, Any]:
    return structs.asdict(change)


def _show_report(report: Mapping[str, Any]) -> None:
    rendering.line(f"{report['server']}: {len(report['tools'])} tools")
    if report["failure"]:
        rendering.line(f"  could not be asked: {report['failure']}")
    for each in report["findings"]:
        told = f"{each['kind']} ({each['sign']}) in {each['tool']}, {each['where']}"
        rendering.line(f"  {told}: {each['message']}")
    if report["diff"]:
        click.echo("  " + report["diff"].replace("\n", "\n  "))
