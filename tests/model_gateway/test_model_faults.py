"""What goes wrong between the gateway and a model API, or an agent: it is settled right."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anthropic
import openai
import pytest
from model_world import POLICY, World, model_world, steps
from scripted_models import KEY, Call, Fault, Script, answer
from sdk_clients import ACTIONS, APIS, Agent

from remit.governor import Governor

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
READ = Call("read_note", {"name": "todo"})
CHAT = "/openai/v1/chat/completions"
BODY = {"model": "gpt-a", "messages": [{"role": "user", "content": "hi"}]}
MORE = """
[[models]]
name = "first"
format = "openai"
url = "http://127.0.0.1:9"
models = ["fail-*"]
failover = ["second"]
connect = "500ms"
retries = 1
[[models]]
name = "second"
format = "openai"
url = "URL"
models = ["fail-*"]
[[models]]
name = "slow"
format = "openai"
url = "URL"
models = ["slow-*"]
silence = "300ms"
retries = 0
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    own = 'models = ["gpt-*", "m"]'
    with model_world(tmp_path_factory.mktemp("faults"), more=MORE, openai=own) as found:
        yield found


@pytest.fixture(autouse=True)
def _mark(world: World) -> None:
    """Begin once all that earlier tests did is in the log: clients leave before the end of it."""
    granted = sum(bool(decision.granted) for decision, _ in world.actions("model."))
    if granted:
        world.settled("model.", granted)
    world.start = len(world.records())  # type: ignore[attr-defined]
    world.models.seen.clear()


def post(
    world: World, body: Any = BODY, path: str = CHAT, **headers: str
) -> tuple[int, Any, bytes]:
    """Status, headers and body of an answer, read by no SDK."""

    async def work() -> tuple[int, Any, bytes]:
        sent = {"Authorization": f"Bearer {world.key}", **headers}
        async with (
            aiohttp.ClientSession() as session,
            session.post(world.url + path, json=body, headers=sent) as response,
        ):
            return response.status, response.headers, await response.read()

    return asyncio.run(work())


def outcomes(world: World, count: int = 1, tool: str = "model.") -> list[tuple[str, str | None]]:
    """Tools and statuses of outcomes since the test began, once there are so many."""
    deadline = time.monotonic() + 10
    while True:
        start: int = world.start  # type: ignore[attr-defined]
        found = [
            (str(each.tool), each.status)
            for each in world.records()[start:]
            if each.kind == "outcome" and str(each.tool).startswith(tool)
        ]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def usage(world: World) -> Any:
    """What the newest outcome was charged."""
    return [each for each in world.records() if each.kind == "outcome"][-1].usage


def test_the_clients_and_connections_are_shared(world: World) -> None:
    steps(world, Script(pieces=0))
    post(world)
    before = world.models.connections
    agent = Agent("chat", world.url, world.key)
    for _ in range(20):
        agent.history.clear()
        agent.ask()
    assert world.models.connections == before


def test_the_provider_key_reaches_nobody(world: World) -> None:
    steps(world, Script(fault=Fault(status=400)))
    status, headers, body = post(world)
    assert status == 400
    assert b"scripted 400" in body
    assert KEY.encode() not in body
    assert KEY not in str(headers)
    assert KEY in str(world.models.seen[-1]["headers"])


def test_a_refused_provider_key_is_not_the_agents_business(world: World) -> None:
    steps(world, Script(fault=Fault(status=401)))
    status, _, body = post(world)
    assert status == 502
    assert b"scripted" not in body
    assert b"refuses the key that Remit has" in body
    assert "model api openai" in world.parts.faults.texts
    world.parts.faults.clear("model api openai")
    assert outcomes(world) == [("model.openai.gpt-a", "error")]


def test_a_provider_that_turns_away_is_passed_on_and_costs_nothing(world: World) -> None:
    steps(world, Script(fault=Fault(status=429, headers={"Retry-After": "7"})))
    with pytest.raises(openai.RateLimitError) as refusal:
        Agent("chat", world.url, world.key).ask()
    assert refusal.value.response.headers["Retry-After"] == "7"
    assert outcomes(world) == [("model.openai.gpt-a", "error")]
    assert usage(world) is None or usage(world).nano_usd == 0


def test_an_overloaded_anthropic_is_an_anthropic_error(world: World) -> None:
    steps(world, Script(fault=Fault(status=529)))
    with pytest.raises(anthropic.APIStatusError) as refusal:
        Agent("messages", world.url, world.key).ask()
    assert refusal.value.status_code == 529
    assert KEY not in str(refusal.value)


def test_another_model_api_stands_in(world: World) -> None:
    steps(world, Script(parts=("from the second",)))
    status, _, body = post(world, {**BODY, "model": "fail-1"})
    assert status == 200
    assert b"from the second" in body
    assert outcomes(world, 3) == [
        ("model.first.fail-1", "not-run"),
        ("model.first.fail-1", "not-run"),
        ("model.second.fail-1", "ok"),
    ]
    assert len(world.models.seen) == 1


