"""A streamed response of OpenAI: which items its events belong to, and what refused ones become.

An item is complete with its ``output_item.done``. A refused call becomes a message under the same
``output_index``, in its own events and in the whole response that comes last. As soon as there are
more or fewer events than upstream sent, ``sequence_number`` is counted anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

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
from remit.protocols.model_stream import EventReading
from remit.protocols.openai_items import (
    TEXT_FIELDS,
    call_id_of,
    called_name,
    decided_items,
    finish_of,
    is_call,
    is_hosted,
    item_with,
    read_call,
    read_hosted,
    refusal_item,
    refusal_part,
)
from remit.protocols.openai_words import comment, response_usage
from remit.protocols.sse import ServerEvent, encode_event

# Without one of these no event can hold a call, a whole response or an error.
_TELLING = (
    *(b"_call", b"call_", b'"item"', b'"response"', b'"arguments"', b'"input"', b"\\u", b'"error"'),
)
_SEQUENCE = re.compile(rb'("sequence_number"\s*:\s*)\d+')
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")


class _QuietEvent(Struct):
    """The part of an event that is looked at when it can hold nothing but text."""

    type: str
    output_index: int = -1
    delta: str = ""


_quiet = msgspec.json.Decoder(_QuietEvent)


class _OpenItem:
    """A call whose events are coming in."""

    __slots__ = ("closed", "item", "key", "text")

    def __init__(self, key: str, item: dict[str, Any]) -> None:
        self.key = key
        self.item = item
        self.text = text_of(item.get(_field(item)), "arguments") if _field(item) else ""
        self.closed = False

    def check(self, item: Mapping[str, Any]) -> None:
        """Raises: MalformedReply, where ``item`` is another call, or says other than its pieces."""
        same = [item.get("type"), call_id_of(item), called_name(item)]
        if same != [self.item.get("type"), call_id_of(self.item), called_name(self.item)]:
            raise MalformedReply("a call that changes its identity")
        field = _field(item)
        if field and (self.text or self.closed) and (item.get(field) or "") != self.text:
            raise MalformedReply("the pieces of a call do not make the call")
        if self.closed and not field and _plain(item) != _plain(self.item):
            raise MalformedReply("a call that changes after it was complete")


class ResponsesReader:
    """Reads and writes the events of one streamed response. See ``ReplyReader``."""

    def __init__(self) -> None:
        self.id = ""
        self.usage: TokenUsage | None = None
        self.finish: str | None = None
        self.model: str | None = None
        self.hosted: list[HostedCall] = []
        self.text_bytes = 0
        self._ids = False
        self._items: dict[int, _OpenItem] = {}
        self._begun: set[int] = set()
        self._sequence: int | None = None

    def read(self, event: ServerEvent) -> EventReading:
        """What an event means. See ``ReplyReader``."""
        self._ids = self._ids or event.has_id
        data = event.data
        if data is None or data.lstrip().startswith(b"[DONE]"):
            return EventReading(event)
        if not mentions(data, _TELLING) and self._text(event, data):
            return EventReading(event)
        value = read_answer(data)
        if not isinstance(value, dict):
            raise MalformedReply("an event that is not a JSON object")
        kind = text_of(value.get("type"), "type")
        if event.name and kind and event.name != kind:
            raise MalformedReply(f"an event that is called {event.name!r} and is {kind!r}")
        if kind in ("response.output_item.added", "response.output_item.done"):
            return self._item(event, kind, value)
        if isinstance(value.get("response"), dict):
            return self._response(event, kind, value)
        if is_call(value.get("item")):
            raise MalformedReply(f"a call in an event of the unknown type {kind!r}")
        return self._piece(event, kind, value)

    def _text(self, event: ServerEvent, data: bytes) -> bool:
        """Count the text of an event that can hold nothing else; whether that is what it is."""
        quiet = glanced(_quiet, data)
        if quiet is None:
            return False
        if quiet.output_index in self._items or event.name not in ("", quiet.type):
            return False
        self.text_bytes += len(quiet.delta.encode())
        return True

    def _item(self, event: ServerEvent, kind: str, value: dict[str, Any]) -> EventReading:
        item = value.get("item")
        index = value.get("output_index")
        known = self._items.get(index) if isinstance(index, int) else None
        if not isinstance(item, dict) or not is_call(item):
            if known is not None:
                raise MalformedReply("a call that becomes something else")
            if kind == "response.output_item.done" and isinstance(item, dict) and is_hosted(item):
                self.hosted.append(read_hosted(item))
            return EventReading(event)
        if type(index) is not int:
            raise MalformedReply("a call without its place in the output")
        if kind == "response.output_item.added":
            if known is not None:
                raise MalformedReply("two calls in one place of the output")
            self._items[index] = _OpenItem(str(index), item)
            return EventReading(event, value, (str(index),))
        if known is None:
            known = self._items[index] = _OpenItem(str(index), item)
        return EventReading(event, value, (known.key,), (self._close(known, item),))

    def _close(self, known: _OpenItem, item: dict[str, Any]) -> RequestedCall:
        if known.closed:
            raise MalformedReply("a call that is complete twice")
        known.check(item)
        field = _field(item)
        if field and not known.text:
            known.text = text_of(item.get(field), field)
            self.text_bytes += len(known.text.encode())
        known.item = item
        known.closed = True
        return read_call(known.key, item)

    def _response(self, event: ServerEvent, kind: str, value: dict[str, Any]) -> EventReading:
        response = value["response"]
        self.id = text_of(response.get("id"), "id") or self.id
        model = response.get("model")
        self.model = model if isinstance(model, str) else self.model
        calls: list[RequestedCall] = []
        keys: list[str] = []
        for position, item in enumerate(objects(response.get("output"), "output")):
            if is_call(item):
                keys.append(self._listed(position, item, calls))
        if kind in _TERMINAL:
            self.finish = finish_of(response)
            self.usage = response_usage(response.get("usage"))
            calls.extend(self._unfinished())
        elif calls:
            raise MalformedReply("a call in a response that has only begun")
        return EventReading(event, value if keys else None, tuple(keys), tuple(calls))

    def _listed(self, position: int, item: dict[str, Any], calls: list[RequestedCall]) -> str:
        """A call in the list of a whole response: one that is known, or one more."""
        call_id = call_id_of(item)
        for known in self._items.values():
            if call_id_of(known.item) == call_id:
                known.check(item)
                if not known.closed:
                    calls.append(self._close(known, item))
                return known.key
        key = f"output.{position}"
        # Under a negative index nothing of a stream can be taken for it.
        self._items[-1 - position] = known = _OpenItem(key, item)
        calls.append(self._close(known, item))
        return key

    def _unfinished(self) -> list[RequestedCall]:
        calls = []
        for known in self._items.values():
            if not known.closed:
                known.closed = True
                calls.append(read_call(known.key, known.item, "the call never became complete"))
        return calls

    def _piece(self, event: ServerEvent, kind: str, value: dict[str, Any]) -> EventReading:
        delta = value.get("delta")
        index = value.get("output_index")
        known = self._items.get(index) if isinstance(index, int) else None
        self.text_bytes += size_of(delta)
        if kind == "error":
            self.finish = "error"
        if known is None:
            if kind.startswith(("response.function_call", "response.custom_tool_call")):
                raise MalformedReply("a piece of a call that has not begun")
            return EventReading(event)
        if known.closed:
            raise MalformedReply("a piece of a call that was complete")
        field = _field(known.item)
        if field and kind.endswith(".delta"):
            known.text += text_of(delta, "delta")
        elif field and kind.endswith(".done") and field in value:
            text = text_of(value[field], field)
            if known.text not in ("", text):
                raise MalformedReply("the pieces of a call do not make the call")
            known.text = text
        return EventReading(event, value, (known.key,))

    def close(self) -> tuple[RequestedCall, ...]:
        """The end of the stream. See ``ReplyReader``."""
        if not all(known.closed for known in self._items.values()):
            raise MalformedReply("the stream ended in the middle of a tool call")
        return ()

    def write(self, reading: EventReading, verdicts: Mapping[str, CallVerdict]) -> bytes:
        """An event as decided. See ``ReplyReader``."""
        value = reading.value
        verdict = [verdicts[key] for key in reading.keys]
        if value is None or all(each.unchanged for each in verdict):
            return self._numbered(reading.event)
        if "response" in value:
            items = value["response"]["output"]
            calls = iter(reading.keys)
            keys = {place: next(calls) for place, item in enumerate(items) if is_call(item)}
            value["response"]["output"] = list(decided_items(items, keys, verdicts))
            return self._encode(value)
        if not verdict[0].allowed:
            return self._refused(value, verdict[0].refusal)
        return self._modified(value, verdict[0].arguments or {})

    def _refused(self, value: dict[str, Any], refusal: str) -> bytes:
        """In place of the first event of a call, the events of a message; nothing for the rest."""
        index = value["output_index"]
        if self._sequence is None:
            self._sequence = _number(value) - 1
        if index in self._begun:
            return b""
        self._begun.add(index)
        message = refusal_item(self._items[index].item, refusal)
        opening = {**message, "status": "in_progress", "content": []}
        place = {"item_id": message["id"], "output_index": index, "content_index": 0}
        text = {**place, "logprobs": []}
        events: list[tuple[str, dict[str, Any]]] = [
            ("response.output_item.added", {"output_index": index, "item": opening}),
            ("response.content_part.added", {**place, "part": refusal_part("")}),
            ("response.output_text.delta", {**text, "delta": refusal}),
            ("response.output_text.done", {**text, "text": refusal}),
            ("response.content_part.done", {**place, "part": refusal_part(refusal)}),
            ("response.output_item.done", {"output_index": index, "item": message}),
        ]
        return b"".join(
            self._encode({"type": kind, "sequence_number": 0, **rest}) for kind, rest in events
        )

    def _modified(self, value: dict[str, Any], arguments: Mapping[str, Any]) -> bytes:
        """An event of a call that runs with other arguments."""
        index = value["output_index"]
        known = self._items[index]
        field = _field(known.item)
        if "item" in value:
            item = value["item"]
            if value["type"].endswith(".done") or not field or item.get(field):
                value["item"] = item_with(item, arguments)
            return self._encode(value)
        if not field:
            if self._sequence is None:
                self._sequence = _number(value) - 1
            return b""
        text = item_with(known.item, arguments)[field]
        if value["type"].endswith(".delta"):
            value["delta"] = "" if index in self._begun else text
            self._begun.add(index)
        elif field in value:
            value[field] = text
        return self._encode(value)

    def _encode(self, value: dict[str, Any]) -> bytes:
        if self._sequence is not None and "sequence_number" in value:
            self._sequence += 1
            value["sequence_number"] = self._sequence
        return encode_event(write_json(value), text_of(value.get("type"), "type"))

    def _numbered(self, event: ServerEvent) -> bytes:
        """An event as it came, but for its number where those have shifted."""
        if self._sequence is None or _SEQUENCE.search(event.raw) is None:
            return event.raw
        self._sequence += 1
        # Within a string the quotes would be escaped, so this is the member and nothing else.
        return _SEQUENCE.sub(rb"\g<1>%d" % self._sequence, event.raw, count=1)

    def keep_alive(self) -> bytes:
        """A comment. See ``ReplyReader``."""
        return comment(self._ids)

    def farewell(self, reason: str) -> bytes:
        """An error event, which also has the member that OpenAI's SDK raises. See ``ReplyReader``.

        The event by itself would only be handed to the program, which may not look at it.
        """
        error = {"message": reason, "type": "server_error", "param": None, "code": "remit_refused"}
        value = {
            "type": "error",
            "code": "remit_refused",
            "message": reason,
            "param": None,
            "sequence_number": (self._sequence or 0) + 1,
            "error": error,
        }
        return encode_event(write_json(value), "error")


def _field(item: Mapping[str, Any]) -> str:
    """The member of a call that comes in pieces; "" where the call comes as a whole."""
    return TEXT_FIELDS.get(str(item.get("type")), "")


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "status"}


def _number(value: Mapping[str, Any]) -> int:
    number = value.get("sequence_number")
    return number if type(number) is int else 0
