"""Sessions over HTTP: how many, how long, and requests that their client takes back."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk_gateway import HELLO, Gateway, gateway_of, raw
from desk_log import outcomes

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.fixture(scope="module", params=["url", "command"], name="gateway")
def _gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp(request.param)
    with gateway_of(folder, request.param, "max_sessions = 2") as found:
        yield found


@pytest.fixture(params=["url", "command"], name="hasty")
def _hasty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose sessions end soon."""
    with gateway_of(tmp_path, request.param, 'session_idle = "3s"') as found:
        yield found


def begin(gateway: Gateway) -> tuple[int, str, Any]:
    """Status, session and answer of an ``initialize``."""
    status, headers, answer = raw(gateway, HELLO)
    session = headers.get("mcp-session-id", "")
    if session:
        note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        raw(gateway, note, Mcp_Session_Id=session)
    return status, session, answer


def end(gateway: Gateway, *sessions: str) -> None:
    for session in sessions:
        raw(gateway, None, "DELETE", Mcp_Session_Id=session)


def lists(gateway: Gateway, session: str) -> int:
    return raw(gateway, LIST, Mcp_Session_Id=session)[0]


def test_a_call_that_its_client_cancels_is_settled(gateway: Gateway) -> None:
    _, session, _ = begin(gateway)
    before = outcomes(gateway.folder, "desk.slow")
    call = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "slow", "arguments": {"seconds": 4}},
    }

    def wait() -> None:
        # What a server at a URL answers to a cancelled call is up to it.
        with contextlib.suppress(OSError, http.client.HTTPException, IndexError):
            raw(gateway, call, Mcp_Session_Id=session)

    calling = threading.Thread(target=wait)
    calling.start()
    time.sleep(1.0)
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    assert raw(gateway, note, Mcp_Session_Id=session)[0] == 202
    deadline = time.monotonic() + 2.5
    while (found := outcomes(gateway.folder, "desk.slow")) == before:
        assert time.monotonic() < deadline, "before the call would have ended by itself"
        time.sleep(0.1)
    assert found == [*before, "cancelled"]
    calling.join(5)
    assert not calling.is_alive(), "its HTTP request ends, too"
    assert outcomes(gateway.folder, "desk.slow") == found, "and only once"
    end(gateway, session)


def test_there_are_no_more_sessions_than_configured(gateway: Gateway) -> None:
    first, second = begin(gateway)[1], begin(gateway)[1]
    status, third, answer = begin(gateway)
    if gateway.kind == "url":  # the one that was used least lately makes room
        assert status == 200
        assert [lists(gateway, each) for each in (first, second, third)] == [404, 200, 200]
    else:  # a process is not ended under a client
        assert "too many sessions" in str(answer)
        assert [lists(gateway, each) for each in (first, second)] == [200, 200]
    end(gateway, first, second, third)
    status, again, _ = begin(gateway)
    assert status == 200
    end(gateway, again)


def test_a_session_that_nobody_uses_ends(hasty: Gateway) -> None:
    gateway = hasty
    _, session, _ = begin(gateway)
    time.sleep(2.0)
    assert lists(gateway, session) == 200, "which counts as use"
    time.sleep(2.0)
    assert lists(gateway, session) == 200
    time.sleep(3.2)
    assert lists(gateway, session) == 404
    status, again, _ = begin(gateway)
    assert status == 200, "room for another"
    end(gateway, again)


def test_a_stream_cannot_be_gone_on_with_where_nothing_is_kept(gateway: Gateway) -> None:
    _, session, _ = begin(gateway)
    if gateway.kind == "command":
        status, _, answer = raw(gateway, None, "GET", Mcp_Session_Id=session, Last_Event_ID="7")
        assert status == 400
        assert "without Last-Event-ID" in answer["error"]["message"]
    end(gateway, session)
