"""AG2 in the contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import ag2_notes as page
from ag2 import Agent
from ag2.events import ToolCallEvent, ToolResultEvent, ToolResultsEvent
from ag2.testing import TestClient, TestConfig
from ag2.tools import tool
from contract import Came, Script


class Scripted(TestConfig):
    """AG2's test double takes a list of turns; here each turn is made when it is asked for."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script

    def create(self) -> Any:
        return Client(self.script)


class Client(TestClient):
    def __init__(self, script: Script) -> None:
        super().__init__(raise_tool_errors=False)
        self.script = script

    async def __call__(self, messages: Any, context: Any, **options: Any) -> Any:
        flat = [
            each
            for message in messages
            for each in (message.results if isinstance(message, ToolResultsEvent) else [message])
        ]
        results = {
            each.parent_id: _text(each.result) for each in flat if isinstance(each, ToolResultEvent)
        }
        turn = self.script.next(results)
        if isinstance(turn, str):
            self.events = iter([turn])
        else:
            calls = [
                ToolCallEvent(c.tool, id=c.id, arguments=json.dumps(c.arguments)) for c in turn
            ]
            self.events = iter([calls])
        return await super().__call__(messages, context, **options)


def _call(c: Any) -> Any:
    return ToolCallEvent(c.tool, id=c.id, arguments=json.dumps(c.arguments))


def _text(result: Any) -> str:
    return " ".join(
        str(getattr(part, "content", None) or json.dumps(getattr(part, "data", "")))
        for part in result.parts
    )


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        if guard is None:
            return Agent("notes-bot", config=Scripted(script), tools=made)
        return page.notes_agent(Scripted(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        inner = Agent("looker", config=Scripted(child), tools=made)
        helper = inner.as_tool(name="helper", description="Have another agent look.")
        script.turns[0][0].arguments = {"objective": "look"}
        return page.notes_agent(Scripted(script), [helper], guard)

    def run(self, agent: Any, mode: str) -> Came:
        return Came(asyncio.run(page.ask(agent, "tidy up")))

    async def arun(self, agent: Any) -> Any:
        return await page.ask(agent, "tidy up")
