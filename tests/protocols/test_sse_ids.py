"""Ids of events: what a client that lost an MCP stream goes on from."""

from __future__ import annotations

from remit.protocols.sse import EventReader, encode_event


def test_the_id_of_an_event() -> None:
    found = EventReader().feed(b"id: 7\ndata: {}\n\ndata: x\n\nid\ndata: y\n\n")
    assert [(each.has_id, each.id) for each in found] == [(True, "7"), (False, ""), (True, "")]


def test_an_id_that_is_written_is_read_again() -> None:
    (event,) = EventReader().feed(encode_event(b"{}", "message", "7"))
    assert (event.data, event.name, event.id) == (b"{}", "message", "7")
