"""Where a command finds things: policy documents, and the store and key beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from remit.cli.init import os_user
from remit.config.secrets import secret
from remit.errors import ApprovalError, ConfigError
from remit.guard.opening import STORE_FILE, beside, read_documents
from remit.storage.opening import open_database

if TYPE_CHECKING:
    from remit.model import Principal
    from remit.policy import PolicySet
    from remit.storage import Store

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])

POLICY = Path("remit.yaml")
STORE_URL = "REMIT_STORE_URL"
"""Names the database of a fleet, for commands that work on a store."""
STORE_PASSWORD = "REMIT_STORE_PASSWORD"  # noqa: S105 (its name)
"""Holds the password of the database's user."""


def policy_option(command: CommandFunction) -> CommandFunction:
    """Give a command the option ``--policy``; it arrives as ``policy_path``."""
    option = click.option(
        "--policy",
        "policy_path",
        type=click.Path(path_type=Path),
        default=POLICY,
        show_default=True,
        help="The policy document in force, or a directory of them.",
    )
    return option(command)


def store_option(command: CommandFunction) -> CommandFunction:
    """Give a command the options ``--policy`` and ``--store``; the latter as ``store_path``."""
    option = click.option(
        "--store",
        "store_path",
        type=click.Path(dir_okay=False, path_type=Path),
        default=None,
        help=f"The SQLite store.  [default: the database in {STORE_URL}, or {STORE_FILE} beside "
        "the policy]",
    )
    return option(policy_option(command))


def person_option(command: CommandFunction) -> CommandFunction:
    """Give a command the option ``--as``; it arrives as ``person``."""
    option = click.option(
        "--as",
        "person",
        metavar="NAME",
        default=os_user,
        help="The person who decides, one of people: in the policy.  [default: the OS user]",
    )
    return option(command)


def documents(paths: Sequence[Path]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The policy documents under ``paths``: bytes by name, and the path behind each name.

    The name is the bare file name, as for a ``Guard``, so that the revision does not depend on how
    the path was spelt; only where two paths end in the same name it is the whole path. A directory
    stands for its YAML files.

    Raises:
        ConfigError: one is not there or cannot be read, or a directory holds none.
    """
    texts: dict[str, bytes] = {}
    places: dict[str, str] = {}
    for path in paths:
        for name, text in read_documents(path).items():
            place = str(path / name) if path.is_dir() else str(path)
            unique = name if name not in texts else place
            texts[unique] = text
            places[unique] = place
    return texts, places


def load_policy(path: Path) -> PolicySet:
    """The policy at ``path``.

    Raises:
        ConfigError: there is none.
        PolicyError: it is faulty.
    """
    from remit.policy import load

    return load(read_documents(path))


def known_person(policies: PolicySet, name: str) -> Principal:
    """The person called ``name``.

    Raises:
        ApprovalError: policy does not know them.
    """
    person = policies.person(name)
    if person.known == "unknown":
        raise ApprovalError(
            f"{name or 'You'}: not one of people: in the policy; say who you are with --as NAME."
        )
    return person


def open_store(policy_path: Path, store_path: Path | None, *, create: bool = False) -> Store:
    """The store beside the policy, or the one that was named: a file, or a fleet's database.

    Args:
        policy_path: the policy.
        store_path: the file, if one was named.
        create: whether to make the file if there is none.

    Raises:
        ConfigError: there is none.
        StoreError: it cannot be opened.
    """
    from remit.storage.sqlite import SqliteStore

    url = secret(STORE_URL)
    if store_path is None and url is not None:
        return open_database(url, secret(STORE_PASSWORD))
    path = store_path or beside(policy_path, STORE_FILE)
    if not create and not path.is_file():
        raise ConfigError(f"{path}: there is no store; nothing has been governed here yet.")
    return SqliteStore(path)
