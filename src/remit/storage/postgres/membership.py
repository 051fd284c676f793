"""A node in its fleet: it says that it lives, hears news, and leads when nobody else does.

One connection of its own does all three, in a thread. The leader holds an advisory lock, which goes
with its connection however that ends. A leader that lives and says nothing (a machine that was
paused) has its connection ended by the others; and it does not take itself for the leader any more
once it has been silent for half of that time by its own clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg

from remit.model import Revision
from remit.storage.fleet import NodeState, PublishedPolicy
from remit.storage.postgres.engine import CHANNEL
from remit.storage.postgres.links import Links
from remit.storage.postgres.schema import ensure_months, translate

BEAT = 1.0
"""Seconds between two signs of life."""
SILENCE = 6.0
"""Seconds of silence after which a leader is deposed."""
_MONTHS = 6 * 3600.0
"""Seconds between two looks whether the months to come have their tables."""
_LEADING = 0x52454D55
"""Advisory lock of the leader."""

_SAY = """
INSERT INTO nodes (name, backend, leads, release, revision, fault, size, skew)
VALUES (%(name)s, pg_backend_pid(), %(leads)s, %(release)s, %(revision)s, %(fault)s, %(size)s,
        %(now)s - extract(epoch FROM clock_timestamp())::float8)
ON CONFLICT (name) DO UPDATE SET backend = excluded.backend, leads = excluded.leads,
    release = excluded.release, revision = excluded.revision, fault = excluded.fault,
    size = excluded.size, skew = excluded.skew, seen_at = clock_timestamp()
"""
_DEPOSE = """
SELECT pg_terminate_backend(lock.pid) FROM pg_locks AS lock
WHERE lock.locktype = 'advisory' AND lock.classid = 0 AND lock.objid = %s AND lock.granted
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND NOT EXISTS (SELECT FROM nodes WHERE nodes.backend = lock.pid
                  AND nodes.seen_at > clock_timestamp() - make_interval(secs => %s))
"""
_NODES = """
SELECT name, leads AND seen_at > clock_timestamp() - make_interval(secs => %s), release, revision,
       fault, greatest(0, head.size - nodes.size), skew,
       extract(epoch FROM clock_timestamp() - seen_at)::float8,
       extract(epoch FROM clock_timestamp() - started_at)::float8
FROM nodes, head WHERE seen_at > clock_timestamp() - interval '1 day' ORDER BY name
"""
_PUBLISHED = """
SELECT documents.revision, documents.bundle FROM published
JOIN documents ON documents.revision = published.revision
"""
_PUBLISH = """
WITH kept AS (INSERT INTO documents (revision, bundle) VALUES (%s, %s) ON CONFLICT DO NOTHING),
     named AS (INSERT INTO published (one, revision, by) VALUES (1, %s, %s)
               ON CONFLICT (one) DO UPDATE SET revision = excluded.revision, by = excluded.by,
                   at = clock_timestamp())