def test_nobody_stands_in_for_an_answer_that_may_have_run(world: World) -> None:
    steps(world, Script(fault=Fault(wait=1.0)))
    status, _, body = post(world, {**BODY, "model": "slow-1"})
    assert status == 504
    assert b"it was not sent again" in body
    assert outcomes(world) == [("model.slow.slow-1", "error")]
    assert len(world.models.seen) == 1


@pytest.mark.parametrize("api", APIS)
def test_a_stream_cut_in_the_middle_of_a_call_gives_no_call(world: World, api: str) -> None:
    script = Script(parts=("Let me see. ", READ))
    path = {
        "chat": "/v1/chat/completions",
        "responses": "/v1/responses",
        "messages": "/v1/messages",
    }
    body = {"model": "m", "stream": True}
    _, whole = answer(path.get(api, "/v1beta/models/m:streamGenerateContent"), body, script)
    cut = whole.index(b"todo") if api != "gemini" else whole.index(b"read_note")
    steps(world, Script(parts=script.parts, fault=Fault(cut=cut)))
    agent = Agent(api, world.url, world.key, stream=True)
    with pytest.raises(Exception, match=r"."):
        agent.ask()
    assert outcomes(world) == [(ACTIONS[api], "error")]
    assert not [each for each in world.records()[world.start :] if each.tool == "read_note"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(body=b"<html>502</html>", media="text/html"),
        Fault(body=b'{"choices": [{"index": 0', media="application/json"),
        Fault(body=b'{"choices": 7}', media="application/json"),
        Fault(body=b"", media="application/json"),
        Fault(status=302, headers={"Location": "https://elsewhere.example/"}),
    ],
    ids=["html", "half", "nonsense", "empty", "redirect"],
)
def test_an_answer_that_nobody_can_read_is_not_passed_on(world: World, fault: Fault) -> None:
    steps(world, Script(fault=fault))
    status, _, body = post(world)
    assert status == 502
    assert "message" in json.loads(body)["error"]
    assert outcomes(world) == [("model.openai.gpt-a", "error")]


def test_malformed_events_end_the_stream(world: World) -> None:
    events = (
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\ndata: {"choices": nope}\n\n'
    )
    steps(world, Script(fault=Fault(body=events, media="text/event-stream")))
    status, _, body = post(world, {**BODY, "stream": True})
    assert status == 200
    assert b'"a"' in body
    assert b"nope" not in body
    assert b"error" in body
    assert outcomes(world) == [("model.openai.gpt-a", "error")]


def test_a_gigantic_call_passes(world: World) -> None:
    steps(world, Script(parts=(Call("read_note", {"name": "x" * 900_000}),), pieces=65_536))
    turn = Agent("chat", world.url, world.key, stream=True).ask()
    assert len(turn.calls[0][2]["name"]) == 900_000


def test_a_call_too_large_to_be_decided_is_refused(world: World) -> None:
    steps(world, Script(parts=(Call("read_note", {"name": "x" * 1_200_000}),), pieces=65_536))
    turn = Agent("chat", world.url, world.key, stream=True).ask()
    assert turn.calls == []
    assert "read_note" in turn.text


def _leave(world: World, body: Any, after: bytes) -> None:
    """Send a request, and go away once the answer holds ``after``."""
    place = urlsplit(world.url)
    content = json.dumps(body).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        connection.sendall(head.encode() + content)
        received = b""
        while after not in received:
            part = connection.recv(65_536)
            assert part, received
            received += part


def test_upstream_is_let_go_when_the_agent_goes(world: World) -> None:
    cut_off = world.models.cut_off
    steps(world, Script(parts=("a|b|c|d|e|f",), fault=Fault(pause=0.2)))
    _leave(world, {**BODY, "stream": True, "max_tokens": 5000}, b'"b"')
    assert outcomes(world) == [("model.openai.gpt-a", "cancelled")]
    deadline = time.monotonic() + 5
    while world.models.cut_off == cut_off:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    charged = usage(world)
    assert 0 < charged.output_tokens < 5000


def test_a_call_that_waits_when_the_agent_goes_is_not_made(world: World) -> None:
    steps(world, Script(parts=("Hm.", Call("wire_money", {"amount": 77}))))
    tools = [{"type": "function", "function": {"name": "wire_money", "parameters": {}}}]
    _leave(world, {**BODY, "stream": True, "tools": tools}, b"Hm.")
    assert outcomes(world)[0][1] in ("ok", "cancelled")
    start: int = world.start  # type: ignore[attr-defined]
    made = [each for each in world.records()[start:] if each.tool == "wire_money" and each.granted]
    assert made == []


