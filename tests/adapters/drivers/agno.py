"""Agno in the contract."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import agno_notes as page
from agno.agent import Agent
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.tools import tool
from contract import Came, Script


@dataclass
class Scripted(Model):
    id: str = "scripted"
    script: Any = None

    def _next(self, messages: Any) -> Any:
        results = {m.tool_call_id: str(m.content) for m in messages if m.role == "tool"}
        turn = self.script.next(results)
        if isinstance(turn, str):
            return ModelResponse(role="assistant", content=turn)
        calls = [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": c.tool, "arguments": json.dumps(c.arguments)},
            }
            for c in turn
        ]
        return ModelResponse(role="assistant", tool_calls=calls)

    def invoke(self, messages: Any, **options: Any) -> Any:
        return self._next(messages)

    async def ainvoke(self, messages: Any, **options: Any) -> Any:
        return self._next(messages)

    def invoke_stream(self, messages: Any, **options: Any) -> Any:
        yield self._next(messages)

    async def ainvoke_stream(self, messages: Any, **options: Any) -> Any:
        yield self._next(messages)

    def _parse_provider_response(self, response: Any, **options: Any) -> Any:
        return response

    def _parse_provider_response_delta(self, response: Any) -> Any:
        return response


def model(script: Script) -> Scripted:
    return Scripted(script=script)


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        if guard is None:
            return Agent(model=model(script), tools=made, telemetry=False)
        return page.notes_agent(model(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        # Plain functions here, decorated ones elsewhere: both are tools.
        inner = Agent(model=model(child), tools=list(tools), telemetry=False)

        def helper(request: str) -> str:
            """Have another agent look."""
            return page.ask(inner, request)

        return page.notes_agent(model(script), [helper], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        page.notes_agent(model(script), made, guard)
        return Agent(model=model(script), tools=made, telemetry=False)

    def run(self, agent: Any, mode: str) -> Came:
        if mode == "sync":
            return Came(page.ask(agent, "tidy up"))
        if mode == "async":
            return Came(asyncio.run(self.arun(agent)))
        return Came(asyncio.run(_streamed(agent)))

    async def arun(self, agent: Any) -> Any:
        return (await agent.arun("tidy up")).content


async def _streamed(agent: Any) -> str:
    said = ""
    async for event in agent.arun("tidy up", stream=True):
        said += str(getattr(event, "content", "") or "")
    return said
