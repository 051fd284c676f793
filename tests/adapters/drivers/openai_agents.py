"""The OpenAI Agents SDK in the contract."""

from __future__ import annotations

import asyncio
from typing import Any

import openai_agents_notes as page
from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from agents.testing import assistant_message, function_call
from contract import Came, Script
from openai.types.responses import Response, ResponseCompletedEvent

CFG = RunConfig(tracing_disabled=True)


class Scripted(Model):
    def __init__(self, script: Script) -> None:
        self.script = script

    def _turn(self, given: Any) -> list[Any]:
        items = given if isinstance(given, list) else []
        results = {
            item["call_id"]: str(item["output"])
            for item in items
            if isinstance(item, dict) and item.get("type") == "function_call_output"
        }
        turn = self.script.next(results)
        if isinstance(turn, str):
            return [assistant_message(turn)]
        return [function_call(c.tool, c.arguments, call_id=c.id) for c in turn]

    # The names of the parameters are the SDK's.
    async def get_response(  # type: ignore[override]
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002
        *args: Any,
        **options: Any,
    ) -> Any:
        return ModelResponse(output=self._turn(input), usage=Usage(), response_id=None)

    async def stream_response(  # type: ignore[override]
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002
        *args: Any,
        **options: Any,
    ) -> Any:
        given = input
        response = Response(
            id="r", created_at=0, model="m", object="response", output=self._turn(given),
            tool_choice="auto", tools=[], parallel_tool_calls=True,
        )  # fmt: skip
        yield ResponseCompletedEvent(
            type="response.completed", response=response, sequence_number=0
        )


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [function_tool(fn) for fn in tools]
        if guard is None:
            return Agent("notes-bot", model=Scripted(script), tools=made)
        return page.notes_agent(Scripted(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = Agent("looker", model=Scripted(child), tools=[function_tool(fn) for fn in tools])
        helper = inner.as_tool("helper", "Have another agent look.")
        # The tool of an agent takes `input`; what the model of the contract says goes there.
        script.turns[0][0].arguments = {"input": "look"}
        return page.notes_agent(Scripted(script), [helper], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [function_tool(fn) for fn in tools]
        page.notes_agent(Scripted(script), made, guard)
        return Agent("other", model=Scripted(script), tools=made)

    def run(self, agent: Any, mode: str) -> Came:
        return self._went(agent, mode, "tidy up")

    async def arun(self, agent: Any) -> Any:
        return await page.ask(agent, "tidy up", run_config=CFG)

    def _went(self, agent: Any, mode: str, given: Any) -> Came:
        if mode == "sync":
            result = Runner.run_sync(agent, given, run_config=CFG)
        elif mode == "async":
            result = asyncio.run(Runner.run(agent, given, run_config=CFG))
        else:
            result = asyncio.run(_streamed(agent, given))
        if result.interruptions:
            return Came("", resume=lambda: self._resumed(agent, mode, result))
        return Came(str(result.final_output))

    def _resumed(self, agent: Any, mode: str, result: Any) -> Came:
        state = result.to_state()
        for each in result.interruptions:
            state.approve(each)
        return self._went(agent, mode, state)


async def _streamed(agent: Any, given: Any) -> Any:
    result = Runner.run_streamed(agent, given, run_config=CFG)
    async for _ in result.stream_events():
        pass
    return result
