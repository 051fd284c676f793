"""CrewAI in the contract."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true", OTEL_SDK_DISABLED="true", CREWAI_TRACING_ENABLED="false"
)

import crewai_notes as page
from contract import Came, Script
from crewai import Agent, BaseLLM, Crew, Task
from crewai.tools import tool


class Scripted(BaseLLM):
    script: Any = None

    def call(self, messages: Any, tools: Any = None, **options: Any) -> Any:
        listed = messages if isinstance(messages, list) else []
        results = {m["tool_call_id"]: str(m["content"]) for m in listed if m.get("role") == "tool"}
        turn = self.script.next(results)
        if isinstance(turn, str):
            return turn
        return [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": c.tool, "arguments": json.dumps(c.arguments)},
            }
            for c in turn
        ]

    async def acall(self, messages: Any, tools: Any = None, **options: Any) -> Any:
        return self.call(messages, tools)

    def supports_function_calling(self) -> bool:
        return True


def model(script: Script) -> Scripted:
    return Scripted(model="scripted", script=script)


def crew(llm: Any, tools: Any) -> Crew:
    clerk = Agent(role="clerk", goal="keep notes", backstory="tidy", llm=llm, tools=tools)
    task = Task(description="Tidy.", expected_output="What was done.", agent=clerk)
    return Crew(agents=[clerk], tasks=[task])


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn.__name__)(fn) for fn in tools]
        if guard is None:
            return crew(model(script), made)
        return page.notes_crew(model(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = crew(model(child), [tool(fn.__name__)(fn) for fn in tools])

        @tool("helper")
        def helper(request: str) -> str:
            """Have another crew look."""
            return inner.kickoff().raw

        return page.notes_crew(model(script), [helper], guard)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn.__name__)(fn) for fn in tools]
        page.notes_crew(model(script), made, guard)
        return crew(model(script), made)

    def run(self, agent: Any, mode: str) -> Came:
        if mode == "sync":
            return Came(page.ask(agent))
        if mode == "async":
            return Came(asyncio.run(agent.akickoff()).raw)
        agent.stream = True
        streamed = agent.kickoff()
        for _ in streamed:
            pass
        return Came(streamed.result.raw)

    async def arun(self, agent: Any) -> Any:
        return await agent.akickoff()
