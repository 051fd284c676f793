"""One connection that speaks HTTP/1.1 (RFC 9112): a request out, a response in, in turn.

Only what a client of Remit's server needs, and strict about it: a response that could be read in
two ways is an error, and an error ends the connection.
"""

from __future__ import annotations

import re
import select
import socket
from time import monotonic

from msgspec import Struct

MAX_HEAD = 65_536
"""Bytes of status line and headers together."""
MAX_BODY = 16 * 1024 * 1024
_CHUNK = 65_536
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n]*)?")


class ProtocolError(OSError):
    """What came is no HTTP response that can be trusted."""


class ConnectionEndedError(ProtocolError):
    """The server closed the connection."""


class Response(Struct, frozen=True):
    """A response, read to its end."""

    status: int
    body: bytes


class Connection:
    """A socket and what was read from it too early. For one thread at a time.

    Attributes:
        usable: whether another request may follow.
        idle_since: monotonic seconds.
    """

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._buffer = bytearray()
        self._deadline = 0.0
        self.usable = True
        self.idle_since = monotonic()

    def exchange(self, request: bytes, deadline: float) -> Response:
        """Send a request and read the response, until a monotonic time.

        Raises:
            OSError: it could not be sent, or no proper response came in time.
        """
        self.usable = False
        self._deadline = deadline
        self._patience()
        self._socket.sendall(request)
        status, headers, old = self._head()
        while status < 200:
            status, headers, old = self._head()
        body, closes = self._body(status, headers)
        kept = headers.get(b"connection", b"").lower()
        if not (closes or old or self._buffer or b"close" in kept):
            self.usable = True
            self.idle_since = monotonic()
        return Response(status, body)

    def fresh(self) -> bool:
        """Whether nothing has come, not even its end, since the last response."""
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return not poll.poll(0)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _head(self) -> tuple[int, dict[bytes, bytes], bool]:
        """Status, headers by lower-case name, and whether it is HTTP/1.0."""
        buffer = self._buffer
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if len(buffer) > MAX_HEAD:
                raise ProtocolError("the head of the response is too long")
            self._more()
        lines = bytes(buffer[:end]).split(b"\r\n")
        del buffer[: end + 4]
        match = _STATUS.fullmatch(lines[0])
        if match is None:
            raise ProtocolError("the response is not HTTP/1.1")
        headers: dict[bytes, bytes] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            key = name.lower()
            if not colon or not name or name != name.strip():
                raise ProtocolError("the response has a malformed header")
            if key in (b"content-length", b"transfer-encoding") and key in headers:
                raise ProtocolError("the response says twice how long it is")
            headers[key] = value.strip(b" \t")
        return int(match[2]), headers, match[1] == b"0"

    def _body(self, status: int, headers: dict[bytes, bytes]) -> tuple[bytes, bool]:
        """The body, and whether only the end of the connection ended it."""
        length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
        if status in (204, 304):
            return b"", False
        if coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise ProtocolError("the response does not say clearly how long it is")
            return self._chunks(), False
        if length is None:
            return self._rest(), True
        if _LENGTH.fullmatch(length) is None or int(length) > MAX_BODY:
            raise ProtocolError("the response is too long, or does not say how long it is")
        return self._take(int(length)), False

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            match = _SIZE.fullmatch(self._line())
            size = -1 if match is None else int(match[1], 16)
            if size < 0 or len(body) + size > MAX_BODY:
                raise ProtocolError("the response is too long, or its parts are malformed")
            if size == 0:
                while self._line():
                    continue
                return bytes(body)
            body += self._take(size)
            if self._line():
                raise ProtocolError("a part of the response is longer than it says")

    def _rest(self) -> bytes:
        while len(self._buffer) <= MAX_BODY:
            try:
                self._more()
            except ConnectionEndedError:
                return self._take(len(self._buffer))
        raise ProtocolError("the response is too long")

    def _line(self) -> bytes:
        buffer = self._buffer
        while (end := buffer.find(b"\r\n")) < 0:
            if len(buffer) > MAX_HEAD:
                raise ProtocolError("a line of the response is too long")
            self._more()
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def _take(self, count: int) -> bytes:
        buffer = self._buffer
        while len(buffer) < count:
            self._more()
        taken = bytes(buffer[:count])
        del buffer[:count]
        return taken

    def _more(self) -> None:
        """Read what is there.

        Raises:
            ConnectionEndedError: nothing comes any more.
            TimeoutError: nothing came in time.
        """
        self._patience()
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionEndedError("the server closed the connection")
        self._buffer += data

    def _patience(self) -> None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the server did not answer in time")
        self._socket.settimeout(left)
