"""Loops on the SDKs of OpenAI and Anthropic in the contract."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import anthropic
import openai
import raw_loops_notes as page
from contract import Came
from drivers.scripted_api import Api


class Loop:
    """An agent in the three forms that the contract runs: one for each API."""

    def __init__(self, script: Any, tools: Any, guard: Any) -> None:
        self.api, self.guard = Api(script), guard
        self.tools = {fn.__name__: fn for fn in tools}
        self.schemas = [
            {
                "name": name,
                "description": fn.__doc__,
                "input_schema": {
                    "type": "object",
                    "properties": {
                        each: {"type": "string"} for each in inspect.signature(fn).parameters
                    },
                },
            }
            for name, fn in self.tools.items()
        ]

    @property
    def functions(self) -> Any:
        return [
            {"type": "function", "function": {"name": s["name"], "parameters": s["input_schema"]}}
            for s in self.schemas
        ]

    def messages(self) -> str:
        client = anthropic.Anthropic(api_key="dummy", base_url=self.api.url)
        return page.ask_anthropic(client, self.guard, self.tools, self.schemas, "tidy up")

    async def chat(self) -> str:
        async with openai.AsyncOpenAI(api_key="dummy", base_url=self.api.url + "/v1") as client:
            asked = (client, self.guard, self.tools, self.functions, "tidy up")
            return await page.ask_openai(*asked)

    def streamed(self) -> str:
        """Messages as a stream, then with their end to the same method."""
        client = anthropic.Anthropic(api_key="dummy", base_url=self.api.url)
        messages: Any = [{"role": "user", "content": "tidy up"}]
        while True:
            with client.messages.stream(
                model="m", max_tokens=100, messages=messages, tools=self.schemas
            ) as stream:
                reply = stream.get_final_message()
            if reply.stop_reason != "tool_use":
                return reply.content[0].text
            messages.append({"role": "assistant", "content": reply.content})
            messages += self.guard.run_tool_calls(reply, self.tools)


class Without:
    """A guard that is none: what the loop does without Remit."""

    def run_tool_calls(self, reply: Any, tools: Any) -> Any:
        blocks = [
            {"type": "tool_result", "tool_use_id": b.id, "content": tools[b.name](**b.input)}
            for b in reply.content
            if b.type == "tool_use"
        ]
        return [{"role": "user", "content": blocks}]


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        return Loop(script, tools, guard or Without())

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = Loop(child, tools, guard)

        def helper(request: str) -> str:
            """Have another agent look."""
            return inner.messages()

        return Loop(script, [helper], guard)

    def run(self, agent: Any, mode: str) -> Came:
        if mode == "async":
            return Came(asyncio.run(agent.chat()))
        return Came(agent.messages() if mode == "sync" else agent.streamed())

    async def arun(self, agent: Any) -> Any:
        return await agent.chat()
