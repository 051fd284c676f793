"""``remit witness``: watch a log from outside, and get its checkpoints cosigned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from remit.audit.checkpoint import Checkpoint, open_checkpoint
from remit.audit.note import VerifierKey
from remit.cli import rendering
from remit.cli.app import json_option
from remit.cli.proofs import read_key, write_whole
from remit.errors import AuditError, ConfigError, Unavailable
from remit.witness import RemoteLog, check_growth, cosigned

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])


@click.group()
def witness() -> None:
    """Watch a log from outside, and have it cosigned."""


def _log_options(command: CommandFunction) -> CommandFunction:
    for option in (
        click.option(
            "--vkey", "keys", multiple=True, required=True, help="Verifier key of the log, or file."
        ),
        click.option(
            "--key-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            required=True,
            help="File with an API key that has the right auditor.",
        ),
        click.option("--server", required=True, help="Where remit serve is: https://HOST."),
    ):
        command = option(command)
    return command


@witness.command()
@_log_options
@click.option("--to", "place", required=True, metavar="URL|FILE", help="A witness, or a file.")
@click.option("--witness", "names", multiple=True, help="Verifier key of the witness, or file.")
@click.option(
    "--keep",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the cosigned checkpoint. Needed for a witness.",
)
@json_option
def push(
    server: str,
    key_file: Path,
    keys: tuple[str, ...],
    place: str,
    names: tuple[str, ...],
    keep: Path | None,
    as_json: bool,
) -> None:
    """Bring the newest checkpoint to a witness (C2SP tlog-witness), or into a file elsewhere.

    Nothing is written unless the log has only grown since the checkpoint that the file holds.
    """
    log, vkeys = _log(server, key_file), [read_key(each) for each in keys]
    if not place.startswith(("http://", "https://")):
        _print(_looked(log, vkeys, Path(place)), as_json)
        return
    if keep is None or not names:
        raise ConfigError("A witness needs --witness KEY, and --keep FILE for what it signed.")
    witness_keys = [read_key(each) for each in names]
    kept = _kept(keep, vkeys)
    note = log.checkpoint()
    shown = open_checkpoint(note, vkeys).checkpoint
    if kept is not None:
        _check(log, kept, shown, note, keep)
    old = 0 if kept is None else kept.size
    write_whole(keep, [cosigned(log, note, place, vkeys, witness_keys, old)])
    _print(shown, as_json)


@witness.command()
@_log_options
@click.option(
    "--keep",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File for the newest checkpoint that was seen.",
)
@click.option("--interval", type=click.FloatRange(min=0.1), default=60.0, show_default=True)
@click.option("--once", is_flag=True, help="Look once, and stop.")
@json_option
def follow(
    server: str,
    key_file: Path,
    keys: tuple[str, ...],
    keep: Path,
    interval: float,
    once: bool,
    as_json: bool,
) -> None:
    """Watch a log; end with exit code 1 when it forks or loses records.

    What it showed then is kept beside FILE, in FILE.conflict: both together are the evidence.
    """
    log, vkeys = _log(server, key_file), [read_key(each) for each in keys]
    last = -1
    while True:
        try:
            shown = _looked(log, vkeys, keep)
        except Unavailable as away:
            if once:
                raise
            click.echo(f"not seen: {away}", err=True)
        else:
            if shown.size != last:
                _print(shown, as_json)
                last = shown.size
        if once:
            return
        time.sleep(interval)


def _looked(log: RemoteLog, keys: Sequence[VerifierKey], keep: Path) -> Checkpoint:
    """Look at the log once; keep its checkpoint in place of the one before."""
    kept = _kept(keep, keys)
    note = log.checkpoint()
    shown = open_checkpoint(note, keys).checkpoint
    if kept is not None:
        _check(log, kept, shown, note, keep)
    if kept != shown:
        write_whole(keep, [note])
    return shown


def _check(log: RemoteLog, kept: Checkpoint, shown: Checkpoint, note: bytes, keep: Path) -> None:
    try:
        check_growth(log, kept, shown)
    except AuditError:
        write_whole(keep.with_name(f"{keep.name}.conflict"), [note])
        raise


def _kept(path: Path, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    """The checkpoint in a file, verified; None where there is no file yet."""
    if not path.exists():
        return None
    return open_checkpoint(path.read_bytes(), keys).checkpoint


def _log(server: str, key_file: Path) -> RemoteLog:
    key = key_file.read_text().strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(f"{key_file}: holds no API key")
    return RemoteLog(server, key)


def _print(shown: Checkpoint, as_json: bool) -> None:
    if as_json:
        facts = {"origin": shown.origin, "size": shown.size, "root": shown.root.hex()}
        rendering.print_json_line(facts)
    else:
        rendering.line(f"{shown.origin}: {shown.size} records, as they should be")
