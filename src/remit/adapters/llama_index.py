"""LlamaIndex under Remit.

    agent = govern(FunctionAgent(tools=[...], llm=...), guard)

LlamaIndex has no hook before a tool, so the decision is put into the tools themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from remit.adapters.declared import LLAMA_INDEX
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Stopped, TextShape
from remit.guard.functions import governed
from remit.guard.tripwire import is_tripwired, marked

_tools = framework(LLAMA_INDEX, "llama_index.core.tools")


class _OutputShape(TextShape):
    def text(self, came: Any) -> Any:
        return came.content

    def with_text(self, came: Any, text: Any) -> Any:
        return _output(came.tool_name, text, came.is_error)


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a workflow of agents, a tool or a list of these under Remit, in place."""
    walk = _Workflows(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _Workflows(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("an agent, an AgentWorkflow, a tool or a list of these")
        self._seam = guard.seam(session)
        self._shape = _OutputShape()

    def known(self, target: Any) -> bool:
        if isinstance(target, _tools.FunctionTool):
            self._function(target)
        elif isinstance(target, _tools.BaseTool):
            self._tool(target)
        elif isinstance(getattr(target, "agents", None), dict):
            for agent in target.agents.values():
                self.perhaps(agent)
        elif hasattr(target, "tools") and hasattr(target, "llm"):
            for tool in target.tools or ():
                self.perhaps(tool)
            self.perhaps(getattr(target, "tool_retriever", None))
        else:
            return False
        return True

    def _function(self, tool: Any) -> None:
        name = tool.metadata.get_name()
        self.inside(tool.real_fn)
        tool._fn = governed(self._seam, tool._fn, name)
        tool._async_fn = governed(self._seam, tool._async_fn, name)

    def _tool(self, tool: Any) -> None:
        """A tool that is no function, such as a query engine."""
        name = tool.metadata.get_name()
        if is_tripwired(tool.call):
            return
        call, acall = tool.call, getattr(tool, "acall", None)
        tool.call = marked(self._blocking(name, call))
        if acall is not None:
            tool.acall = marked(self._asynchronous(name, acall))

    def _blocking(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **given: Any) -> Any:
            asked = {**({"input": args[0]} if args else {}), **given}
            came = self._seam.around(name, asked, lambda decided: inner(**decided), self._shape)
            return _output(name, came.text, True) if isinstance(came, Stopped) else came

        return call

    def _asynchronous(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def acall(*args: Any, **given: Any) -> Any:
            asked = {**({"input": args[0]} if args else {}), **given}
            came = await self._seam.around_async(
                name, asked, lambda decided: inner(**decided), self._shape
            )
            return _output(name, came.text, True) if isinstance(came, Stopped) else came

        return acall


def _output(name: str, text: Any, failed: bool) -> Any:
    return _tools.ToolOutput(
        content=str(text), tool_name=name, raw_input={}, raw_output=text, is_error=failed
    )
