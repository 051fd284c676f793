"""``remit agents``: who may call the server, and the keys that prove it.

Works on the store's file, as an admin of this machine: whoever can write to the file can make any
key. Over the network an admin's key does the same (``/v1/credentials``).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from remit import custody
from remit.cli import rendering
from remit.cli.app import json_option
from remit.cli.init import os_user
from remit.cli.workspace import open_store, store_option
from remit.credentials import Credential, CredentialId, Kind, Right
from remit.errors import ConfigError
from remit.identity.keys import IssuedKey
from remit.journal import Journal
from remit.model import Principal
from remit.policy.durations import nanoseconds
from remit.storage import Store

_DURATION = re.compile("[1-9][0-9]{0,5}[smhd]")
T = TypeVar("T")
CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])


class _Duration(click.ParamType[int]):
    """A duration such as ``90d``, in nanoseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if _DURATION.fullmatch(value) is None:
            self.fail(f"{value!r} is not a duration: write 90s, 15m, 12h or 30d.", param, ctx)
        return nanoseconds(value)


def _key_options(command: CommandFunction) -> CommandFunction:
    """Give a command the options that say what a key is for."""
    options = (
        click.option(
            "--kind",
            type=click.Choice(get_args(Kind)),
            default="agent",
            show_default=True,
            help="What it is.",
        ),
        click.option(
            "--right",
            "rights",
            multiple=True,
            type=click.Choice([right.value for right in Right]),
            help="What it may do; may be repeated.  [default for an agent: agent]",
        ),
        click.option(
            "--as-agent",
            "acts_as",
            multiple=True,
            metavar="AGENT",
            help="An agent that a service may act as; may be repeated.",
        ),
        click.option(
            "--expires", type=_Duration(), metavar="TIME", help="When the key ends, such as 90d."
        ),
        click.option("--note", default="", help="What it is for."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def agents() -> None:
    """Add agents and people, and make and revoke keys.

    A key is shown once, when it is made; the store keeps only its SHA-256. What is done here is
    recorded in the log.
    """


@agents.command("list")
@click.option("--all", "everything", is_flag=True, help="Revoked and expired keys as well.")
@store_option
@json_option
def list_(everything: bool, policy_path: Path, store_path: Path | None, as_json: bool) -> None:
    """List keys: whose they are, what they may do, when they were last used."""
    with closing(open_store(policy_path, store_path)) as store:
        found = store.read(lambda snapshot: list(snapshot.credentials()))
    now = time.time_ns()
    shown = [each for each in found if each.purpose == "key" and (everything or each.active(now))]
    if as_json:
        rendering.print_json([_json(each, now) for each in shown])
    elif not shown:
        rendering.line("Nobody has a key.")
    else:
        _show(shown, now)


@agents.command()
@click.argument("name")
@_key_options
@store_option
@json_option
def add(
    name: str, policy_path: Path, store_path: Path | None, as_json: bool, **wanted: Any
) -> None:
    """Give NAME its first key.

    What an agent may do is for the policy to say; a key only proves that it is this agent.
    """
    _show_new(_issue(_store(policy_path, store_path), name, first=True, **wanted), as_json)


@agents.command()
@click.argument("name")
@_key_options
@store_option
@json_option
def key(
    name: str, policy_path: Path, store_path: Path | None, as_json: bool, **wanted: Any
) -> None:
    """Make another key for NAME."""
    _show_new(_issue(open_store(policy_path, store_path), name, first=False, **wanted), as_json)


@agents.command()
@click.argument("name")
@store_option
@json_option
def revoke(name: str, policy_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Revoke a key by its id, or every key of an agent, a person or a service by its name."""
    by = _admin()

    def work(journal: Journal) -> list[Credential]:
        one = custody.revoke_key(journal, by, CredentialId(name))
        return list(custody.revoke_all(journal, by, name)) if one is None else [one]

    revoked, now = _change(open_store(policy_path, store_path), work), time.time_ns()
    if not revoked:
        raise ConfigError(f"{name}: there is no such key, and nobody of that name has one.")
    if as_json:
        rendering.print_json([_json(each, now) for each in revoked])
        return
    for each in revoked:
        rendering.line("Revoked ", rendering.text(each.id, "bold"), f" of {each.principal}.")


@agents.command()
@click.argument("key_id", metavar="KEY")
@click.option(
    "--grace", type=_Duration(), default=0, metavar="TIME", help="How long the old one goes on."
)
@store_option
@json_option
def rotate(
    key_id: str, grace: int, policy_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Replace the key with the id KEY by another with the same rights."""
    by = _admin()
    issued = _change(
        open_store(policy_path, store_path),
        lambda journal: custody.rotate_key(journal, by, CredentialId(key_id), grace),
    )
    if issued is None:
        raise ConfigError(f"{key_id}: there is no such key; 'remit agents list' shows their ids.")
    _show_new(issued, as_json)


def _issue(
    store: Store,
    name: str,
    *,
    first: bool,
    kind: Kind,
    rights: Sequence[str],
    acts_as: Sequence[str],
    expires: int | None,
    note: str,
) -> IssuedKey:
    by = _admin()
    wanted = frozenset(map(Right, rights))
    if not wanted and kind == "agent":
        wanted = frozenset({Right.AGENT})
    return _change(
        store,
        lambda journal: custody.add_key(
            journal,
            by,
            principal=name,
            kind=kind,
            rights=wanted,
            expires_at=None if expires is None else journal.now + expires,
            agents=acts_as,
            note=note,
            first=first,
        ),
    )


def _store(policy_path: Path, store_path: Path | None) -> Store:
    """The store, made if there is none: keys come before the first agent does."""
    return open_store(policy_path, store_path, create=True)


def _change(store: Store, work: Callable[[Journal], T]) -> T:
    with closing(store):
        return store.write(lambda t: work(Journal.begin(t, time.time_ns(), secrets.token_bytes)))


def _admin() -> Principal:
    """Who does it, for the record: this machine's word for it, which nothing proves."""
    return Principal(id=os_user() or "somebody on this machine", kind="person")


def _show_new(issued: IssuedKey, as_json: bool) -> None:
    credential = issued.credential
    if as_json:
        rendering.print_json({**_json(credential, credential.created_at), "key": issued.text})
        return
    rights = ", ".join(right.value for right in credential.rights)
    rendering.line(
        f"Key {credential.id} for the {credential.kind} {credential.principal} ({rights}):"
    )
    rendering.line(issued.text, style="bold")
    rendering.line(
        "This is the only time that it is shown. Send it as: Authorization: Bearer <key>"
    )


def _show(shown: Iterable[Credential], now: int) -> None:
    rendering.table(
        ["key", "whose", "kind", "rights", "state", "expires", "last used", "note"],
        [
            [
                each.id,
                each.principal,
                each.kind,
                ", ".join(right.value for right in each.rights),
                rendering.word(_state(each, now)),
                "never" if each.expires_at is None else rendering.when(each.expires_at),
                "-" if each.last_used_at is None else rendering.when(each.last_used_at),
                each.note,
            ]
            for each in shown
        ],
    )


def _state(credential: Credential, now: int) -> str:
    if credential.revoked_at is not None:
        return "revoked"
    return "active" if credential.active(now) else "expired"


def _json(credential: Credential, now: int) -> dict[str, Any]:
    return {
        "id": credential.id,
        "principal": credential.principal,
        "kind": credential.kind,
        "rights": [right.value for right in credential.rights],
        "state": _state(credential, now),
        "created_at": credential.created_at,
        "expires_at": credential.expires_at,
        "revoked_at": credential.revoked_at,
        "last_used_at": credential.last_used_at,
        "agents": list(credential.agents),
        "note": credential.note,
    }
