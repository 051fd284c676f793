"""A streamed answer of Gemini: every event is a whole answer with the parts that are new.

A call comes whole in one event, so an event with calls waits for them and nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from remit.errors import MalformedReply
from remit.protocols.gemini_parts import (
    calls_in,
    decided_parts,
    finish_in,
    gemini_usage,
    hosted_in,
)
from remit.protocols.model_api import (
    CallVerdict,
    HostedCall,
    RequestedCall,
    TokenUsage,
    glanced,
    mentions,
    read_answer,
    size_of,
    write_json,
)
from remit.protocols.model_stream import EventReading
from remit.protocols.sse import ServerEvent, encode_event

# Without one of these no event can hold a call, by anybody, or an error.
_TELLING = (
    *(b"Call", b"call", b"Tool", b"tool", b"Code", b"code", b"\\u", b'"error"', b"rounding"),
    *(b"rlContext", b"Feedback"),
)
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _QuietPart(Struct):
    text: str = ""


class _QuietContent(Struct):
    parts: list[_QuietPart] = []


class _QuietCandidate(Struct, rename="camel"):
    content: _QuietContent = field(default_factory=_QuietContent)
    finish_reason: str | None = None


class _QuietAnswer(Struct, rename="camel"):
    """The part of an event that is looked at when it can hold nothing but text."""

    candidates: list[_QuietCandidate] = []
    usage_metadata: dict[str, Any] | None = None
    model_version: str | None = None


_quiet = msgspec.json.Decoder(_QuietAnswer)


class GeminiReader:
    """Reads and writes the events of one streamed answer. See ``ReplyReader``."""

    def __init__(self) -> None:
        self.id = ""
        self.usage: TokenUsage | None = None
        self.finish: str | None = None
        self.model: str | None = None
        self.hosted: list[HostedCall] = []
        self.text_bytes = 0
        self._seen: dict[int, int] = {}
        self._written: dict[int, int] = {}

    def read(self, event: ServerEvent) -> EventReading:
        """What an event means. See ``ReplyReader``."""
        data = event.data
        if data is None:
            return EventReading(event)
        if not mentions(data, _TELLING) and self._text(data):
            return EventReading(event)
        value = read_answer(data)
        if not isinstance(value, dict):
            raise MalformedReply("an event that is not a JSON object")
        calls = tuple(calls_in(value, self._seen))
        hosted_in(value, self.hosted)
        self.finish = finish_in(value) or self.finish
        self.text_bytes += size_of(value.get("candidates"))
        model = value.get("modelVersion")
        self.model = model if isinstance(model, str) else self.model
        self._report(value.get("usageMetadata"))
        keys = tuple(call.key for call in calls)
        return EventReading(event, value if calls else None, keys, calls)

    def _text(self, data: bytes) -> bool:
        """Count the text of an event that can hold nothing else; whether that is what it is."""
        quiet = glanced(_quiet, data)
        if quiet is None:
            return False
        for candidate in quiet.candidates:
            self.text_bytes += sum(len(part.text.encode()) for part in candidate.content.parts)
            self.finish = candidate.finish_reason or self.finish
        self.model = quiet.model_version or self.model
        self._report(quiet.usage_metadata)
        return True

    def _report(self, usage: Any) -> None:
        """Take a report of usage: each counts everything before it."""
        if usage:
            self.usage = gemini_usage(usage)

    def close(self) -> tuple[RequestedCall, ...]:
        """The end of the stream: no call is ever open. See ``ReplyReader``."""
        return ()

    def write(self, reading: EventReading, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """An event as decided. See ``ReplyReader``."""
        value = reading.value
        if value is None or all(verdicts[key].unchanged for key in reading.keys):
            for key in reading.keys:
                number = int(key.partition(".")[0])
                self._written[number] = self._written.get(number, 0) + 1
            return reading.event.raw
        decided_parts(value, self._written, verdicts)
        return encode_event(write_json(value), reading.event.name)

    def keep_alive(self) -> bytes:
        """A blank line: google-genai takes comments for JSON. See ``ReplyReader``."""
        return b"\n"

    def farewell(self, reason: str) -> bytes:
        """An error event. See ``ReplyReader``."""
        return encode_event(write_json(gemini_error(503, reason, "remit_refused")))


def gemini_error(status: int, message: str, code: str) -> dict[str, Any]:
    """An error as Google's SDKs read it."""
    word = _STATUS.get(status, "INTERNAL" if status >= 500 else "FAILED_PRECONDITION")
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.upper()}
    return {"error": {"code": status, "message": message, "status": word, "details": [info]}}
