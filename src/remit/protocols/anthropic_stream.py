"""A streamed message of Anthropic: which blocks are calls, and how refused ones are written.

A call is a content block from its start to its stop. A refused one becomes a block of text under
the same index, so that nothing else has to move. Official SDKs number blocks by the order in which
they begin, so blocks that do not begin in order are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from remit.errors import MalformedReply
from remit.protocols.anthropic_blocks import (
    anthropic_usage,
    error_value,
    is_call,
    is_hosted,
    noted,
    read_call,
    text_block,
)
from remit.protocols.model_api import (
    CallVerdict,
    HostedCall,
    RequestedCall,
    TokenUsage,
    glanced,
    mentions,
    part,
    read_answer,
    read_arguments,
    size_of,
    text_of,
    write_json,
    written_arguments,
)
from remit.protocols.model_stream import EventReading
from remit.protocols.sse import ServerEvent, encode_event

# Without one of these no event can begin a block or continue a call, or say anything of the whole.
_TELLING = (
    *(
        b"tool",
        b'"content_block"',
        b'"partial_json"',
        b'"message"',
        b"message_",
        b"\\u",
        b'"error"',
    ),
)


class _QuietBlockDelta(Struct):
    text: str = ""
    thinking: str = ""


class _QuietBlockEvent(Struct):
    """The part of an event that is looked at when it can hold nothing but text."""

    type: str
    index: int = -1
    delta: _QuietBlockDelta = field(default_factory=_QuietBlockDelta)


_quiet = msgspec.json.Decoder(_QuietBlockEvent)


class _OpenBlock:
    """A call, by client or provider, whose events are coming in."""

    __slots__ = ("block", "closed", "pieces")

    def __init__(self, block: dict[str, Any]) -> None:
        self.block = block
        self.pieces: list[str] = []
        self.closed = False

    def input(self) -> tuple[Any, str]:
        """What it is called with, and what is wrong with that.

        Raises:
            MalformedReply: it has come twice, whole and in pieces.
        """
        text = "".join(self.pieces)
        whole = self.block.get("input")
        if not text.strip():
            return ({} if whole is None else whole), ""
        if whole:
            raise MalformedReply("a call with two inputs")
        return read_arguments(text)


class MessagesReader:
    """Reads and writes the events of one streamed message. See ``ReplyReader``."""

    def __init__(self) -> None:
        self.id = ""
        self.usage: TokenUsage | None = None
        self.finish: str | None = None
        self.model: str | None = None
        self.hosted: list[HostedCall] = []
        self.text_bytes = 0
        self._begun = 0
        self._started = False
        self._stopped = False
        self._open: dict[int, _OpenBlock] = {}
        self._keys: list[str] = []
        self._first_usage: Mapping[str, Any] = {}

    def read(self, event: ServerEvent) -> EventReading:
        """What an event means. See ``ReplyReader``."""
        data = event.data
        if data is None:
            return EventReading(event)
        if not mentions(data, _TELLING) and self._text(event, data):
            return EventReading(event)
        value = read_answer(data)
        if not isinstance(value, dict):
            raise MalformedReply("an event that is not a JSON object")
        kind = text_of(value.get("type"), "type")
        if event.name and kind and event.name != kind:
            raise MalformedReply(f"an event that is called {event.name!r} and is {kind!r}")
        if kind == "content_block_start":
            return self._start(event, value)
        if kind in ("content_block_delta", "content_block_stop"):
            return self._continue(event, kind, value)
        self._whole(kind, value)
        changes = kind == "message_delta" and self._keys
        return EventReading(event, value if changes else None)

    def _text(self, event: ServerEvent, data: bytes) -> bool:
        """Count the text of an event that can hold nothing else; whether that is what it is."""
        quiet = glanced(_quiet, data)
        if quiet is None:
            return False
        if quiet.index in self._open or event.name not in ("", quiet.type):
            return False
        self.text_bytes += len(quiet.delta.text.encode()) + len(quiet.delta.thinking.encode())
        return True

    def _start(self, event: ServerEvent, value: dict[str, Any]) -> EventReading:
        block = value.get("content_block")
        index = value.get("index")
        if (
            not isinstance(block, dict)
            or type(index) is not int
            or index != self._begun
            or self._stopped
        ):
            raise MalformedReply("a content block out of order")
        self._begun += 1
        self.text_bytes += size_of(block.get("text"))
        if is_hosted(block):
            self._open[index] = _OpenBlock(block)
        elif is_call(block):
            self._open[index] = _OpenBlock(block)
            self._keys.append(str(index))
            return EventReading(event, value, (str(index),))
        else:
            noted(self.hosted, block)
        return EventReading(event)

    def _continue(self, event: ServerEvent, kind: str, value: dict[str, Any]) -> EventReading:
        index = value.get("index")
        self.text_bytes += size_of(value.get("delta"))
        opened = self._open.get(index) if isinstance(index, int) else None
        if opened is None:
            return EventReading(event)
        if opened.closed:
            raise MalformedReply("a piece of a call that was complete")
        call = is_call(opened.block)
        keys = (str(index),) if call else ()
        if kind == "content_block_delta":
            text = text_of(part(value, "delta").get("partial_json"), "partial_json")
            opened.pieces.append(text)
            return EventReading(event, value if call else None, keys)
        opened.closed = True
        given, problem = opened.input()
        if call:
            done = read_call(str(index), opened.block, given, problem)
            return EventReading(event, value, keys, (done,))
        noted(self.hosted, {**opened.block, "input": given})
        return EventReading(event)

    def _whole(self, kind: str, value: dict[str, Any]) -> None:
        """Take what an event says of the message as a whole."""
        message = value.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        blocks = [value.get("content_block"), *(content if isinstance(content, list) else ())]
        if any(map(is_call, blocks)) or (kind == "message_start" and self._started):
            raise MalformedReply(f"a call, or another message, in an event {kind[:40]!r}")
        if kind == "message_start":
            self._started = True
            model = part(value, "message").get("model")
            self.model = model if isinstance(model, str) else None
            self._first_usage = part(message, "usage")
            self.usage = anthropic_usage(self._first_usage)
        elif kind == "message_delta":
            reason = text_of(part(value, "delta").get("stop_reason"), "stop_reason")
            self.finish = reason or self.finish
            self._stopped = self._stopped or bool(reason)
            if value.get("usage") is not None:
                self.usage = anthropic_usage(value["usage"], self._first_usage)
        elif kind == "error":
            self.finish = "error"

    def close(self) -> tuple[RequestedCall, ...]:
        """The end of the stream. See ``ReplyReader``."""
        if not all(each.closed for each in self._open.values() if is_call(each.block)):
            raise MalformedReply("the stream ended in the middle of a tool call")
        return ()

    def write(self, reading: EventReading, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """An event as decided. See ``ReplyReader``."""
        value = reading.value
        raw = reading.event.raw
        if value is None:
            return raw
        kind = value["type"]
        if kind == "message_delta":
            return self._end(raw, value, verdicts)
        verdict = verdicts[reading.keys[0]]
        if verdict.unchanged:
            return raw
        index = value["index"]
        if verdict.allowed:
            if kind == "content_block_delta":
                return b""
            if kind == "content_block_stop":
                return raw
            block = {**value["content_block"], "input": {}}
            text = written_arguments(verdict.arguments or {})
            piece = {"type": "input_json_delta", "partial_json": text}
            return _encode({**value, "content_block": block}) + _delta(index, piece)
        if kind != "content_block_start":
            return b""
        start = {"type": kind, "index": index, "content_block": text_block("")}
        piece = {"type": "text_delta", "text": verdict.refusal}
        stop = {"type": "content_block_stop", "index": index}
        return _encode(start) + _delta(index, piece) + _encode(stop)

    def _end(self, raw: bytes, value: dict[str, Any], verdicts: Mapping[str, CallVerdict]) -> bytes:
        """The end of a message: it stopped to call tools only where calls are left."""
        delta = part(value, "delta")
        # A call that never became complete has no verdict.
        left = any(key in verdicts and verdicts[key].allowed for key in self._keys)
        if delta.get("stop_reason") != "tool_use" or left:
            return raw
        return _encode({**value, "delta": {**delta, "stop_reason": "end_turn"}})

    def keep_alive(self) -> bytes:
        """A ping, such as Anthropic sends. See ``ReplyReader``."""
        return b'event: ping\ndata: {"type": "ping"}\n\n'

    def farewell(self, reason: str) -> bytes:
        """An error event. See ``ReplyReader``."""
        return _encode(error_value(500, reason))


def _encode(value: Mapping[str, Any]) -> bytes:
    return encode_event(write_json(value), value["type"])


def _delta(index: int, piece: Mapping[str, Any]) -> bytes:
    return _encode({"type": "content_block_delta", "index": index, "delta": piece})
