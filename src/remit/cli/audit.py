"""``remit audit``: the log as it is in the store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from remit.audit.record import Record
from remit.cli import logview, rendering
from remit.cli.app import json_option
from remit.cli.logview import Entry
from remit.cli.proofs import checkpoint, export, prove, verify, vkey
from remit.cli.workspace import known_person, load_policy, open_store, person_option, store_option
from remit.errors import InvalidRequest
from remit.governor import Governor


@click.group()
def audit() -> None:
    """Export, verify, prove, show and erase records of the log."""


for command in (export, verify, vkey, checkpoint, prove):
    audit.add_command(command)


@audit.command()
@click.option(
    "-n",
    "count",
    metavar="COUNT",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many of the newest records to show.",
)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until interrupted.")
@store_option
@json_option
def tail(
    count: int, following: bool, policy_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Show the newest records of every kind; --json prints one JSON document a line."""
    store = open_store(policy_path, store_path)
    try:
        newest, size = logview.last(store, count)
        logview.print_entries(newest, as_json=as_json)
        if following:
            for entry in logview.follow(store, size):
                logview.print_entry(entry, as_json=as_json)
    finally:
        store.close()


@audit.command()
@click.argument("name", metavar="POSITION|ACTION")
@store_option
@json_option
def show(name: str, policy_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Show one record, or all records of one action, with their values."""
    store = open_store(policy_path, store_path)
    try:
        found = _found(logview.find(store, name), name)
    finally:
        store.close()
    if as_json:
        rendering.print_json([logview.as_builtins(entry) for entry in found])
        return
    for index, entry in enumerate(found):
        if index:
            rendering.line()
        _show(entry)


def _show(entry: Entry) -> None:
    record = entry.record
    rendering.facts(
        [
            ("record", f"{entry.position}, {record.kind}"),
            ("time", rendering.timestamp(record.at * 1000)),
            *((name, value) for name, value in _fields(record) if value),
            ("values", _values(entry)),
        ]
    )


def _fields(record: Record) -> list[tuple[str, Any]]:
    effect = record.effect
    verdict = effect and f"{effect}, {'let through' if record.granted else 'stopped'}"
    return [
        ("action", record.action),
        ("session", record.session),
        ("who", logview.who(record)),
        ("tool", record.tool),
        ("effect", verdict and rendering.styled(verdict, effect or "")),
        ("mode", record.mode if record.mode == "shadow" else None),
        ("rules", "\n".join(f"{rule.effect} by {rule.id} {rule.at}" for rule in record.rules)),
        ("obligations", ", ".join(f"{each.kind} {each.target}" for each in record.obligations)),
        ("approval", record.approval),
        ("status", record.status and rendering.word(record.status)),
        ("error", record.error),
        ("took", record.duration and rendering.duration(record.duration * 1000)),
        ("labels", ", ".join(record.labels)),
        ("findings", ", ".join(f"{each.kind} in {each.where}" for each in record.findings)),
        ("erased", ", ".join(map(str, record.erased))),
        ("note", record.note),
        ("trace", record.trace),
        ("policy", record.revision),
        ("digest", record.digest),
        ("commitment", record.args or record.result),
    ]


def _values(entry: Entry) -> str:
    shown = entry.shown_values
    if shown is not None:
        return shown
    committed = entry.record.args or entry.record.result
    return "(erased)" if committed else "(none)"


@audit.command()
@click.argument("name", metavar="POSITION|ACTION")
@click.option("--reason", required=True, help="Why, for the record.")
@person_option
@store_option
@json_option
def erase(
    name: str,
    reason: str,
    person: str,
    policy_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Erase the arguments and results of an action; its records stay and still verify.

    That it was erased, by whom and why, becomes a record of its own. Exports made before with
    --values, and backups, still hold the values.
    """
    policies = load_policy(policy_path)
    by = known_person(policies, person)
    governor = Governor(policies=lambda: policies, clock=time.time_ns, entropy=os.urandom)
    store = open_store(policy_path, store_path)
    try:
        found = _found(logview.find(store, name), name)
        positions = [entry.position for entry in found if entry.values is not None]
        if not positions:
            raise InvalidRequest(f"{name}: there are no values to erase (any more).")
        record = store.write(lambda t: governor.erase(t, positions, by, reason))
    finally:
        store.close()
    if as_json:
        rendering.print_json({"erased": positions, "record": record})
    else:
        shown = ", ".join(map(str, positions))
        rendering.line(f"Erased the values of {shown}; record {record} says so.")


def _found(entries: Sequence[Entry], name: str) -> Sequence[Entry]:
    if not entries:
        raise InvalidRequest(f"{name}: no such position or action in this log.")
    return entries
