"""smolagents in the contract."""

from __future__ import annotations

from typing import Any

import smolagents_notes as page
from contract import Came, Script
from smolagents import Model, ToolCallingAgent, tool
from smolagents.models import (
    ChatMessage,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
    TokenUsage,
)


class Scripted(Model):
    def __init__(self, script: Script) -> None:
        super().__init__(model_id="scripted")
        self.script = script
        self.order: list[str] = []

    def generate(self, messages: Any, **options: Any) -> Any:
        turn = self.script.next(self._results(messages))
        if isinstance(turn, str):
            calls = [("final", "final_answer", {"answer": turn})]
        else:
            calls = [(c.id, c.tool, c.arguments) for c in turn]
            self.order = [c.id for c in turn]
        used = TokenUsage(input_tokens=1, output_tokens=1)
        return ChatMessage(
            role=MessageRole.ASSISTANT,
            content=None,
            token_usage=used,
            tool_calls=[
                ChatMessageToolCall(
                    id=i, type="function", function=ChatMessageToolCallFunction(name=n, arguments=a)
                )
                for i, n, a in calls
            ],
        )

    def _results(self, messages: Any) -> dict[str, str]:
        """The last observation, for each call of the last turn: smolagents joins them."""
        texts = [_text(m) for m in messages if _role(m) in ("tool-response", "user")]
        return dict.fromkeys(self.order, texts[-1] if texts else "")


def _role(message: Any) -> str:
    role = message.role if hasattr(message, "role") else message["role"]
    return str(getattr(role, "value", role))


def _text(message: Any) -> str:
    content = message.content if hasattr(message, "content") else message["content"]
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or ())


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        if guard is None:
            return ToolCallingAgent(tools=made, model=Scripted(script), verbosity_level=0)
        return page.notes_agent(Scripted(script), made, guard)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = ToolCallingAgent(
            tools=[tool(fn) for fn in tools], model=Scripted(child), verbosity_level=0,
            name="helper", description="Looks.",
        )  # fmt: skip
        script.turns[0][0].arguments = {"task": "look"}
        return page.notes_agent(Scripted(script), [], guard, managed_agents=[inner])

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        page.notes_agent(Scripted(script), made, guard)
        return ToolCallingAgent(tools=made, model=Scripted(script), verbosity_level=0)

    def run(self, agent: Any, mode: str) -> Came:
        if mode == "sync":
            return Came(page.ask(agent, "tidy up"))
        last: Any = None
        for step in agent.run("tidy up", stream=True):
            last = step
        return Came(str(getattr(last, "output", last)))

    async def arun(self, agent: Any) -> Any:
        raise NotImplementedError
