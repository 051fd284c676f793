"""LangChain / LangGraph in the contract."""

from __future__ import annotations

import asyncio
from typing import Any

import langchain_notes as page
from contract import RAN, Came, Scene, Script, call, contains, equal, read_note
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from remit.adapters.langchain import govern

CONFIG = {"configurable": {"thread_id": "1"}}


class Scripted(GenericFakeChatModel):
    script: Any = None

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self

    def _generate(self, messages: Any, *args: Any, **options: Any) -> ChatResult:
        results = {m.tool_call_id: str(m.content) for m in messages if isinstance(m, ToolMessage)}
        turn = self.script.next(results)
        if isinstance(turn, str):
            message = AIMessage(turn)
        else:
            calls = [{"name": c.tool, "args": c.arguments, "id": c.id} for c in turn]
            message = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError


def model(script: Script) -> Scripted:
    return Scripted(messages=iter(()), script=script, disable_streaming=True)


def tool(fn: Any) -> Any:
    if asyncio.iscoroutinefunction(fn):
        return StructuredTool.from_function(coroutine=fn)
    return StructuredTool.from_function(fn)


class OwnTool(BaseTool):
    """A tool as people write them: its async method calls the blocking one."""

    name: str = "read_note"
    description: str = "Read a note."

    def _run(self, name: str) -> str:
        return read_note(name)

    async def _arun(self, name: str) -> str:
        return self._run(name)


def tools_of_own_classes(scene: Scene) -> None:
    for mode in ("sync", "async"):
        RAN.clear()
        scene.mode = mode
        script = Script([[call("read_note", "c1", "TODO")], "done"])
        agent = page.notes_agent(model(script), [OwnTool()], scene.guard)
        contains(scene.play(agent).said, "done")
        equal(RAN, [("read_note", "todo")])


def governed_twice(scene: Scene) -> None:
    """Nothing is decided on twice, and a graph in a graph is found."""
    script = Script([[call("read_note", "c1", "a")], "done"])
    inner = create_agent(model(script), [tool(read_note)], checkpointer=InMemorySaver())
    outer = StateGraph(MessagesState)
    outer.add_node("inner", inner)
    outer.add_edge(START, "inner")
    agent = govern(govern(outer.compile(), scene.guard), scene.guard)
    contains(scene.play(agent).said, "done")
    equal(scene.decisions(), ["read_note allow"])


class Framework:
    more = (tools_of_own_classes, governed_twice)

    def agent(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        if guard is None:
            return create_agent(model(script), made, checkpointer=InMemorySaver())
        return page.notes_agent(model(script), made, guard, checkpointer=InMemorySaver())

    def parent(self, script: Any, child: Any, tools: Any, guard: Any) -> Any:
        inner = page.notes_agent(model(child), [tool(fn) for fn in tools], guard)

        def helper(request: str) -> str:
            """Have another agent look."""
            return page.ask(inner, request)

        return page.notes_agent(model(script), [helper], guard, checkpointer=InMemorySaver())

    def strayed(self, script: Any, tools: Any, guard: Any) -> Any:
        made = [tool(fn) for fn in tools]
        page.notes_agent(model(script), made, guard)
        return create_agent(model(script), made, checkpointer=InMemorySaver())

    def run(self, agent: Any, mode: str) -> Came:
        return self._went(agent, mode, {"messages": [("user", "tidy up")]})

    async def arun(self, agent: Any) -> Any:
        return await agent.ainvoke({"messages": [("user", "tidy up")]}, CONFIG)

    def _went(self, agent: Any, mode: str, given: Any) -> Came:
        if mode == "sync":
            state = agent.invoke(given, CONFIG)
        elif mode == "async":
            state = asyncio.run(agent.ainvoke(given, CONFIG))
        else:
            state = asyncio.run(_streamed(agent, given))
        if state.get("__interrupt__"):
            go_on = Command(resume=True)
            return Came("", resume=lambda: self._went(agent, mode, go_on))
        return Came(state["messages"][-1].content)


async def _streamed(agent: Any, given: Any) -> Any:
    last: Any = {}
    async for state in agent.astream(given, CONFIG, stream_mode="values"):
        last = {**last, **state}
    return last
