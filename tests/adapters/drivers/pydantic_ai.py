"""PydanticAI in the contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pydantic_ai_notes as page
from contract import RAN, Call, Came, Scene, Script, contains, equal
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults
from pydantic_ai.messages import (
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from remit.adapters.pydantic_ai import govern


def model(script: Script) -> FunctionModel:
    def turn(messages: Any) -> Any:
        parts = [part for message in messages for part in message.parts]
        results = {
            part.tool_call_id: part.model_response_str()
            for part in parts
            if isinstance(part, ToolReturnPart)
        }
        results |= {
            part.tool_call_id: str(part.content)
            for part in parts
            if isinstance(part, RetryPromptPart)
        }
        return script.next(results)

    def whole(messages: Any, info: Any) -> ModelResponse:
        said = turn(messages)
        if isinstance(said, str):
            return ModelResponse([TextPart(said)])
        return ModelResponse([ToolCallPart(c.tool, c.arguments, c.id) for c in said])

    async def streamed(messages: Any, info: Any) -> Any:
        said = turn(messages)
        if isinstance(said, str):
            yield said
            return
        yield {
            place: DeltaToolCall(c.tool, json.dumps(c.arguments), tool_call_id=c.id)
            for place, c in enumerate(said)
        }

    return FunctionModel(whole, stream_function=streamed)


def file_note(name: str) -> str:
    """File a note, and be done."""
    RAN.append(("file_note", name))
    return f"filed {name}"


def output_function(scene: Scene) -> None:
    """A function that makes the output acts like a tool: the model reads why it may not run."""
    calls = [Call("final_result", f"c{n}", {"name": name}) for n, name in ((1, "a"), (2, "b"))]
    script = Script([[each] for each in calls])
    # Streaming, PydanticAI ends the run instead: it has no retries there.
    scene.mode = "sync"
    agent = govern(Agent(model(script), output_type=file_note), scene.guard)
    contains(scene.play(agent).said, "filed b")
    equal(RAN, [("file_note", "b")])
    contains(script.read["c1"], "file_note", "not allowed")
    equal(scene.decisions(), ["file_note deny", "file_note allow"])


class Framework:
    more = (output_function,)

    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        if guard is None:
            return Agent(model(script), tools=list(tools))
        return page.notes_agent(model(script), list(tools), guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = Agent(model(child), tools=list(tools))

        async def helper(request: str) -> str:
            """Have another agent look."""
            return (await inner.run(request)).output

        return page.notes_agent(model(script), [helper], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        governed = govern(list(tools), guard)
        page.notes_agent(model(script), governed, guard)
        return Agent(model(script), tools=governed)

    def run(self, agent: Any, mode: str) -> Came:
        return self._went(agent, mode, {"user_prompt": "tidy up"})

    async def arun(self, agent: Any) -> Any:
        return await agent.run("tidy up")

    def _went(self, agent: Any, mode: str, given: Any) -> Came:
        if mode == "sync":
            result = agent.run_sync(**given)
            output, messages = result.output, result.all_messages()
        elif mode == "async":
            result = asyncio.run(agent.run(**given))
            output, messages = result.output, result.all_messages()
        else:
            output, messages = asyncio.run(_streamed(agent, given))
        if isinstance(output, DeferredToolRequests):
            yes = DeferredToolResults(approvals={c.tool_call_id: True for c in output.approvals})
            go_on = {"message_history": messages, "deferred_tool_results": yes}
            return Came("", resume=lambda: self._went(agent, mode, go_on))
        return Came(output)


async def _streamed(agent: Any, given: Any) -> Any:
    async with agent.run_stream(**given) as result:
        return await result.get_output(), result.all_messages()
