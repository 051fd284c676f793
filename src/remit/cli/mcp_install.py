"""``remit mcp install``: a client's servers started through ``remit wrap``, and back again."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from remit.cli import rendering
from remit.cli.app import json_option
from remit.cli.mcp_clients import ClientFile, Entry, changed, client_files, read_text, servers_of
from remit.cli.workspace import policy_option
from remit.errors import ConfigError

CLIENTS = tuple(client_files(Path(), Path()))
_OTHER = re.compile(r"[^a-z0-9_-]+")
_MARK = "wrap"


def client_option(command: Any) -> Any:
    """Give a command the option ``--client``; it arrives as ``clients``."""
    return click.option(
        "--client",
        "clients",
        multiple=True,
        type=click.Choice(CLIENTS),
        help="Whose configuration; several may be given.  [default: all that are found]",
    )(command)


def found_files(clients: Sequence[str]) -> list[ClientFile]:
    """The files of the clients that exist, of all clients where none is named.

    Raises:
        ConfigError: a client was named that has no file.
    """
    known = client_files(Path.home(), Path.cwd())
    found: list[ClientFile] = []
    for client in clients or CLIENTS:
        there = [file for file in known[client] if file.path.is_file()]
        if clients and not there:
            places = ", ".join(str(file.path) for file in known[client])
            raise ConfigError(f"{client}: there is no file with servers; looked at {places}")
        found += there
    return found


def policy_name(name: str) -> str:
    """The name that a server has in policy: lower-case letters, digits, dashes."""
    return _OTHER.sub("-", name.lower()).strip("-_")[:64]


def unwrapped(entry: Entry) -> tuple[str, ...] | None:
    """The command behind ``remit wrap``, or None where an entry is not wrapped."""
    arguments = list(entry.get("args", []))
    program = Path(str(entry.get("command", ""))).name
    own = program.startswith("remit") or arguments[:2] == ["-m", "remit"]
    if not own or _MARK not in arguments[:3] or "--" not in arguments:
        return None
    return tuple(arguments[arguments.index("--") + 1 :])


def named(entry: Entry, name: str) -> str:
    """The name of a server in policy: that of its wrapping, or one made of the client's name."""
    arguments = list(entry.get("args", []))
    if unwrapped(entry) is not None and "--name" in arguments:
        return str(arguments[arguments.index("--name") + 1])
    return policy_name(name)


@click.command()
@client_option
@click.option("--agent", required=True, help="The agent that these clients are, as in policy.")
@click.option("--user", default=None, help="The person on whose behalf it acts.")
@policy_option
@json_option
def install(
    clients: Sequence[str], agent: str, user: str | None, policy_path: Path, as_json: bool
) -> None:
    """Have clients start their MCP servers through remit wrap.

    Each file is kept beside itself as it was. Servers at a URL stay as they are: put those behind
    remit serve. Doing it again changes nothing.
    """
    policy = policy_path.absolute()
    if not policy.exists():
        raise ConfigError(f"{policy}: there is no such policy; write one with: remit init")
    options = ["--agent", agent, "--policy", str(policy), *(["--user", user] if user else [])]
    plans = [(file, *_plan(file, options)) for file in found_files(clients)]
    for file, before, after in plans:
        if before != after:
            _write(file, before, after)
    _tell([file for file, _, _ in plans], as_json)


def _plan(file: ClientFile, options: Sequence[str]) -> tuple[str, str]:
    """A file as it is and as it is to be. Nothing is written yet."""
    before = read_text(file.path)
    taken: dict[str, str] = {}
    for name, entry in servers_of(file).items():
        mine = named(entry, name)
        if not mine:
            raise ConfigError(f"{file.path}: {name!r} has no letter that policy can name it by")
        if taken.setdefault(mine, name) != name:
            raise ConfigError(
                f"{file.path}: {name!r} and {taken[mine]!r} are both {mine} in policy"
            )

    def wrapping(name: str, entry: Entry) -> tuple[str, list[str]] | None:
        if unwrapped(entry) is not None:
            return None
        passed = [word for key in entry.get("env", {}) for word in ("--env", key)]
        program, *first = _remit()
        behind = ["--", entry["command"], *entry.get("args", [])]
        return program, [*first, _MARK, "--name", policy_name(name), *options, *passed, *behind]

    return before, changed(file, before, wrapping)


def _remit() -> list[str]:
    program = shutil.which("remit")
    return [program] if program else [sys.executable, "-m", "remit"]


def _write(file: ClientFile, before: str, after: str) -> None:
    """Keep the file as it was without Remit, then replace it whole."""
    _replace(file.backup, changed(file, before, _unwrapping), file.path)
    _replace(file.installed, after, file.path)
    _replace(file.path, after, file.path)


def _replace(path: Path, text: str, like: Path) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(text.encode())
    shutil.copymode(like, new)
    os.replace(new, path)


@click.command()
@client_option
@json_option
def uninstall(clients: Sequence[str], as_json: bool) -> None:
    """Put clients' configurations back as they were, byte for byte.

    A file that was changed since keeps its changes: only what was wrapped is unwrapped.
    """
    files = found_files(clients)
    for file in files:
        text = read_text(file.path)
        if file.installed.exists() and file.backup.exists() and read_text(file.installed) == text:
            restored = read_text(file.backup)
        else:
            restored = changed(file, text, _unwrapping)
        if restored != text:
            _replace(file.path, restored, file.path)
        for kept in (file.installed, file.backup):
            kept.unlink(missing_ok=True)
    _tell(files, as_json)


def _unwrapping(_: str, entry: Entry) -> tuple[str, list[str]] | None:
    behind = unwrapped(entry)
    return None if not behind else (behind[0], list(behind[1:]))


@click.command()
@client_option
@json_option
def status(clients: Sequence[str], as_json: bool) -> None:
    """Show which servers of which clients go through Remit."""
    _tell(found_files(clients), as_json)


def _tell(files: Iterable[ClientFile], as_json: bool) -> None:
    rows = [
        (file.client, name, _state(entry), str(file.path))
        for file in files
        for name, entry in servers_of(file).items()
    ]
    if as_json:
        keys = ("client", "server", "state", "file")
        rendering.print_json([dict(zip(keys, row, strict=True)) for row in rows])
    elif not rows:
        rendering.line("No client here has any MCP server.")
    else:
        rendering.table(["client", "server", "state", "file"], rows)


def _state(entry: Entry) -> str:
    if "command" not in entry:
        return "not governed (a URL)"
    return "governed" if unwrapped(entry) is not None else "not governed"
