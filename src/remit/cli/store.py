"""``remit store``: the database of a fleet: its schema, its log, its nodes, the policy for all."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remit.cli import rendering
from remit.cli.app import Exit, json_option
from remit.cli.workspace import (
    STORE_PASSWORD,
    STORE_URL,
    CommandFunction,
    load_policy,
    open_store,
    person_option,
    store_option,
)
from remit.config.secrets import secret
from remit.errors import ConfigError
from remit.storage.opening import open_database

if TYPE_CHECKING:
    from remit.storage.fleet import NodeState
    from remit.storage.postgres import PostgresStore


@click.group()
def store() -> None:
    """Look after the store of a fleet: its schema, its log, its nodes, and the policy for all.

    The database is the one that REMIT_STORE_URL names; the password of its user comes in
    REMIT_STORE_PASSWORD.
    """


def url_option(command: CommandFunction) -> CommandFunction:
    """Give a command the option ``--url``; it arrives as ``url``."""
    option = click.option(
        "--url", default=None, help=f"The database.  [default: the one in {STORE_URL}]"
    )
    return option(command)


@store.command()
@url_option
@json_option
def migrate(url: str | None, as_json: bool) -> None:
    """Make the schema in an empty database, or bring it up to date.

    Nodes do that themselves when they start. Nodes of the release before go on beside it.
    """
    with closing(_database(url)) as database:
        version, size = database.schema_version, database.read(lambda view: view.log_size())
    if as_json:
        rendering.print_json({"schema": version, "records": size})
    else:
        rendering.line(f"The schema is at version {version}; the log has {size:,} records.")


@store.command()
@store_option
@json_option
def check(policy_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Compute the tree anew from every record, and compare it with what is stored and signed."""
    from remit.storage.checking import check_log_whole

    with closing(open_store(policy_path, store_path)) as kept:
        found = kept.read(check_log_whole)
    if as_json:
        rendering.print_json(
            {"records": found.size, "root": found.root.hex(), "signed": found.signed}
        )
    else:
        rendering.line(
            f"{found.size:,} records hold together; {found.signed:,} of them are signed. "
            f"Root {found.root.hex()}"
        )


@store.command()
@click.argument("source", type=click.Path(dir_okay=False, path_type=Path))
@url_option
@json_option
def copy(source: Path, url: str | None, as_json: bool) -> None:
    """Copy the SQLite store SOURCE into an empty database, proofs intact.

    Stop what writes to the file first; it is left as it is. Records and hashes are carried over as
    they are and checked on the way, so checkpoints signed before verify afterwards.
    """
    with closing(_database(url)) as database:
        address = database.url
    from remit.storage.postgres.copying import copy as copy_store

    done = copy_store(source, address)
    if as_json:
        rendering.print_json({"records": done.records, "root": done.root.hex(), **done.rows})
        return
    rows = ", ".join(f"{count:,} {name}" for name, count in done.rows.items() if count)
    rendering.line(f"Copied {done.records:,} records ({rows}). Root {done.root.hex()}")
    rendering.line("Now check it ('remit store check'), and start the nodes with the same key.")


@store.command()
@url_option
@json_option
def nodes(url: str | None, as_json: bool) -> int:
    """List the nodes of the fleet: what is in force there, how far behind they are, who leads.

    Exits with 1 when one has a fault or was not heard of for 10 seconds.
    """
    with closing(_database(url)) as database:
        found, published = database.members(), database.published_revision()
    wrong = [node for node in found if _is_wrong(node, published)]
    if as_json:
        import msgspec

        listed = [msgspec.to_builtins(node) for node in found]
        rendering.print_json({"published": published, "nodes": listed})
        return Exit.FINDINGS if wrong else Exit.OK
    rendering.table(
        ["node", "release", "policy", "lag", "clock", "heard of", "state"],
        [
            [
                node.name + (" (leads)" if node.leads else ""),
                node.release,
                node.revision[:19],
                f"{node.lag:,}",
                f"{node.skew:+.1f} s",
                f"{node.seen:.0f} s ago",
                node.fault or ("silent" if node.seen > _SILENT else "ok"),
            ]
            for node in found
        ],
    )
    return Exit.FINDINGS if wrong else Exit.OK


_SILENT = 10.0
"""Seconds after which a node that says nothing is named."""


@store.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--wait", default=15.0, show_default=True, help="Seconds that nodes get to follow.")
@url_option
@person_option
@json_option
def publish(policy: Path, wait: float, url: str | None, person: str, as_json: bool) -> int:
    """Put the documents in POLICY in force on every node, and say which nodes do not follow.

    From then on it counts, whatever documents lie beside the nodes. A policy with faults is not
    published. Exits with 1 when a node that lives has not followed.
    """
    policies = load_policy(policy)
    with closing(_database(url)) as database:
        database.publish(policies.revision, policies.bundle, person)
        deadline = time.monotonic() + wait
        while True:
            living = [node for node in database.members() if node.seen < _SILENT]
            behind = [node for node in living if node.revision != policies.revision]
            if not behind or time.monotonic() >= deadline:
                break
            time.sleep(0.2)
    if as_json:
        rendering.print_json(
            {
                "revision": policies.revision,
                "nodes": len(living),
                "behind": {node.name: node.fault for node in behind},
            }
        )
        return Exit.FINDINGS if behind else Exit.OK
    followed = len(living) - len(behind)
    rendering.line(f"{policies.revision} is in force on {followed} of {len(living)} nodes.")
    for node in behind:
        rendering.line(f"  {node.name} does not follow: {node.fault or 'it has not said why'}")
    return Exit.FINDINGS if behind else Exit.OK


def _is_wrong(node: NodeState, published: str | None) -> bool:
    behind = published is not None and node.revision != published
    return node.fault is not None or node.seen > _SILENT or behind


def _database(url: str | None) -> PostgresStore:
    """The database that was named.

    Raises:
        ConfigError: none was.
        StoreError: it does not answer.
    """
    place = url or secret(STORE_URL)
    if place is None:
        raise ConfigError(
            f"Which database? Set {STORE_URL}, or say --url postgresql://USER@HOST/DATABASE"
        )
    return open_database(place, secret(STORE_PASSWORD))
