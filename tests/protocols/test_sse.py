"""Events out of bytes: every line end, any chunks, and every byte kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.model_exchanges import cut_at
from remit.errors import MalformedReply
from remit.protocols.sse import EventReader, ServerEvent, encode_event


def events(*chunks: bytes) -> list[ServerEvent]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)] + reader.close()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_three_ways(end: bytes) -> None:
    raw = end.join([b"event: a", b"data: 1", b"data:2", b"", b": hello", b"data", b"", b""])
    first, second = events(raw)
    assert (first.name, first.data, second.data) == ("a", b"1\n2", b"")
    assert first.raw + second.raw == raw


def test_comments_blank_lines_and_a_byte_order_mark_are_no_events() -> None:
    found = events(b"\xef\xbb\xbfdata: x\n\n\n\n: ping\n\ndata: y\n\n")
    assert [event.data for event in found] == [b"x", None, None, b"y"]
    assert events(b"\n\ndata: \xef\xbb\xbf\n\n")[1].data == b"\xef\xbb\xbf"


def test_an_event_without_its_blank_line_comes_at_the_end() -> None:
    assert [event.data for event in events(b"data: a\n\ndata: b")] == [b"a", b"b"]
    with pytest.raises(MalformedReply, match="begins with 'y'"):
        events(b"data: x\ny")


def test_ids_are_noticed_and_retries_are_not() -> None:
    first, second = events(b"id: 1\nretry: 5\ndata: a\n\n", b"data: b\n\n")
    assert (first.has_id, second.has_id) == (True, False)


def test_a_line_that_is_no_field_is_refused_after_what_came_before() -> None:
    with pytest.raises(MalformedReply, match=r"begins with '.\"candidates\"'") as caught:
        EventReader().feed(b'data: a\n\n{"candidates": []}\n\ndata: b\n\n')
    assert [event.data for event in caught.value.before] == [b"a"]


@pytest.mark.parametrize("tail", [b"", b"\n\n"])
def test_an_event_without_end_is_refused(tail: bytes) -> None:
    reader = EventReader(most=100)
    assert len(reader.feed(b"data: " + 92 * b"x" + b"\n\n")) == 1
    with pytest.raises(MalformedReply, match="more than 100 bytes") as caught:
        reader.feed(b"data: a\n\ndata: " + 100 * b"x" + tail)
    assert len(caught.value.before) == 1


LINES = st.sampled_from([b"data: x", b"data:y", b"event: e", b": c", b"", b"id: 1"])


@given(
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_chunks_make_no_difference_and_no_byte_is_lost(
    lines: list[tuple[bytes, bytes]], places: list[int]
) -> None:
    data = b"".join(line + end for line, end in lines)
    whole = events(data)
    assert events(*cut_at(data, places)) == whole
    assert b"".join(event.raw for event in whole) == data


def test_an_event_is_written_as_it_is_read() -> None:
    assert events(encode_event(b'{"a":1}', "e"))[0].name == "e"
    assert events(encode_event(b"{}", event_id="7"))[0].has_id
    assert encode_event(b"{}") == b"data: {}\n\n"
