"""AutoGen in the contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import autogen_notes as page
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.tools import AgentTool
from autogen_core import FunctionCall
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResultMessage,
    ModelInfo,
    RequestUsage,
)
from autogen_core.tools import FunctionTool
from contract import Came, Script

USED = RequestUsage(prompt_tokens=1, completion_tokens=1)


class Scripted(ChatCompletionClient):
    component_type = "model"

    def __init__(self, script: Script) -> None:
        self.script = script

    async def create(self, messages: Any, **options: Any) -> Any:
        results = {
            each.call_id: each.content
            for message in messages
            if isinstance(message, FunctionExecutionResultMessage)
            for each in message.content
        }
        turn = self.script.next(results)
        if isinstance(turn, str):
            return CreateResult(finish_reason="stop", content=turn, usage=USED, cached=False)
        calls = [
            FunctionCall(id=c.id, name=c.tool, arguments=json.dumps(c.arguments)) for c in turn
        ]
        return CreateResult(finish_reason="function_calls", content=calls, usage=USED, cached=False)

    async def create_stream(self, messages: Any, **options: Any) -> Any:
        yield await self.create(messages)

    async def close(self) -> None: ...

    def actual_usage(self) -> Any:
        return USED

    def total_usage(self) -> Any:
        return USED

    def count_tokens(self, messages: Any, **options: Any) -> int:
        return 1

    def remaining_tokens(self, messages: Any, **options: Any) -> int:
        return 1000

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> Any:
        return ModelInfo(
            vision=False, function_calling=True, json_output=False, family="unknown",
            structured_output=False,
        )  # fmt: skip


def made(tools: Any) -> Any:
    return [FunctionTool(fn, fn.__doc__) for fn in tools]


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any, **options: Any) -> Any:
        if guard is None:
            return AssistantAgent("a", Scripted(script), tools=made(tools), max_tool_iterations=10)
        return page.notes_agent(Scripted(script), made(tools), guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = AssistantAgent(
            "helper",
            Scripted(child),
            tools=made(tools),
            max_tool_iterations=10,
            description="Looks.",
        )
        script.turns[0][0].arguments = {"task": "look"}
        return page.notes_agent(Scripted(script), [AgentTool(inner)], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        shared = made(tools)
        page.notes_agent(Scripted(script), shared, guard)
        return AssistantAgent("other", Scripted(script), tools=shared, max_tool_iterations=10)

    def run(self, agent: Any, mode: str) -> Came:
        if mode == "async":
            return Came(asyncio.run(page.ask(agent, "tidy up")))
        return Came(asyncio.run(_streamed(agent)))

    async def arun(self, agent: Any) -> Any:
        return await page.ask(agent, "tidy up")


async def _streamed(agent: Any) -> str:
    events = [event async for event in agent.run_stream(task="tidy up")]
    return events[-1].messages[-1].content
