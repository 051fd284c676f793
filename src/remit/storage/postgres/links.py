"""Connections to a database, and a watch over them: none waits for an answer for ever."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import Any

import psycopg

from remit.storage.postgres.schema import connect, translate

_IDLE = 8
_LOOK = 1.0
"""Seconds between two looks at the connections that wait."""


class Links:
    """Opens connections, lends idle ones, and cuts off one that waits for too long.

    TCP says nothing when whatever is in between keeps a connection open and passes nothing on.
    """

    def __init__(self, url: str, patience: float, application: str) -> None:
        """Connect to ``url``; cut connections off that wait for more than ``patience`` seconds."""
        self.url = url
        self._patience = patience
        self._application = application
        self._idle: list[psycopg.Connection[Any]] = []
        self._busy: dict[psycopg.Connection[Any], float] = {}
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._watch: threading.Thread | None = None

    def open(self) -> psycopg.Connection[Any]:
        """A new connection.

        Raises:
            psycopg.Error: there is none to be had.
        """
        return connect(self.url, self._application)

    def discard(self, connection: psycopg.Connection[Any]) -> None:
        """Close a connection, whatever state it is in."""
        self.rest(connection)
        with suppress(psycopg.Error, OSError):
            connection.close()

    def lend(self) -> psycopg.Connection[Any]:
        """An idle connection, or a new one.

        Raises:
            StoreError: there is none to be had.
        """
        with self._mutex:
            found = self._idle.pop() if self._idle else None
        try:
            connection = found or self.open()
        except psycopg.Error as error:
            raise translate(error, self.url) from error
        self.work(connection)
        return connection

    def give_back(self, connection: psycopg.Connection[Any], sound: bool) -> None:
        """Take a connection back; one that is not sound is closed."""
        self.rest(connection)
        with self._mutex:
            if sound and not self._closing.is_set() and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        self.discard(connection)

    def work(self, connection: psycopg.Connection[Any]) -> None:
        """Begin to watch a connection."""
        with self._mutex:
            self._busy[connection] = monotonic()
            if self._watch is None:
                self._watch = threading.Thread(target=self._look, name="remit-links", daemon=True)
                self._watch.start()

    def rest(self, connection: psycopg.Connection[Any]) -> None:
        """Cease to watch a connection."""
        with self._mutex:
            self._busy.pop(connection, None)

    def close(self) -> None:
        """Close the idle connections, and lend none any more."""
        self._closing.set()
        with self._mutex:
            idle, self._idle = self._idle, []
        for connection in idle:
            self.discard(connection)

    def _look(self) -> None:
        while not self._closing.wait(_LOOK):
            oldest = monotonic() - self._patience
            with self._mutex:
                stuck = [each for each, since in self._busy.items() if since < oldest]
                for connection in stuck:
                    del self._busy[connection]
            for connection in stuck:
                _cut(connection)


def _cut(connection: psycopg.Connection[Any]) -> None:
    """Shut the socket of a connection down, so that whoever waits at it gets an error."""
    with suppress(OSError, psycopg.Error):
        again = socket.socket(fileno=os.dup(connection.fileno()))
        try:
            again.shutdown(socket.SHUT_RDWR)
        finally:
            again.close()
