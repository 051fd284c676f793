"""Google ADK in the contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import google_adk_notes as page
from contract import Came, Script
from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.apps import App
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools import FunctionTool
from google.adk.tools.agent_tool import AgentTool
from google.genai import types

ASKED = "adk_request_confirmation"


class Scripted(BaseLlm):
    script: Any = None

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
        parts = [part for content in llm_request.contents for part in content.parts]
        results = {
            part.function_response.id or "": json.dumps(part.function_response.response)
            for part in parts
            if part.function_response
        }
        turn = self.script.next(results)
        if isinstance(turn, str):
            said = [types.Part(text=turn)]
        else:
            said = [
                types.Part(function_call=types.FunctionCall(id=c.id, name=c.tool, args=c.arguments))
                for c in turn
            ]
        yield LlmResponse(content=types.Content(role="model", parts=said))


def model(script: Script) -> Scripted:
    return Scripted(model="scripted", script=script)


def plain(runner_of: Any) -> InMemoryRunner:
    return InMemoryRunner(app=App(name="notes", root_agent=runner_of))


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        if guard is None:
            return plain(LlmAgent(name="notes_bot", model=model(script), tools=list(tools)))
        return page.notes_runner(model(script), list(tools), guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = LlmAgent(name="helper", description="Looks.", model=model(child), tools=list(tools))
        return page.notes_runner(model(script), [AgentTool(inner)], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [FunctionTool(fn) for fn in tools]
        page.notes_runner(model(script), made, guard)
        return plain(LlmAgent(name="other", model=model(script), tools=made))

    def run(self, agent: Any, mode: str) -> Came:
        return asyncio.run(self._went(agent, mode, "", types.Part(text="tidy up")))

    async def arun(self, agent: Any) -> Any:
        return await self._went(agent, "async", "", types.Part(text="tidy up"))

    async def _went(self, runner: Any, mode: str, session: str, *parts: Any) -> Came:
        if not session:
            made = await runner.session_service.create_session(app_name="notes", user_id="ada")
            session = made.id
        streaming = StreamingMode.SSE if mode == "stream" else StreamingMode.NONE
        config = RunConfig(streaming_mode=streaming)
        events = await page.ask(runner, session, *parts, run_config=config)
        asked = [call for event in events for call in event.get_function_calls()]
        waiting = [call for call in asked if call.name == ASKED]
        if waiting:
            yes = [_confirmed(call) for call in waiting]
            return Came("", lambda: asyncio.run(self._went(runner, mode, session, *yes)))
        texts = [p.text for e in events if e.content for p in e.content.parts or () if p.text]
        return Came(texts[-1] if texts else "")


def _confirmed(call: Any) -> Any:
    answer = types.FunctionResponse(id=call.id, name=ASKED, response={"confirmed": True})
    return types.Part(function_response=answer)
