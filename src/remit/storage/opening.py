"""Opening a store by its address: the database of a fleet, where its extra is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from remit.errors import ConfigError

if TYPE_CHECKING:
    from remit.storage.postgres import PostgresStore

SCHEMES = ("postgresql://", "postgres://")


def check_url(url: str) -> None:
    """Check the address of a database as far as that goes without connecting.

    Raises:
        ValueError: says what is wrong.
    """
    if not url.startswith(SCHEMES):
        raise ValueError(f"{url.split(':', 1)[0]!r} is no kind of store; write postgresql://...")
    place = url.split("://", 1)[1].split("/", 1)[0]
    if ":" in place.rpartition("@")[0] or "password=" in url:
        raise ValueError(
            "a password does not belong in a file; leave it out of the address, and set the secret "
            "REMIT_STORE_PASSWORD"
        )


def open_database(
    url: str, password: str | None = None, *, name: str = "remit", timeout: float = 10.0
) -> PostgresStore:
    """Open the store in a PostgreSQL database.

    Args:
        url: its address.
        password: of the user that it names; None leaves that to libpq (``PGPASSFILE``).
        name: what the database calls this node.
        timeout: seconds to go on without the database before giving up.

    Raises:
        ConfigError: the extra ``postgres`` is not installed, or ``url`` is no address.
        StoreError: the database does not answer, or does not do.
    """
    if find_spec("psycopg") is None:
        raise ConfigError("A store in PostgreSQL needs an extra: pip install 'remit[postgres]'")
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    from remit.storage.postgres import PostgresStore

    try:
        full = url if password is None else make_conninfo(url, password=password)
    except ProgrammingError as error:
        raise ConfigError(f"store.url: {str(error).strip()}") from None
    return PostgresStore(full, name=name, timeout=timeout)
