"""LlamaIndex in the contract."""

from __future__ import annotations

import asyncio
from typing import Any

import llama_index_notes as page
from contract import Came, Script
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool


def model(script: Script) -> Any:
    def said(messages: Any, **options: Any) -> Any:
        results = {
            m.additional_kwargs["tool_call_id"]: str(m.content)
            for m in messages
            if "tool_call_id" in m.additional_kwargs
        }
        turn = script.next(results)
        blocks = (
            [TextBlock(text=turn)]
            if isinstance(turn, str)
            else [
                ToolCallBlock(tool_call_id=c.id, tool_name=c.tool, tool_kwargs=c.arguments)
                for c in turn
            ]
        )
        return ChatMessage(role="assistant", blocks=blocks)

    return MockFunctionCallingLLM(response_generator=said)


def tool(fn: Any) -> Any:
    if asyncio.iscoroutinefunction(fn):
        return FunctionTool.from_defaults(async_fn=fn)
    return FunctionTool.from_defaults(fn)


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        if guard is None:
            return FunctionAgent(tools=made, llm=model(script))
        return page.notes_agent(model(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = FunctionAgent(tools=[tool(fn) for fn in tools], llm=model(child))

        async def helper(request: str) -> str:
            """Have another agent look."""
            return str(await inner.run(user_msg=request))

        return page.notes_agent(model(script), [tool(helper)], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        page.notes_agent(model(script), made, guard)
        return FunctionAgent(tools=made, llm=model(script))

    def run(self, agent: Any, mode: str) -> Came:
        agent.streaming = mode == "stream"
        return Came(asyncio.run(page.ask(agent, "tidy up")))

    async def arun(self, agent: Any) -> Any:
        handler = agent.run(user_msg="tidy up")
        try:
            return await handler
        except asyncio.CancelledError:
            await handler.cancel_run()
            raise
