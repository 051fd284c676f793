"""What the official SDKs make of answers in which calls were refused or changed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors as gemini_errors

from protocols.model_clients import READERS, Clients, connected
from protocols.model_exchanges import (
    BODIES,
    METERED,
    STREAMS,
    Decider,
    Player,
    allow,
    asked,
    deny,
    deny_deletes,
    named,
    opened,
    play,
)
from remit.protocols.model_api import CallVerdict, RequestedCall

FAILING = ("error-midstream.sse", "error-event.sse", "error.json", "failed.sse", "incomplete.sse")
# google-genai reads no list of answers.
# OpenAI's accumulator of streamed chats knows no custom tools.
UNREADABLE = ("array.json", "openai_chat/custom-tool.sse")
# OpenAI's SDK dumps items that it does not know with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    yield from connected()


def whole(path: Path) -> bool:
    return not any(
        name in METERED or name in FAILING or name in UNREADABLE
        for name in (path.name, named(path))
    )


WHOLE = [path for path in STREAMS + BODIES if whole(path)]
CALLING = [path for path in WHOLE if re.search(rb"[Cc]all|tool", path.read_bytes())]


def passed(path: Path, decide: Decider) -> tuple[bytes, list[RequestedCall]]:
    """An answer after it was decided, and the calls in it."""
    if path.suffix == ".sse":
        played = play(path, decide)
        assert played.broken is None
        return played.data, played.calls
    format_, request = asked(path)
    reply = format_.read_reply(path.read_bytes(), request)
    verdicts = {call.key: decide(call) for call in reply.calls}
    return format_.write_reply(reply, verdicts), list(reply.calls)


def read(clients: Clients, path: Path, body: bytes) -> Any:
    return clients.read(READERS[path.parent.name], body, stream=path.suffix == ".sse")


@pytest.mark.parametrize("path", WHOLE, ids=named)
def test_the_calls_that_are_decided_are_those_that_an_sdk_hands_out(
    path: Path, clients: Clients
) -> None:
    body, calls = passed(path, allow)
    assert len(read(clients, path, body).calls) == len(calls)


@pytest.mark.parametrize("path", CALLING, ids=named)
def test_refused_calls_are_text_to_an_sdk(path: Path, clients: Clients) -> None:
    before = read(clients, path, path.read_bytes())
    body, calls = passed(path, deny)
    after = read(clients, path, body)
    assert after.calls == []
    for call in calls:
        assert f"Refused: {call.name} may not be called." in after.text
    assert all(piece in after.text for piece in before.text.split("\n\n"))
    if calls:
        assert after.finish in ("stop", "end_turn", "completed", "STOP")
    if calls and path.parent.name in ("openai_chat", "anthropic"):
        assert before.finish in ("tool_calls", "function_call", "tool_use")


@pytest.mark.parametrize("path", CALLING, ids=named)
def test_parallel_calls_are_refused_one_by_one(path: Path, clients: Clients) -> None:
    before = read(clients, path, path.read_bytes())
    body, calls = passed(path, deny_deletes)
    after = read(clients, path, body)
    kept = ["delete" not in call.name for call in calls]
    assert after.calls == list(itertools.compress(before.calls, kept))
    if after.calls:
        assert after.finish == before.finish


@pytest.mark.parametrize("path", CALLING, ids=named)
def test_changed_arguments_are_those_that_an_sdk_hands_out(path: Path, clients: Clients) -> None:
    wanted: list[Any] = []

    def change(call: RequestedCall) -> CallVerdict:
        inner = next(iter(call.arguments), None)
        if call.free_form:
            arguments: dict[str, Any] = {"input": "changed – 中"}
        elif inner in ("action", "operation"):
            arguments = {**call.arguments, inner: {**call.arguments[inner], "changed": "中"}}
            wanted.append(arguments[inner])
            return CallVerdict.modify(arguments)
        else:
            arguments = {"item": "changed – 中", "n": [1, {"x": None}]}
        wanted.append(arguments)
        return CallVerdict.modify(arguments)

    before = read(clients, path, path.read_bytes())
    body, _ = passed(path, change)
    after = read(clients, path, body)
    assert [arguments for _, arguments in after.calls] == wanted
    assert [name for name, _ in after.calls] == [name for name, _ in before.calls]
    assert (after.text, after.finish) == (before.text, before.finish)


@pytest.mark.parametrize("path", [path for path in STREAMS if whole(path)], ids=named)
def test_keeping_a_client_waiting_is_legal_between_events(path: Path, clients: Clients) -> None:
    stream = opened(path)
    player = Player(stream)
    parts = b""
    for byte in path.read_bytes():
        before = len(player.played.data)
        player.take(stream.feed(bytes([byte])))
        new = player.played.data[before:]
        parts += new + (stream.keep_alive if new else b"")
    before = len(player.played.data)
    player.take(stream.finish())
    parts += player.played.data[before:]
    assert parts != path.read_bytes()
    assert read(clients, path, parts) == read(clients, path, path.read_bytes())


ERRORS = {
    "openai_chat": openai.APIError,
    "openai_responses": openai.APIError,
    "anthropic": anthropic.APIStatusError,
    "gemini": gemini_errors.APIError,
}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_a_stream_that_breaks_raises_the_usual_error(name: str, clients: Clients) -> None:
    path = (
        next(path for path in STREAMS if named(path) == f"{name}/parallel-tools.sse")
        if (name != "openai_chat")
        else next(path for path in STREAMS if path.name == "text-then-parallel-tools.sse")
    )
    data = path.read_bytes()
    for end in (len(data) // 2, len(data) - 30):
        played = Player(opened(path), deny).play([data[:end]], cut=True)
        assert played.broken is not None
        with pytest.raises(ERRORS[name], match=r"connection|middle|JSON|event"):
            read(clients, path, played.data)


@pytest.mark.parametrize("name", sorted(ERRORS))
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_a_refused_request_raises_the_usual_error(name: str, status: int, clients: Clients) -> None:
    path = next(path for path in BODIES if path.parent.name == name)
    body = asked(path)[0].error_body(status, "The model m may not be used. Ask for another.")
    clients.server.answer(body, stream=False, status=status)
    with pytest.raises(ERRORS[name], match=r"The model m may not be used") as caught:
        getattr(clients, READERS[name])(False)
    assert getattr(caught.value, "status_code", getattr(caught.value, "code", 0)) == status
