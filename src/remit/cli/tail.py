"""``remit tail``."""

from __future__ import annotations

from pathlib import Path

import click

from remit.cli import logview
from remit.cli.app import json_option
from remit.cli.workspace import open_store, store_option


@click.command()
@click.option(
    "-n",
    "count",
    metavar="COUNT",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the newest decisions to show first.",
)
@click.option("--outcomes", is_flag=True, help="What came of the actions as well.")
@store_option
@json_option
def tail(
    count: int, outcomes: bool, policy_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Follow decisions as they are made.

    Goes on until interrupted. An effect with a star was let through all the same: the policy is in
    shadow mode, or an approval was used.
    """
    store = open_store(policy_path, store_path)
    kinds = {"decision", "outcome", "approval", "stop"} if outcomes else {"decision"}
    try:
        newest, size = logview.last(store, count, kinds)
        logview.print_entries(newest, as_json=as_json)
        for entry in logview.follow(store, size):
            if entry.record.kind in kinds:
                logview.print_entry(entry, as_json=as_json)
    finally:
        store.close()
