"""Strands Agents in the contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import strands_notes as page
from contract import Came, Script
from strands import Agent, tool
from strands.models import Model


class Scripted(Model):
    def __init__(self, script: Script) -> None:
        self.script = script

    def update_config(self, **config: Any) -> None: ...

    def get_config(self) -> Any:
        return {"model_id": "scripted"}

    async def structured_output(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError
        yield

    async def stream(self, messages: Any, *args: Any, **options: Any) -> Any:
        blocks = [block for message in messages for block in message["content"]]
        results = {
            block["toolResult"]["toolUseId"]: _text(block["toolResult"]["content"])
            for block in blocks
            if "toolResult" in block
        }
        turn = self.script.next(results)
        yield {"messageStart": {"role": "assistant"}}
        if isinstance(turn, str):
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": turn}}}
            yield {"contentBlockStop": {}}
        else:
            for c in turn:
                start = {"toolUse": {"name": c.tool, "toolUseId": c.id}}
                delta = {"toolUse": {"input": json.dumps(c.arguments)}}
                yield {"contentBlockStart": {"start": start}}
                yield {"contentBlockDelta": {"delta": delta}}
                yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn" if isinstance(turn, str) else "tool_use"}}


def _text(content: Any) -> str:
    return " ".join(part.get("text") or json.dumps(part) for part in content)


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        if guard is None:
            return Agent(model=Scripted(script), tools=made, callback_handler=None)
        return page.notes_agent(Scripted(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        inner = Agent(model=Scripted(child), tools=made, callback_handler=None, name="looker")
        script.turns[0][0].arguments = {"input": "look"}
        helper = inner.as_tool(name="helper", description="Have another agent look.")
        return page.notes_agent(Scripted(script), [helper], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        page.notes_agent(Scripted(script), made, guard)
        return Agent(model=Scripted(script), tools=made, callback_handler=None)

    def run(self, agent: Any, mode: str) -> Came:
        return self._went(agent, mode, "tidy up")

    async def arun(self, agent: Any) -> Any:
        return await agent.invoke_async("tidy up")

    def _went(self, agent: Any, mode: str, given: Any) -> Came:
        if mode == "sync":
            result = agent(given)
        elif mode == "async":
            result = asyncio.run(agent.invoke_async(given))
        else:
            result = asyncio.run(_streamed(agent, given))
        if result.stop_reason == "interrupt":
            yes = [
                {"interruptResponse": {"interruptId": each.id, "response": "go on"}}
                for each in result.interrupts
            ]
            return Came("", resume=lambda: self._went(agent, mode, yes))
        return Came(str(result))


async def _streamed(agent: Any, given: Any) -> Any:
    result: Any = None
    async for event in agent.stream_async(given):
        result = event.get("result", result)
    return result
