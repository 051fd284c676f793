"""Whatever the chunks and whenever the verdicts: the same decisions, the same bytes, none early."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.model_exchanges import (
    BODIES,
    STREAMS,
    Decider,
    Player,
    allow,
    asked,
    cut_at,
    deny,
    deny_deletes,
    named,
    opened,
    play,
)
from remit.errors import MalformedReply
from remit.protocols.model_api import CallVerdict, RequestedCall
from remit.protocols.model_stream import EventReading, Forward, ReplyStream
from remit.protocols.sse import ServerEvent

EXAMPLES = int(os.environ.get("REMIT_FUZZ_EXAMPLES", "12"))
CALLING = [path for path in STREAMS if play(path).calls]


def modify(call: RequestedCall) -> CallVerdict:
    if call.free_form:
        return CallVerdict.modify({"input": "x"})
    return CallVerdict.modify({**call.arguments, "x": "é"})


class Pairs(tuple[tuple[str, Any], ...]):
    """The members of a JSON object, those of the same name too."""


# Where the SDKs look for calls. Lists are gone through; of members of one name, each counts.
WHERE = {
    "openai_chat.sse": ("choices delta tool_calls", "choices delta function_call"),
    "openai_chat.json": ("choices message tool_calls", "choices message function_call"),
    "openai_responses.sse": ("item type", "response output type"),
    "openai_responses.json": ("output type",),
    "anthropic.sse": ("content_block type", "message content type"),
    "anthropic.json": ("content type",),
    "gemini.sse": ("candidates content parts functionCall",),
    "gemini.json": ("candidates content parts functionCall",),
}
CALL_TYPES = {"tool_use", "function_call", "custom_tool_call", "computer_call", "shell_call"}
CALL_TYPES |= {"local_shell_call", "apply_patch_call", "mcp_approval_request", "x_call"}


def found(value: Any, place: list[str]) -> Iterator[Any]:
    """What is at a place in JSON, wherever a reader could take it to be."""
    if isinstance(value, Pairs):
        for name, item in value:
            if place and name == place[0]:
                yield from found(item, place[1:])
    elif isinstance(value, list):
        for item in value:
            yield from found(item, place)
    elif not place:
        yield value
    if isinstance(value, Pairs) and not place and value:
        yield value


def holds_call(value: Any, places: tuple[str, ...]) -> bool:
    """Whether there is a call for the client in JSON: a second, cruder opinion."""
    for place in places:
        for item in found(value, place.split()):
            if item is not None and (not place.endswith(" type") or item in CALL_TYPES):
                return True
    return False


def calls_visible(path: Path, data: bytes) -> bool:
    """Whether any reader, however lenient, could find a call in a stream."""
    places = WHERE[path.parent.name + path.suffix]
    for block in re.split(rb"[\r\n]{2,}", data):
        lines = re.split(rb"[\r\n]", block)
        said = [line.removeprefix(b"data:") for line in lines if line.startswith(b"data:")]
        for text in (*said, b"\n".join(said)):
            try:
                if holds_call(json.loads(text, object_pairs_hook=Pairs), places):
                    return True
            except (ValueError, RecursionError):
                continue
    return False


NOISE = (
    *(b"data: ", b"event: ", b"\n", b"\n\n", b"\r", b":", b"{", b"}", b'"', b"id: 1\n", b","),
    *(b"null", b"[]", b"true", b"1e999", b"\\u0074ool_calls", b'"index":0', b'"name":"x"'),
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use"}}\n\n',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}',
    b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"f"}}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}],"choices":[]}',
    b'{"candidates":[{"content":{"parts":[{"functionCall":1}]}}]}',
    b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]}',
    b'{"type":"response.output_item.added","item":{"type":"function_call"}}',
    b'{"type":"response.completed","response":{"output":[{"type":"function_call","name":"f"}]}}',
    b'{"content":[{"type":"tool_use","name":"f","input":{}}]}',
)
DECIDERS: tuple[Decider, ...] = (allow, deny, deny_deletes, modify)


@pytest.mark.parametrize("path", STREAMS, ids=named)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    places=st.lists(st.integers(0, 1 << 20), max_size=12),
    decide=st.sampled_from(DECIDERS),
    late=st.sets(st.integers(0, 5)),
    length=st.one_of(st.none(), st.integers(0, 1 << 20)),
)
def test_chunks_and_timing_change_nothing(
    path: Path, places: list[int], decide: Decider, late: set[int], length: int | None
) -> None:
    data = path.read_bytes()
    cut = length is not None
    data = data if length is None else data[: length % len(data)]
    whole = Player(opened(path), decide).play([data], cut=cut)
    chunks = cut_at(data, places)
    later = Player(opened(path), decide, lambda call: len(call.key + call.name) % 5 in late)
    assert later.play(chunks, cut=cut) == whole


def undecided_bytes(stream: ReplyStream, data: bytes) -> bytes:
    """What leaves of a stream while nobody decides anything."""
    outputs = [
        output for chunk in cut_at(data, range(0, len(data), 7)) for output in stream.feed(chunk)
    ]
    outputs += stream.finish()
    return b"".join(output.data for output in outputs if isinstance(output, Forward))


@pytest.mark.parametrize("path", CALLING, ids=named)
def test_no_byte_of_a_call_leaves_before_its_verdict(path: Path) -> None:
    data = path.read_bytes()
    left = undecided_bytes(opened(path), data)
    first = play(path).calls[0]
    mark = first.id or first.name.rpartition(".")[2]
    assert data.startswith(left)
    assert len(left) < data.index(f'"{mark}"'.encode())
    assert not calls_visible(path, left)
    assert calls_visible(path, data)


@pytest.mark.parametrize("path", CALLING, ids=named)
def test_refused_calls_leave_nothing_behind(path: Path) -> None:
    assert not calls_visible(path, play(path, deny).data)


class LeakyReader:
    """The same reader, but pieces of calls belong to nothing: what the tests must catch."""

    def __init__(self, stream: ReplyStream) -> None:
        self._true = stream._reader

    def __getattr__(self, name: str) -> object:
        return getattr(self._true, name)

    def read(self, event: ServerEvent) -> EventReading:
        reading = self._true.read(event)
        return EventReading(reading.event, None, (), reading.calls)

    def write(self, reading: EventReading, verdicts: Mapping[str, CallVerdict]) -> bytes:
        return reading.event.raw


@pytest.mark.parametrize("path", CALLING, ids=named)
def test_a_stream_without_the_hold_is_caught(path: Path) -> None:
    leaky = ReplyStream(LeakyReader(opened(path)))  # type: ignore[arg-type]
    assert calls_visible(path, undecided_bytes(leaky, path.read_bytes()))


@pytest.mark.parametrize("path", CALLING, ids=named)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(length=st.integers(0, 1 << 20))
def test_a_call_that_is_cut_never_leaves(path: Path, length: int) -> None:
    data = path.read_bytes()
    data = data[: length % len(data)]
    played = Player(opened(path), deny).play([data], cut=True)
    assert not calls_visible(path, played.data)
    assert played.broken is not None


@pytest.mark.parametrize("path", CALLING, ids=named)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    flips=st.lists(
        st.tuples(st.integers(0, 1 << 20), st.sampled_from(NOISE) | st.binary(max_size=3)),
        max_size=3,
    )
)
def test_a_damaged_stream_neither_crashes_nor_leaks(
    path: Path, flips: list[tuple[int, bytes]]
) -> None:
    data = bytearray(path.read_bytes())
    for place, new in flips:
        at = place % len(data)
        data[at : at + len(new) + place % 3] = new
    left = undecided_bytes(opened(path), bytes(data))
    assert not calls_visible(path, left)
    assert not calls_visible(path, Player(opened(path), deny).play([bytes(data)]).data)


@settings(max_examples=10 * EXAMPLES, deadline=None)
@given(
    path=st.sampled_from([path for path in STREAMS if path.name == "text.sse"]),
    data=st.binary(max_size=200) | st.lists(st.sampled_from(NOISE), max_size=30).map(b"".join),
)
def test_arbitrary_bytes_neither_crash_nor_leak(path: Path, data: bytes) -> None:
    played = Player(opened(path), deny).play([data])
    assert played == Player(opened(path), deny).play(cut_at(data, range(len(data))))
    assert not calls_visible(path, played.data)


@settings(max_examples=10 * EXAMPLES, deadline=None)
@given(
    path=st.sampled_from([path for path in BODIES if path.name == "text.json"]),
    data=st.binary(max_size=100) | st.lists(st.sampled_from(NOISE), max_size=9).map(b"".join),
)
def test_an_arbitrary_body_is_read_or_refused(path: Path, data: bytes) -> None:
    format_, request = asked(path)
    try:
        reply = format_.read_reply(data, request)
    except MalformedReply:
        return
    passed = format_.write_reply(reply, {call.key: deny(call) for call in reply.calls})
    assert not calls_visible(path, b"data: " + passed)
