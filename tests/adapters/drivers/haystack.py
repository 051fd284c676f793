"""Haystack in the contract."""

from __future__ import annotations

import asyncio
import os
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

import haystack_notes as page
from contract import Came, Script
from haystack.components.agents import Agent
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import ChatMessage, ToolCall
from haystack.tools import tool


def model(script: Script) -> Any:
    def said(messages: Any, tools: Any = None) -> Any:
        results = {
            result.origin.id: str(result.result)
            for message in messages
            for result in message.tool_call_results
        }
        turn = script.next(results)
        if isinstance(turn, str):
            return ChatMessage.from_assistant(turn)
        calls = [ToolCall(tool_name=c.tool, arguments=c.arguments, id=c.id) for c in turn]
        return ChatMessage.from_assistant(tool_calls=calls)

    return MockChatGenerator(response_fn=said)


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        if guard is None:
            return Agent(chat_generator=model(script), tools=made)
        return page.notes_agent(model(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = Agent(chat_generator=model(child), tools=[tool(fn) for fn in tools])

        def helper(request: str) -> str:
            """Have another agent look."""
            return page.ask(inner, request)

        return page.notes_agent(model(script), [tool(helper)], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        page.notes_agent(model(script), made, guard)
        return Agent(chat_generator=model(script), tools=made)

    def run(self, agent: Any, mode: str) -> Came:
        if mode == "sync":
            return Came(page.ask(agent, "tidy up"))
        return Came(asyncio.run(self.arun(agent)))

    async def arun(self, agent: Any) -> Any:
        came = await agent.run_async(messages=[ChatMessage.from_user("tidy up")])
        return came["last_message"].text