def test_an_agent_that_goes_before_the_answer_costs_what_was_held(world: World) -> None:
    steps(world, Script(fault=Fault(wait=3)))
    place = urlsplit(world.url)
    content = json.dumps(BODY).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        connection.sendall(head.encode() + content)
        while not world.models.seen:
            time.sleep(0.01)
    begun = time.monotonic()
    assert outcomes(world) == [("model.openai.gpt-a", "cancelled")]
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    "path",
    [
        "/openai/v1/batches",
        "/openai/v1/responses/resp_1",
        "/openai/v1/../admin",
        "/openai/v1/%2e%2e/x",
        "/openai/v1/files",
        "/anthropic/v1/chat/completions",
        "/gemini/v1beta/cachedContents",
        "/models/nobody/v1/chat/completions",
    ],
)
def test_what_cannot_be_governed_is_not_let_through(world: World, path: str) -> None:
    async def work() -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(*_place(world))
        content = json.dumps(BODY).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            "Connection: close\r\n\r\n"
        )
        writer.write(head.encode() + content)
        answered = await reader.read()
        writer.close()
        return int(answered[9:12]), answered

    status, answered = asyncio.run(work())
    assert status == 404
    assert b"message" in answered
    assert world.models.seen == []


def _place(world: World) -> tuple[str, int]:
    parts = urlsplit(world.url)
    return str(parts.hostname), int(parts.port or 80)


def test_an_answer_to_be_fetched_later_is_refused(world: World) -> None:
    body = {"model": "gpt-a", "input": "hi", "background": True}
    status, _, answered = post(world, body, "/openai/v1/responses")
    assert status == 400
    assert b"background" in answered
    assert world.models.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer remit_x"},
        {"x-api-key": "another"},
    ],
)
def test_keys_that_are_not_good(world: World, headers: dict[str, str]) -> None:
    status, _, body = post(world, **headers)
    assert status == 401
    assert "message" in json.loads(body)["error"]
    assert world.models.seen == []


def test_keys_are_taken_where_sdks_put_them(world: World) -> None:
    steps(world, Script())

    async def work(headers: dict[str, str], query: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(world.url + CHAT + query, json=BODY, headers=headers) as response,
        ):
            return response.status

    for headers, query in (
        ({"x-api-key": world.key}, ""),
        ({"x-goog-api-key": world.key}, ""),
        ({"api-key": world.key}, ""),
        ({}, f"?key={world.key}"),
        ({"Authorization": f"Bearer {world.key}", "x-api-key": world.key}, ""),
    ):
        assert asyncio.run(work(headers, query)) == 200
        assert world.key not in str(world.models.seen[-1])


def test_models_are_listed_as_far_as_they_are_allowed(world: World) -> None:
    client = openai.OpenAI(api_key=world.key, base_url=f"{world.url}/openai/v1", max_retries=0)
    with client:
        assert [each.id for each in client.models.list()] == ["gpt-a"]


def test_a_session_of_another_agent_is_not_there(world: World) -> None:
    principal = world.parts.policies.current.principal("other-bot")
    session = world.parts.store.write(
        lambda t: world.parts.governor.open_session(t, principal, None, None)
    )
    status, _, body = post(world, **{"X-Remit-Session": session.id})
    assert status == 404
    assert b"no such session" in body


def test_one_credential_has_one_session_and_gets_another_when_it_has_ended(world: World) -> None:
    steps(world, Script())
    post(world)
    post(world)
    start: int = world.start  # type: ignore[attr-defined]
    used = {each.session for each in world.records()[start:] if each.kind == "decision"}
    assert len(used) == 1
    session = used.pop()
    assert session is not None
    governor: Governor = world.parts.governor
    world.parts.store.write(lambda t: governor.end_session(t, session))  # type: ignore[arg-type]
    assert post(world)[0] == 403
    assert post(world)[0] == 200


def test_many_at_once_leave_nothing_open(world: World) -> None:
    steps(world, Script(parts=("x", READ), pieces=50))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: post(world, {**BODY, "stream": True}), range(40)))
    assert {status for status, _, _ in done} == {200}
    assert outcomes(world, 40) == [("model.openai.gpt-a", "ok")] * 40


def test_held_calls_are_refused_with_a_handle_when_nobody_decides(tmp_path: Path) -> None:
    with model_world(tmp_path, hold="200ms") as world:
        steps(world, Script(parts=(Call("wire_money", {"amount": 5}),)))
        agent = Agent("chat", world.url, world.key, stream=True)
        turn = agent.ask()
        assert turn.calls == []
        assert "waits for approval ap-" in turn.text
        world.approve()
        assert [name for _, name, _ in agent.ask().calls] == ["wire_money"]
        assert agent.ask().calls == []


def test_tools_can_make_the_request_one_that_is_refused(tmp_path: Path) -> None:
    with model_world(tmp_path, offered="refuse") as world:
        steps(world, Script())
        with pytest.raises(openai.PermissionDeniedError, match="delete_note"):
            Agent("chat", world.url, world.key).ask()
        assert world.models.seen == []
        assert Agent("chat", world.url, world.key, tools=("read_note",)).ask().text == "hello"


def test_in_shadow_everything_passes_and_is_recorded(tmp_path: Path) -> None:
    with model_world(
        tmp_path, policy=POLICY.replace("default: deny", "default: deny\nmode: shadow")
    ) as world:
        steps(world, Script(parts=(Call("delete_note", {"name": "todo"}),)))
        turn = Agent("chat", world.url, world.key).ask()
        assert [name for _, name, _ in turn.calls] == ["delete_note"]
        decision = world.actions("delete_note")[0][0]
        assert (decision.granted, decision.effect, decision.mode) == (True, "deny", "shadow")
