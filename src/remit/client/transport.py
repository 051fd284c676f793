"""Requests to one server: over connections that are kept, sent again when an answer is lost.

A request is sent again only when that cannot make it happen twice: the server remembers it by its
``Idempotency-Key``. Nothing waits longer than it was given time for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from time import monotonic

from remit.client.connection import Connection, Response
from remit.client.endpoint import Endpoint
from remit.errors import ConfigError, Unavailable
from remit.model import Effect, Reason
from remit.protocols.wire import GOVERNOR_UNAVAILABLE

Secret = str | Callable[[], str] | None
"""A credential, or what gives one each time it is needed (tokens expire)."""

MOST_IDLE = 32
"""Connections that are kept while nobody uses them."""
MAX_IDLE = 30.0
"""Seconds after which a connection that was not used is not trusted to be there any more."""
PAUSES = (0.0, 0.05, 0.2)
"""Seconds before each attempt at the same request."""


class Transport:
    """Sends requests to one server. May be shared by threads."""

    def __init__(
        self, endpoint: Endpoint, credential: Secret = None, timeout: float = 10.0
    ) -> None:
        """Prepare to talk to a server; nothing is sent yet.

        Args:
            endpoint: where it is.
            credential: API key or token; none where the connection itself says who calls.
            timeout: seconds that a request may take altogether.

        Raises:
            ConfigError: the credential cannot be sent, or the timeout is none.
        """
        if timeout <= 0:
            raise ConfigError(f"timeout: {timeout} is no time; give seconds")
        self.endpoint = endpoint
        self._credential = credential
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._idle: list[Connection] = []
        self._process = os.getpid()
        self._closed = False
        if not callable(credential):
            self._authorization()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        key: str | None = None,
        patience: float = 0.0,
    ) -> Response:
        """Send a request and give the answer, whatever its status, unless that is 503.

        Args:
            method: ``GET``, or ``POST``: then it is one that can be repeated, or has a ``key``.
            path: with the query; percent-encoded.
            body: JSON.
            key: its ``Idempotency-Key``.
            patience: seconds that the answer may take by design, on top of the time for all.

        Raises:
            Unavailable: nobody answered, or only that it cannot be done now.
        """
        if self._closed:
            raise self._unavailable("this client is closed")
        request = self._request(method, path, body, key)
        deadline = monotonic() + self._timeout + patience
        problem: str = ""
        cause: OSError | None = None
        for pause in PAUSES:
            if pause and monotonic() + pause >= deadline:
                break
            time.sleep(pause)
            try:
                response = self._exchange(request, deadline)
            except OSError as error:
                problem, cause = _told(error), error
                continue
            if response.status != 503:
                return response
            problem, cause = "it cannot answer now (503)", None
        raise self._unavailable(problem) from cause

    def close(self) -> None:
        """Close the connections that nobody uses; what is under way ends by itself."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(self, request: bytes, deadline: float) -> Response:
        connection = self._taken() or Connection(self.endpoint.connect(_left(deadline)))
        try:
            response = connection.exchange(request, deadline)
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return response

    def _taken(self) -> Connection | None:
        """A kept connection that is still good."""
        while True:
            with self._mutex:
                self._forget_parent()
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if monotonic() - connection.idle_since < MAX_IDLE and connection.fresh():
                return connection
            connection.close()

    def _forget_parent(self) -> None:
        """In a forked child: the connections are its parent's; answers on them would mix."""
        if self._process != os.getpid():
            self._process = os.getpid()
            while self._idle:
                self._idle.pop().close()

    def _give_back(self, connection: Connection) -> None:
        if connection.usable:
            with self._mutex:
                if not self._closed and len(self._idle) < MOST_IDLE:
                    self._idle.append(connection)
                    return
        connection.close()

    def _request(self, method: str, path: str, body: bytes | None, key: str | None) -> bytes:
        head = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.endpoint.authority}",
            "Accept: application/json",
        ]
        authorization = self._authorization()
        if authorization is not None:
            head.append(f"Authorization: {authorization}")
        if key is not None:
            head.append(f"Idempotency-Key: {key}")
        if body is not None:
            head.append("Content-Type: application/json")
            head.append(f"Content-Length: {len(body)}")
        elif method == "POST":
            head.append("Content-Length: 0")
        return "\r\n".join((*head, "", "")).encode("ascii") + (body or b"")

    def _authorization(self) -> str | None:
        given = self._credential
        secret = given() if callable(given) else given
        if secret is None:
            return None
        if not secret or not all("!" <= letter <= "~" for letter in secret):
            raise ConfigError("The credential is empty or has characters that no credential has.")
        return f"Bearer {secret}"

    def _unavailable(self, problem: str) -> Unavailable:
        reason = Reason(
            rule=GOVERNOR_UNAVAILABLE,
            effect=Effect.DENY,
            because=f"The server at {self.endpoint.shown} does not answer: {problem}.",
            instead="Try again later; nothing runs without its answer.",
        )
        return Unavailable(f"{reason.because} {reason.instead}", reasons=(reason,))


def _told(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return error.strerror or str(error) or type(error).__name__


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("the server did not answer in time")
    return left
