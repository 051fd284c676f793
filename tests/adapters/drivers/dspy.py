"""DSPy in the contract."""

from __future__ import annotations

import asyncio
import json
import re
from types import SimpleNamespace
from typing import Any

import dspy
import dspy_notes as page
from contract import Came, Script

SEEN = re.compile(r"\[\[ ## observation_(\d+) ## \]\]\s*(.*?)\s*(?=\[\[ ## |$)", re.DOTALL)


class Scripted(dspy.BaseLM):
    """ReAct asks for one tool at a time, then once more for the answer."""

    def __init__(self, script: Script) -> None:
        super().__init__(model="scripted", cache=False)
        self.script, self.made, self.last = script, [], ""

    def forward(self, prompt: Any = None, messages: Any = None, **options: Any) -> Any:
        if self.last:
            said = {"reasoning": "r", "answer": self.last}
        else:
            text = "\n".join(str(m["content"]) for m in messages)
            results = {self.made[int(n)]: seen for n, seen in SEEN.findall(text)}
            turn = self.script.next(results)
            if isinstance(turn, str):
                self.last = turn
                said = {"next_thought": "t", "next_tool_name": "finish", "next_tool_args": "{}"}
            else:
                (c,) = turn
                self.made.append(c.id)
                said = {
                    "next_thought": "t",
                    "next_tool_name": c.tool,
                    "next_tool_args": json.dumps(c.arguments),
                }
        content = "\n\n".join(f"[[ ## {k} ## ]]\n{v}" for k, v in said.items())
        message = SimpleNamespace(content=content + "\n\n[[ ## completed ## ]]", tool_calls=None)
        choice = SimpleNamespace(message=message, finish_reason="stop")
        return SimpleNamespace(choices=[choice], usage={}, model="scripted")

    async def aforward(self, prompt: Any = None, messages: Any = None, **options: Any) -> Any:
        return self.forward(prompt, messages, **options)


class Program:
    """A program with its own model, as the contract runs it."""

    def __init__(self, program: Any, script: Script) -> None:
        self.program, self.model = program, Scripted(script)

    def ask(self) -> str:
        with dspy.context(lm=self.model):
            return page.ask(self.program, "tidy up")

    async def aask(self) -> str:
        with dspy.context(lm=self.model):
            return (await self.program.acall(question="tidy up")).answer


class Framework:
    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [dspy.Tool(fn) for fn in tools]
        if guard is None:
            return Program(dspy.ReAct("question -> answer", tools=made), script)
        return Program(page.notes_program(made, guard), script)

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = dspy.ReAct("question -> answer", tools=[dspy.Tool(fn) for fn in tools])
        running = Program(inner, child)

        def helper(request: str) -> str:
            """Have another program look."""
            with dspy.context(lm=running.model):
                return inner(question=request).answer

        return Program(page.notes_program([dspy.Tool(helper)], guard), script)

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [dspy.Tool(fn) for fn in tools]
        page.notes_program(made, guard)
        return Program(dspy.ReAct("question -> answer", tools=made), script)

    def run(self, agent: Any, mode: str) -> Came:
        return Came(agent.ask() if mode == "sync" else asyncio.run(agent.aask()))

    async def arun(self, agent: Any) -> Any:
        return await agent.aask()
