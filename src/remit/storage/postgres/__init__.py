"""The PostgreSQL store: one database, any number of nodes, durable before anything is acknowledged.

Every node is a process with one ``PostgresStore``. Closures of one node share commits, as with
SQLite; the commits of all nodes have one order, in which the log grows (``engine`` says how). No
node keeps anything that another one could not go on with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import psycopg

from remit.audit import merkle
from remit.errors import StoreCorrupt, StoreError
from remit.model import Revision
from remit.storage import Snapshot, Transaction
from remit.storage.commit import GroupCommit
from remit.storage.fleet import NodeState
from remit.storage.postgres.engine import PostgresEngine
from remit.storage.postgres.links import Links
from remit.storage.postgres.membership import (
    FleetMember,
    NodeCondition,
    members,
    publish,
    published,
)
from remit.storage.postgres.rows import Connection
from remit.storage.postgres.schema import migrate, translate
from remit.storage.postgres.snapshot import PostgresSnapshot

T = TypeVar("T")


class PostgresStore:
    """A store in a PostgreSQL database, shared with other nodes.

    Threads share one ``PostgresStore``. A process that forks must open it anew in the child.
    """

    def __init__(
        self, url: str, *, timeout: float = 10.0, patience: float = 30.0, name: str = "remit"
    ) -> None:
        """Open the store; bring the schema up to date, if it is not.

        Args:
            url: ``postgresql://USER@HOST/DATABASE``, or anything else that libpq takes.
            timeout: Seconds to go on without the database before giving up.
            patience: Seconds that one answer of the database may take.
            name: What the database calls this node (``application_name``).

        Raises:
            ConfigError: ``url`` is no address.
            StoreTooNew: a newer Remit made the schema.
            StoreCorrupt: the log does not hold together.
            StoreError: the database does not answer or does not do (the message says why).
        """
        self.url = url
        self._links = Links(url, patience, name)
        try:
            with self._links.open() as connection:
                self.schema_version = migrate(connection)
                _check_tail(connection)
        except psycopg.Error as error:
            raise translate(error, url) from error
        self._engine = PostgresEngine(self._links, timeout)
        self._commits = GroupCommit(self._engine)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a transaction; return its value once the commit is durable.

        ``work`` may run on another thread that writes at the same moment, and more than once.

        Raises:
            StoreError: nothing that ``work`` did has happened.
        """
        return self._commits.write(work)

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Like ``write``, without blocking the calling thread (for event loops)."""
        return self._commits.submit(work)

    def read(self, work: Callable[[Snapshot], T]) -> T:
        """Run ``work`` on a consistent view of what is committed.

        Raises:
            StoreError: the store could not be read.
        """
        self._commits.check_caller()
        self._commits.check_open()
        connection = self._links.lend()
        sound = False
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            snapshot = PostgresSnapshot(connection)
            try:
                return self._commits.run_inside(work, snapshot)
            finally:
                snapshot.end()
                connection.execute("ROLLBACK")
                sound = True
        except psycopg.Error as error:
            raise translate(error, self.url) from error
        finally:
            self._links.give_back(connection, sound)

    def join(
        self,
        name: str,
        release: str,
        policy: Callable[[], tuple[Revision, str | None]],
        clock: Callable[[], int],
    ) -> FleetMember:
        """Make this node one of a fleet, until the membership is closed.

        Args:
            name: of the node, like no other's.
            release: version of Remit.
            policy: gives the revision in force and what is wrong with the one that should be.
            clock: nanoseconds since the Unix epoch.
        """

        def condition() -> NodeCondition:
            return NodeCondition(*policy(), self._engine.size)

        return FleetMember(self._links, name, release, condition, clock)

    def publish(self, revision: Revision, bundle: bytes, by: str) -> None:
        """Let every node of the fleet put a policy in force, and tell them.

        Args:
            revision: of the policy.
            bundle: its documents, as canonical JSON.
            by: who wants that.

        Raises:
            StoreError: it was not published.
        """
        publish(self._links, revision, bundle, by)

    def published_revision(self) -> Revision | None:
        """The revision that every node is to have in force; None where none was published.

        Raises:
            StoreError: the database does not answer.
        """
        found = published(self._links)
        return None if found is None else found.revision

    def members(self) -> Sequence[NodeState]:
        """All nodes of the fleet that were heard of in the last day, by name.

        Raises:
            StoreError: the database does not answer.
        """
        return members(self._links)

    def close(self) -> None:
        """Finish running work and release the store. A second call does nothing."""
        if self._commits.close():
            self._engine.close()
            self._links.close()

    def __enter__(self) -> PostgresStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_tail(connection: Connection) -> None:
    """Check that the newest record, the tree above it and the head belong together.

    Raises:
        StoreCorrupt: they do not.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        view = PostgresSnapshot(connection)
        size = view.log_size()
        row = connection.execute(
            "SELECT position, tree, body FROM records ORDER BY position DESC LIMIT 1"
        ).fetchone()
        if row is None and not size:
            return
        try:
            if row is None or row[0] != size - 1:
                raise StoreCorrupt("Its newest records are missing.")
            expected = merkle.append(row[0], merkle.leaf_hash(row[2]), view.hashes)
            merkle.root(size, view.hashes)
        except StoreError as error:
            raise StoreCorrupt(f"The log in the database has a gap. {error}") from error
        if b"".join(expected) != row[1]:
            raise StoreCorrupt(
                f"The newest record ({row[0]}) does not match its hash in the tree. Keep the "
                "database for examination, and restore a backup."
            )


__all__ = ["PostgresStore"]
