"""Server-sent events, read as they come and kept byte for byte.

The event stream of the HTML standard, section 9.2: lines end with CR, LF or CRLF, a blank line ends
an event, a byte order mark may come first. Every byte that is fed comes back in the ``raw`` of
exactly one event, so what nobody changes can be sent on untouched. How the bytes were cut on their
way makes no difference to the events.
"""

from __future__ import annotations

import re

from msgspec import Struct

from remit.errors import MalformedReply

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Largest event that is accepted: room for an image in base64, none for a stream without end."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
# Atomic: one CRLF must not be taken for a CR and a LF.
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_FIELDS = frozenset((b"data", b"event", b"id", b"retry"))


class ServerEvent(Struct, frozen=True):
    """One event, or a stretch of comments and blank lines that is none (``data`` is None)."""

    raw: bytes
    """Exactly as it came, with the blank line that ends it."""
    data: bytes | None
    """Its data lines joined by line feeds."""
    name: str
    """The ``event`` field; empty when there is none."""
    has_id: bool
    """Whether it has an ``id`` field: some readers then take every blank line for an event."""
    id: str = ""
    """Its value: what a client that lost the stream goes on from."""


class EventReader:
    """Cuts a stream of bytes into events."""

    __slots__ = ("_buffer", "_most", "_plain", "_started")

    def __init__(self, most: int = MAX_EVENT_BYTES) -> None:
        self._buffer = bytearray()
        self._most = most
        self._started = False
        # No CR has come yet, as none does from nearly everybody: ends are found without a regex.
        self._plain = True

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that ``data`` completes. A malformed one raises after those before it.

        Raises:
            MalformedReply: an event that is too large, or a line that is no field. The events
                before it are in ``before`` of the error.
        """
        self._plain = self._plain and b"\r" not in data
        held = len(self._buffer)
        if not held and self._plain and self._started and data.endswith(b"\n\n"):
            return self._whole(data)
        if held:
            self._buffer += data
        buffer = self._buffer if held else data
        # The last three bytes of what was held may be the first part of an end.
        begin, look = 0, max(0, held - 3)
        events: list[ServerEvent] = []
        while (end := self._end(buffer, look)) > 0:
            if end == len(buffer) and buffer[end - 1] == 13:
                # The LF of a CRLF may still come. Waiting keeps events the same for any chunks.
                break
            self._take(bytes(buffer[begin:end]), events)
            begin = look = end
        if held:
            del self._buffer[:begin]
        else:
            self._buffer += buffer[begin:]
        if len(self._buffer) > self._most:
            raise MalformedReply(f"an event of more than {self._most:,} bytes", events)
        return events

    def close(self) -> list[ServerEvent]:
        """What is left when the stream ends: an event without the blank line, if anything.

        Raises:
            MalformedReply: it has a line that is no field.
        """
        events: list[ServerEvent] = []
        if self._buffer:
            self._take(bytes(self._buffer), events)
            self._buffer.clear()
        return events

    def _whole(self, data: bytes) -> list[ServerEvent]:
        """The events of bytes that end where an event ends, as they mostly come."""
        events: list[ServerEvent] = []
        for text in data[:-2].split(b"\n\n"):
            raw = text + b"\n\n"
            if len(raw) <= self._most and text.startswith(b"data: ") and b"\n" not in text:
                events.append(ServerEvent(raw, text[6:], "", False))
            else:
                self._take(raw, events)
        return events

    def _end(self, buffer: bytes | bytearray, start: int) -> int:
        """Where the first event ends; 0 where none does."""
        if self._plain:
            place = buffer.find(b"\n\n", start)
            return 0 if place < 0 else place + 2
        found = _EVENT_END.search(buffer, start)
        return 0 if found is None else found.end()

    def _take(self, raw: bytes, events: list[ServerEvent]) -> None:
        if len(raw) > self._most:
            raise MalformedReply(f"an event of more than {self._most:,} bytes", events)
        text = raw
        if not self._started:
            self._started = True
            text = raw.removeprefix(_BOM)
        events.append(_parse(raw, text, events))


def _parse(raw: bytes, text: bytes, before: list[ServerEvent]) -> ServerEvent:
    one_line = text.find(b"\n") == len(text) - 2 and text.endswith(b"\n") and b"\r" not in text
    if one_line and text.startswith(b"data: "):
        return ServerEvent(raw, text[6:-2], "", False)
    data: list[bytes] = []
    name = b""
    has_id, event_id = False, b""
    for line in _LINE_END.split(text):
        if not line or line[0] == 58:
            continue
        field, _, value = line.partition(b":")
        if field not in _FIELDS:
            # Readers disagree about such lines: one takes them for JSON by themselves.
            shown = field[:40].decode("utf-8", "backslashreplace")
            raise MalformedReply(f"a line of the event stream begins with {shown!r}", before)
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif field == b"id":
            has_id, event_id = True, value
    joined = b"\n".join(data) if data else None
    return ServerEvent(
        raw,
        joined,
        name.decode("utf-8", "replace"),
        has_id,
        event_id.decode("utf-8", "replace"),
    )


def encode_event(data: bytes, name: str = "", event_id: str = "") -> bytes:
    """An event with one line of data, which must not hold a line end (JSON does not)."""
    head = f"event: {name}\n".encode() if name else b""
    if event_id:
        head += f"id: {event_id}\n".encode()
    return head + b"data: " + data + b"\n\n"