SELECT pg_notify(%s, '')
"""


class NodeCondition(NamedTuple):
    """What a node says of itself."""

    revision: Revision
    fault: str | None
    size: int
    """Of the log, as it has seen it."""


class FleetMember:
    """One node of a fleet (``Fleet``)."""

    def __init__(
        self,
        links: Links,
        name: str,
        release: str,
        condition: Callable[[], NodeCondition],
        clock: Callable[[], int],
    ) -> None:
        """Join the fleet on the database of ``links``.

        Args:
            links: gives connections.
            name: of this node, like no other's.
            release: version of Remit.
            condition: what to say of it; called in another thread.
            clock: nanoseconds since the Unix epoch.
        """
        self.name = name
        self.news: Callable[[], None] | None = None
        """Is called, in another thread, when approvals, stops or policies have changed."""
        self._links = links
        self._release = release
        self._condition = condition
        self._clock = clock
        self._leads = False
        self._beaten = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._live, name="remit-fleet", daemon=True)
        self._thread.start()

    @property
    def leads(self) -> bool:
        """Whether this node leads now."""
        return self._leads and time.monotonic() - self._beaten < SILENCE / 2

    def nodes(self) -> Sequence[NodeState]:
        """All nodes that were heard of in the last day, by name.

        Raises:
            StoreError: the database does not answer.
        """
        return members(self._links)

    def published(self) -> PublishedPolicy | None:
        """The policy that was published last; None for none.

        Raises:
            StoreError: the database does not answer.
        """
        return published(self._links)

    def close(self) -> None:
        """Leave the fleet."""
        self._closing.set()
        self._thread.join(2 * BEAT)

    def _live(self) -> None:
        """Body of the thread: stay connected until the node leaves."""
        while not self._closing.is_set():
            connection = None
            try:
                connection = self._links.open()
                self._links.work(connection)
                connection.execute(f"LISTEN {CHANNEL}".encode())
                self._stay(connection)
                self._leave(connection)
            except psycopg.Error:
                self._closing.wait(BEAT / 2)
            finally:
                self._leads = False
                if connection is not None:
                    self._links.discard(connection)

    def _stay(self, connection: psycopg.Connection[Any]) -> None:
        looked = 0.0
        while not self._closing.is_set():
            self._links.work(connection)
            self._beat(connection)
            if self._leads and time.monotonic() - looked > _MONTHS:
                ensure_months(connection)
                looked = time.monotonic()
            for _ in connection.notifies(timeout=BEAT, stop_after=1):
                if self.news is not None:
                    self.news()

    def _beat(self, connection: psycopg.Connection[Any]) -> None:
        revision, fault, size = self._condition()
        said = {
            "name": self.name,
            "leads": self._leads,
            "release": self._release,
            "revision": revision,
            "fault": fault,
            "size": size,
            "now": self._clock() / 1e9,
        }
        connection.execute(_SAY.encode(), said)
        if not self._leads:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LEADING,)).fetchone()
            self._leads = bool(row and row[0])
            if self._leads:
                connection.execute(_SAY.encode(), {**said, "leads": True})
                connection.execute(
                    "DELETE FROM nodes WHERE seen_at < clock_timestamp() - interval '1 day'"
                )
                connection.execute(
                    "DELETE FROM marks WHERE at < clock_timestamp() - interval '1 day'"
                )
            else:
                connection.execute(_DEPOSE.encode(), (_LEADING, SILENCE))
        self._beaten = time.monotonic()

    def _leave(self, connection: psycopg.Connection[Any]) -> None:
        with suppress(psycopg.Error):
            connection.execute("DELETE FROM nodes WHERE name = %s", (self.name,))


def members(links: Links) -> Sequence[NodeState]:
    """All nodes that were heard of in the last day, by name.

    Raises:
        StoreError: the database does not answer.
    """
    return list(map(_node, _ask(links, _NODES, SILENCE)))


def published(links: Links) -> PublishedPolicy | None:
    """The policy that was published last; None for none.

    Raises:
        StoreError: the database does not answer.
    """
    for revision, bundle in _ask(links, _PUBLISHED):
        return PublishedPolicy(revision=revision, bundle=bundle)
    return None


def publish(links: Links, revision: Revision, bundle: bytes, by: str) -> None:
    """Let every node put a policy in force, and tell them.

    Raises:
        StoreError: it was not published.
    """
    _ask(links, _PUBLISH, revision, bundle, revision, by, CHANNEL)


def _ask(links: Links, sql: str, *parameters: Any) -> list[Any]:
    connection = links.lend()
    sound = False
    try:
        rows = connection.execute(sql.encode(), parameters).fetchall()
        sound = True
    except psycopg.Error as error:
        raise translate(error, links.url) from error
    finally:
        links.give_back(connection, sound)
    return rows


def _node(row: tuple[Any, ...]) -> NodeState:
    name, leads, release, revision, fault, lag, skew, seen, up = row
    return NodeState(
        name=name,
        leads=leads,
        release=release,
        revision=revision,
        fault=fault,
        lag=lag,
        skew=round(skew, 3),
        seen=round(seen, 3),
        up=round(up, 1),
    )
