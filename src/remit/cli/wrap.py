"""``remit wrap``."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

import click

from remit.cli.app import Exit
from remit.cli.tasks import remit_option
from remit.cli.workspace import policy_option
from remit.config import ByteCount, Duration, secret
from remit.errors import ConfigError
from remit.gateway.lockfile import LOCK_FILE, LockFile, origin_of
from remit.gateway.mcp_local import SessionSubject
from remit.gateway.mcp_pinning import SupplyChain
from remit.gateway.mcp_process import ChildSettings
from remit.gateway.mcp_stdio import StdioRelay
from remit.guard import Guard
from remit.guard.opening import beside
from remit.model import TaskRemit
from remit.protocols.mcp_methods import SERVER_NAME

CREDENTIAL = "REMIT_CREDENTIAL"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@click.command(context_settings={"ignore_unknown_options": False})
@click.option("--name", required=True, help="The server's name in policy: its tools are NAME.tool.")
@click.option("--agent", required=True, help="The agent whose client starts this.")
@click.option("--user", default=None, help="The person on whose behalf it acts.")
@click.option("--intent", default=None, help="What it was asked to do, in the user's words.")
@remit_option
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A variable that the server gets, besides PATH and HOME: with a value, or as it is here.",
)
@click.option(
    "--wait",
    default="45s",
    show_default=True,
    help="How long a call waits for a person. Less than the client's own patience.",
)
@click.option("--max-message", default="16MiB", show_default=True, help="The largest message.")
@click.option(
    "--connect",
    "url",
    default=None,
    help=f"A server (remit serve) that decides; its credential is the secret {CREDENTIAL}.",
)
@click.option(
    "--insecure-plain-http", is_flag=True, help="Let the credential go to another machine in clear."
)
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Say on standard error what it says as JSON.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def wrap(
    name: str,
    agent: str,
    user: str | None,
    intent: str | None,
    remit: TaskRemit | None,
    variables: Sequence[str],
    wait: str,
    max_message: str,
    url: str | None,
    insecure_plain_http: bool,
    policy_path: Path,
    as_json: bool,
    command: tuple[str, ...],
) -> int:
    """Govern an MCP server that a client starts as a command.

    Put this before the command in the client's configuration, and -- between the two. Everything
    that the client and the server say to one another is decided by the policy and recorded beside
    it, or by the server at --connect.
    """
    if not SERVER_NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: write lower-case letters, digits, - and _")
    if not all(map(_is_connected, (sys.stdin, sys.stdout))):
        raise ConfigError(
            "standard input and output must be pipes of an MCP client: put this command into its "
            "configuration, and it starts it"
        )
    settings = ChildSettings(
        command=command, env=_environment(variables), max_message=_bytes(max_message)
    )
    patience = _seconds(wait)
    if url is None:
        guard = Guard.open(policy_path, wait=patience)
    else:
        guard = Guard.connect(
            url,
            credential=secret(CREDENTIAL),
            wait=patience,
            insecure_plain_http=insecure_plain_http,
        )
    with guard, guard.session(agent=agent, user=user, intent=intent, remit=remit) as scope:
        subject = SessionSubject(guard, scope)
        log = partial(_say, name, as_json)
        lock = LockFile(beside(policy_path, LOCK_FILE))
        supply = SupplyChain(lock, {name: origin_of(command)})
        relay = StdioRelay(settings, name, scope.enforcement, subject, inspector=supply, log=log)
        try:
            asyncio.run(_relayed(relay))
        except (FileNotFoundError, PermissionError) as error:
            raise ConfigError(f"{command[0]}: cannot be started: {error.strerror}") from None
    return Exit.OK


async def _relayed(relay: StdioRelay) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ending.set)
    # Duplicates, because the loop closes what it is given.
    with (
        os.fdopen(os.dup(sys.stdin.fileno()), "rb", 0) as source,
        os.fdopen(os.dup(sys.stdout.fileno()), "wb", 0) as sink,
    ):
        await relay.run(source, sink, ending)


def _is_connected(stream: IO[str]) -> bool:
    """Whether somebody can be at the other end: no file, no device but a terminal."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()


def _say(name: str, as_json: bool, line: str) -> None:
    """Write a line to standard error: standard output belongs to the client."""
    shown = json.dumps({"server": name, "line": line}) if as_json else f"{name}: {line}"
    sys.stderr.write(f"{shown}\n")
    sys.stderr.flush()


def _environment(variables: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for written in variables:
        name, given, value = written.partition("=")
        if not _VARIABLE.fullmatch(name):
            raise ConfigError(f"--env {name}: this is no name of a variable")
        if not given:
            if name not in os.environ:
                raise ConfigError(f"--env {name}: it is not set here; write --env {name}=VALUE")
            value = os.environ[name]
        found[name] = value
    return found


def _seconds(written: str) -> float:
    try:
        return float(Duration.read(written))
    except ValueError as error:
        raise ConfigError(f"--wait: {error}") from None


def _bytes(written: str) -> int:
    try:
        return int(ByteCount.read(written))
    except ValueError as error:
        raise ConfigError(f"--max-message: {error}") from None
