"""Semantic Kernel in the contract: its OpenAI connector, a scripted API on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import semantic_kernel_notes as page
from contract import Came, Script
from drivers.scripted_api import Api
from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

PREFIX = "notes-"


def service(script: Script) -> Any:
    api = Api(script, named=lambda name: name if "-" in name else PREFIX + name)
    client = AsyncOpenAI(api_key="dummy", base_url=api.url + "/v1")
    return OpenAIChatCompletion(ai_model_id="scripted", async_client=client)


def plugin(tools: Any) -> dict[str, Any]:
    return {fn.__name__: kernel_function(fn) for fn in tools}


def plain(script: Any, tools: Any) -> Any:
    kernel = Kernel()
    kernel.add_service(service(script))
    kernel.add_plugin(plugin(tools), "notes")
    return ChatCompletionAgent(kernel=kernel, name="other")


class Framework:
    prefix = PREFIX
    helper = f"{PREFIX}helper"

    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        if guard is None:
            return plain(script, tools)
        return page.notes_agent(service(script), plugin(tools), guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = plain(child, tools)

        async def helper(request: str) -> str:
            """Have another agent look."""
            return await page.ask(inner, request)

        return page.notes_agent(service(script), plugin([helper]), guard)

    def run(self, agent: Any, mode: str) -> Came:
        if mode == "async":
            return Came(asyncio.run(page.ask(agent, "tidy up")))
        return Came(asyncio.run(_streamed(agent)))

    async def arun(self, agent: Any) -> Any:
        return await page.ask(agent, "tidy up")


async def _streamed(agent: Any) -> str:
    said = ""
    async for part in agent.invoke_stream("tidy up"):
        said += str(part.content)
    return said
