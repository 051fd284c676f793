"""A streamed chat completion: which calls its chunks belong to, and how refused ones are written.

A call is complete when the next one of the same choice begins, or the choice finishes. Official
SDKs put calls into a list by their ``index``, which must not have gaps: behind a refused call the
indexes move up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from remit.errors import MalformedReply
from remit.protocols.model_api import (
    CallVerdict,
    HostedCall,
    RequestedCall,
    TokenUsage,
    glanced,
    mentions,
    objects,
    read_answer,
    size_of,
    text_of,
    write_json,
)
from remit.protocols.model_repeats import RepeatedText
from remit.protocols.model_stream import EventReading
from remit.protocols.openai_words import (
    call_parts,
    call_with,
    chat_call,
    chat_usage,
    comment,
    joined,
)
from remit.protocols.sse import ServerEvent, encode_event

# Without one of these no chunk can hold a call or an error.
_TELLING = (b"tool", b"function", b"custom", b"\\u", b'"error"', b'"message"')
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')
ENDS_OF_CALLS = ("tool_calls", "function_call")
_LEGACY = "function_call"


class _QuietDelta(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _QuietChoice(Struct):
    index: int = 0
    delta: _QuietDelta = field(default_factory=_QuietDelta)
    finish_reason: str | None = None


class _QuietChunk(Struct):
    """The part of a chunk that is looked at when it can hold nothing but text."""

    choices: list[_QuietChoice] = []
    usage: dict[str, Any] | None = None


_quiet = msgspec.json.Decoder(_QuietChunk)


class _Call:
    """A call whose pieces are coming in."""

    __slots__ = ("after_text", "closed", "id", "kind", "name", "pieces")

    def __init__(self, kind: str, after_text: bool) -> None:
        self.kind = kind
        self.after_text = after_text
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.closed = False

    def add(self, fragment: Mapping[str, Any], kind: str, name: str, text: str) -> None:
        """Take the next piece.

        Raises:
            MalformedReply: readers could disagree about what the pieces make together.
        """
        call_id = text_of(fragment.get("id"), "id")
        if self.closed:
            raise MalformedReply("a piece of a call that was complete")
        if (name and self.name) or (call_id and self.id not in ("", call_id)):
            raise MalformedReply("two calls under one index")
        if kind != self.kind and "type" in fragment:
            raise MalformedReply("a call that changes its type")
        self.id = call_id or self.id
        self.name = name or self.name
        self.pieces.append(text)


class ChatReader:
    """Reads and writes the chunks of one streamed chat completion. See ``ReplyReader``."""

    def __init__(self, *, hide_usage: bool) -> None:
        self.id = ""
        self.usage: TokenUsage | None = None
        self.finish: str | None = None
        self.model: str | None = None
        self.hosted: list[HostedCall] = []
        self.text_bytes = 0
        self._hide = hide_usage
        self._ids = False
        self._calls: dict[tuple[int, int], _Call] = {}
        self._talked: set[int] = set()
        self._finished: set[int] = set()
        self._refused: set[int] = set()
        self._first: set[str] = set()
        self._repeated = RepeatedText("content")
        self._choice_again = 0
        """The choice of the event that others repeat."""

    def read(self, event: ServerEvent) -> EventReading:
        """What a chunk means. See ``ReplyReader``."""
        self._ids = self._ids or event.has_id
        data = event.data
        if data is None:
            return EventReading(event)
        size = self._repeated.size(data)
        if size:
            self.text_bytes += size
            self._talked.add(self._choice_again)
            return EventReading(event)
        if data.lstrip().startswith(b"[DONE]"):
            return EventReading(event, calls=self._complete())
        if self.model is not None and not mentions(data, _TELLING) and self._text(data):
            return EventReading(event)
        value = read_answer(data)
        if not isinstance(value, dict):
            raise MalformedReply("a chunk that is not a JSON object")
        return self._chunk(event, value)

    def _text(self, data: bytes) -> bool:
        """Count the text of a chunk that can hold nothing else; whether that is what it is."""
        chunk = glanced(_quiet, data)
        if chunk is None or chunk.usage or any(choice.finish_reason for choice in chunk.choices):
            return False
        for choice in chunk.choices:
            delta = choice.delta
            for text in (delta.content, delta.refusal, delta.reasoning_content, delta.reasoning):
                if text:
                    self.text_bytes += len(text.encode())
                    self._talked.add(choice.index)
        if len(chunk.choices) == 1:
            self._learn(data, *chunk.choices)
        return True

    def _learn(self, data: bytes, choice: _QuietChoice) -> None:
        """Take note of a chunk that the next ones will repeat but for the text."""
        delta = choice.delta
        if delta.content is not None and not (
            delta.refusal or delta.reasoning_content or delta.reasoning
        ):
            self._choice_again = choice.index
            self._repeated.learn(data, delta.content)

    def _chunk(self, event: ServerEvent, value: dict[str, Any]) -> EventReading:
        if value.get("error"):
            self.finish = "error"
        model = value.get("model")
        if isinstance(model, str):
            self.model = model
        usage = chat_usage(value.get("usage"))
        if usage is not None:
            self.usage = usage
        keys: list[str] = []
        calls: list[RequestedCall] = []
        ends = False
        for choice in objects(value.get("choices"), "choices"):
            self._choice(choice, keys, calls)
            ends = ends or choice.get("finish_reason") in ENDS_OF_CALLS
        hides = self._hide and value.get("usage") is not None
        kept = value if keys or ends or hides else None
        return EventReading(event, kept, tuple(keys), tuple(calls))

    def _choice(self, choice: dict[str, Any], keys: list[str], calls: list[RequestedCall]) -> None:
        number = choice.get("index", 0)
        if type(number) is not int or choice.get("message"):
            raise MalformedReply("a choice that is none of a stream")
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict):
            raise MalformedReply("a delta that is not an object")
        fragments = list(objects(delta.get("tool_calls"), "tool_calls"))
        for fragment in fragments:
            index = fragment.get("index")
            if type(index) is not int or index < 0:
                raise MalformedReply("a piece of a tool call without an index")
            keys.append(self._piece(number, index, fragment, calls))
        legacy = delta.get(_LEGACY)
        if legacy is not None:
            fragment = {"type": "function", "function": legacy}
            keys.append(self._piece(number, -1, fragment, calls))
        texts = {key: text for key, text in delta.items() if key not in ("tool_calls", "role")}
        size = size_of(texts)
        self.text_bytes += size
        if size and delta.get("content"):
            self._talked.add(number)
        reason = choice.get("finish_reason")
        if reason:
            self.finish = text_of(reason, "finish_reason")
            self._finished.add(number)
            calls.extend(self._complete(number))

    def _piece(
        self, number: int, index: int, fragment: Mapping[str, Any], calls: list[RequestedCall]
    ) -> str:
        """Take a piece of a call; gives the key of the call."""
        if number in self._finished:
            raise MalformedReply("a tool call after the end of its choice")
        kind, name, text = call_parts(fragment)
        call = self._calls.get((number, index))
        if call is None:
            calls.extend(self._complete(number))
            if any(at[0] == number and at[1] >= index for at in self._calls):
                raise MalformedReply("tool calls out of order")
            call = self._calls[number, index] = _Call(kind, number in self._talked)
        call.add(fragment, kind, name, text)
        self.text_bytes += len(text.encode()) if index >= 0 else 0
        return _key(number, index)

    def _complete(self, number: int | None = None) -> tuple[RequestedCall, ...]:
        """Close the open calls, of one choice or of all."""
        done = []
        for (choice, index), call in self._calls.items():
            if not call.closed and number in (None, choice):
                call.closed = True
                text = "".join(call.pieces)
                done.append(chat_call(_key(choice, index), call.id, call.kind, call.name, text))
        return tuple(done)

    def close(self) -> tuple[RequestedCall, ...]:
        """The end of the stream. See ``ReplyReader``."""
        if not all(call.closed for call in self._calls.values()):
            raise MalformedReply("the stream ended in the middle of a tool call")
        return ()

    def write(self, reading: EventReading, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """A chunk as decided. See ``ReplyReader``."""
        value = reading.value
        raw = reading.event.raw
        if self._hide:
            raw = _NULL_USAGE.sub(b"", raw, count=1)
        if value is None:
            return raw
        choices = objects(value.get("choices"), "choices")
        if self._hide and not choices and value.get("usage") is not None:
            return b""
        changed = [self._write_choice(choice, verdicts) for choice in choices]
        if not any(changed):
            return raw
        if not any(map(_says_something, choices)) and value.get("usage") is None:
            return b""
        if self._hide and value.get("usage", 0) is None:
            del value["usage"]
        return encode_event(write_json(value), reading.event.name)

    def _write_choice(self, choice: dict[str, Any], verdicts: Mapping[str, CallVerdict]) -> bool:
        """Carry the verdicts out in one choice of a chunk; whether anything changed."""
        number = choice.get("index", 0)
        delta = choice.get("delta") or {}
        changed = False
        fragments = delta.get("tool_calls") or []
        written = [
            self._write_piece(number, each["index"], each, delta, verdicts) for each in fragments
        ]
        if any(new is not old for new, old in zip(written, fragments, strict=True)):
            delta["tool_calls"] = [piece for piece in written if piece is not None]
            if not delta["tool_calls"]:
                del delta["tool_calls"]
            changed = True
        if delta.get(_LEGACY) is not None:
            legacy = {"function": delta.pop(_LEGACY)}
            piece = self._write_piece(number, -1, legacy, delta, verdicts)
            if piece is not None:
                delta[_LEGACY] = piece["function"]
            changed = changed or piece is not legacy
        keys = [_key(*at) for at in self._calls if at[0] == number]
        ended = choice.get("finish_reason") in ENDS_OF_CALLS
        if ended and keys and not any(verdicts[key].allowed for key in keys):
            choice["finish_reason"] = "stop"
            changed = True
        return changed

    def _write_piece(
        self,
        number: int,
        index: int,
        fragment: dict[str, Any],
        delta: dict[str, Any],
        verdicts: Mapping[str, CallVerdict],
    ) -> dict[str, Any] | None:
        """A piece of a call as decided: itself where nothing changes, None where it goes."""
        key = _key(number, index)
        call = self._calls[number, index]
        verdict = verdicts[key]
        first = key not in self._first
        self._first.add(key)
        if not verdict.allowed:
            if first:
                apart = call.after_text or number in self._refused or bool(delta.get("content"))
                delta["content"] = joined(delta.get("content"), verdict.refusal, apart=apart)
                self._refused.add(number)
            return None
        if verdict.arguments is not None:
            if not first:
                return None
            fragment = call_with(fragment, verdict.arguments)
        refused = sum(
            at[0] == number and 0 <= at[1] < index and not verdicts[_key(*at)].allowed
            for at in self._calls
        )
        return {**fragment, "index": index - refused} if refused else fragment

    def keep_alive(self) -> bytes:
        """A comment. See ``ReplyReader``."""
        return comment(self._ids)

    def farewell(self, reason: str) -> bytes:
        """An error in the shape that OpenAI's SDK raises. See ``ReplyReader``."""
        error = {"message": reason, "type": "server_error", "param": None, "code": "remit_refused"}
        return encode_event(write_json({"error": error}))


def _key(number: int, index: int) -> str:
    return f"{number}.{index}" if index >= 0 else f"{number}.{_LEGACY}"


def _says_something(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return bool(choice.get("finish_reason") or any(value for value in delta.values()))
