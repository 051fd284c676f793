"""Microsoft Agent Framework in the contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import agent_framework_notes as page
from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    tool,
)
from contract import Came, Script


class Scripted(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script

    def _inner_get_response(self, *, messages: Any, stream: Any, options: Any, **more: Any) -> Any:
        contents = [content for message in messages for content in message.contents]
        results = {c.call_id: str(c.result) for c in contents if c.type == "function_result"}
        turn = self.script.next(results)
        said = (
            [Content.from_text(turn)]
            if isinstance(turn, str)
            else [
                Content.from_function_call(
                    call_id=c.id, name=c.tool, arguments=json.dumps(c.arguments)
                )
                for c in turn
            ]
        )
        if stream:

            async def updates() -> Any:
                yield ChatResponseUpdate(role="assistant", contents=said)

            return self._build_response_stream(updates())

        async def whole() -> Any:
            return ChatResponse(messages=[Message("assistant", said)])

        return whole()


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        if guard is None:
            return Agent(client=Scripted(script), tools=made)
        return page.notes_agent(Scripted(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = Agent(client=Scripted(child), name="looker", tools=[tool(fn) for fn in tools])
        helper = inner.as_tool(name="helper", description="Have another agent look.")
        script.turns[0][0].arguments = {"task": "look"}
        return page.notes_agent(Scripted(script), [helper], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        page.notes_agent(Scripted(script), made, guard)
        return Agent(client=Scripted(script), tools=made)

    def run(self, agent: Any, mode: str) -> Came:
        return self._went(agent, mode, "tidy up", agent.create_session())

    async def arun(self, agent: Any) -> Any:
        return await agent.run("tidy up")

    def _went(self, agent: Any, mode: str, given: Any, session: Any) -> Came:
        response = asyncio.run(_ran(agent, mode, given, session))
        asked = response.user_input_requests
        if asked:
            yes = Message("user", [each.to_function_approval_response(True) for each in asked])
            return Came("", resume=lambda: self._went(agent, mode, yes, session))
        return Came(response.text)


async def _ran(agent: Any, mode: str, given: Any, session: Any) -> Any:
    if mode == "async":
        return await agent.run(given, session=session)
    stream = agent.run(given, session=session, stream=True)
    async for _ in stream:
        pass
    return await stream.get_final_response()
