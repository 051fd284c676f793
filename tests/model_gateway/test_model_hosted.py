"""Tools that the provider runs by itself: decided before the request leaves, recorded after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from model_world import World, model_world, steps
from scripted_models import Call, Script
from sdk_clients import REFUSALS, Agent, status_of

MAIL = Call("send_email", {"to": "x"})
SEARCH: dict[str, Any] = {
    "responses": {"type": "web_search"},
    "messages": {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
}
CODE: dict[str, Any] = {
    "responses": {"type": "code_interpreter", "container": {"type": "auto"}},
    "messages": {"type": "code_execution_20250825", "name": "code_execution"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with model_world(tmp_path_factory.mktemp("hosted")) as found:
        yield found


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


def agent_of(world: World, api: str, stream: bool, **more: Any) -> Agent:
    """An agent with a session of its own."""
    principal = world.parts.policies.current.principal("inventory-bot")
    session = world.parts.store.write(
        lambda t: world.parts.governor.open_session(t, principal, None, None)
    )
    headers = {"X-Remit-Session": session.id}
    return Agent(api, world.url, world.key, stream=stream, headers=headers, **more)


def told(world: World, agent: Agent, tool: str) -> list[tuple[Any, Any]]:
    """Granted, and the status of the outcome, of each action of the agent's session."""
    settled = 0
    for decision, _ in world.actions(tool):
        settled += bool(decision.granted)
    world.settled(tool, settled)
    return [
        (decision.granted, outcome.status if outcome else None)
        for decision, outcome in world.actions(tool)
        if decision.session == agent.headers["X-Remit-Session"]
    ]


@pytest.mark.parametrize("api", SEARCH)
def test_what_a_search_found_counts_for_calls_of_the_same_answer(
    world: World, api: str, stream: bool
) -> None:
    agent = agent_of(world, api, stream, tools=("send_email",), hosted=(SEARCH[api],))
    steps(world, Script(parts=("I searched.", MAIL), hosted=("web_search",)))
    turn = agent.ask()
    assert turn.calls == []
    assert "The session has read the web." in turn.text
    assert told(world, agent, "hosted.web_search") == [(True, "ok")]


@pytest.mark.parametrize("api", SEARCH)
def test_a_search_that_was_not_made_labels_nothing(world: World, api: str, stream: bool) -> None:
    agent = agent_of(world, api, stream, tools=("send_email",), hosted=(SEARCH[api],))
    steps(world, Script(parts=("No need to search.", MAIL)))
    assert [name for _, name, _ in agent.ask().calls] == ["send_email"]
    assert told(world, agent, "hosted.web_search") == [(True, "not-run")]


@pytest.mark.parametrize("api", CODE)
def test_a_hosted_tool_that_is_not_allowed_is_not_offered(
    world: World, api: str, stream: bool
) -> None:
    agent = agent_of(world, api, stream, tools=("read_note",), hosted=(CODE[api],))
    steps(world, Script())
    assert agent.ask().text == "hello"
    raw = world.models.seen[-1]["raw"].decode()
    assert "read_note" in raw
    assert "code" not in raw
    assert [granted for granted, _ in told(world, agent, "hosted.code_execution")] == [False]


def test_a_search_that_nobody_tells_of_counts_as_made(world: World, stream: bool) -> None:
    agent = agent_of(world, "chat", stream, tools=("send_email",), extra={"web_search_options": {}})
    steps(world, Script(parts=(MAIL,)))
    turn = agent.ask()
    assert turn.calls == []
    assert told(world, agent, "hosted.web_search") == [(True, "ok")]


def test_a_stored_prompt_is_refused_rather_than_left_out(world: World, stream: bool) -> None:
    agent = agent_of(world, "responses", stream, tools=(), extra={"prompt": {"id": "pmpt_1"}})
    before = len(world.models.seen)
    with pytest.raises(REFUSALS) as refusal:
        agent.ask()
    assert status_of(refusal.value) == 403
    assert "hosted.stored_prompt" in str(refusal.value)
    assert len(world.models.seen) == before


def test_no_tool_of_an_agent_may_be_called_like_the_gateways_own(
    world: World, stream: bool
) -> None:
    agent = agent_of(world, "gemini", stream, tools=("hosted.web_search", "read_note"))
    steps(world, Script(parts=(Call("hosted.web_search", {"q": "x"}), Call("model.x", {}))))
    turn = agent.ask()
    assert turn.calls == []
    assert "hosted.web_search" not in world.models.seen[-1]["raw"].decode()


def test_a_conversation_from_elsewhere_labels_the_session(world: World, stream: bool) -> None:
    agent = agent_of(world, "chat", stream, tools=("send_email",))
    called = {"name": "fetch_page", "arguments": "{}"}
    agent.history = [
        {"role": "user", "content": "read it"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": called}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a page"},
    ]
    steps(world, Script(parts=(MAIL,)))
    turn = agent.ask("now send it")
    assert turn.calls == []
    assert "The session has read the web." in turn.text


def test_refused_calls_are_answered_where_the_provider_keeps_the_conversation(
    world: World, stream: bool
) -> None:
    agent = agent_of(world, "responses", stream)
    steps(world, Script(parts=(Call("delete_note", {"name": "x"}, "call_gone"),)), Script())
    assert agent.ask().calls == []
    agent.history = []
    agent.extra = {"previous_response_id": "resp_1"}
    agent.ask("and now?")
    sent = world.models.seen[-1]["body"]["input"]
    answered = [item for item in sent if item.get("type") == "function_call_output"]
    assert [item["call_id"] for item in answered] == ["call_gone"]
    assert "was not run" in str(answered[0]["output"])
