"""AutoGen (AgentChat) under Remit.

    agent = govern(AssistantAgent(name, model_client, tools=tools), guard)

AutoGen has no hook before a tool, so the decision is put into tools and workbenches.
"""

from __future__ import annotations

from typing import Any

from remit.adapters.declared import AUTOGEN
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Stopped, TextShape
from remit.guard.tripwire import is_tripwired, marked

_tools = framework(AUTOGEN, "autogen_core.tools")


class _ToolResultTexts(TextShape):
    def text(self, came: Any) -> Any:
        only = came.result[0] if len(came.result) == 1 else None
        return getattr(only, "content", None) if only is not None else came.to_text()

    def with_text(self, came: Any, text: Any) -> Any:
        content = [_tools.TextResultContent(content=str(text))]
        return came.model_copy(update={"result": content})


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a team, a tool, a workbench or a list of these under Remit, in place."""
    walk = _AgentChat(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _AgentChat(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("an agent, a team, a tool, a workbench or a list of these")
        self._seam = guard.seam(session)
        self._shape = _ToolResultTexts()

    def known(self, target: Any) -> bool:
        if isinstance(target, _tools.BaseTool):
            self._tool(target)
        elif isinstance(target, _tools.StaticWorkbench):
            for tool in target._tools:
                self.perhaps(tool)
        elif isinstance(target, _tools.Workbench):
            self._workbench(target)
        elif type(target).__module__.startswith("autogen_agentchat."):
            for name in ("_workbench", "_participants", "_tools"):
                for each in getattr(target, name, None) or ():
                    self.perhaps(each)
            for name in ("_agent", "_team", "_inner_agent"):
                self.perhaps(getattr(target, name, None))
        else:
            return False
        return True

    def _tool(self, tool: Any) -> None:
        inner = tool.run_json
        if is_tripwired(inner):
            return
        self.inside(getattr(tool, "_func", None))
        for name in ("_agent", "_team"):
            self.perhaps(getattr(tool, name, None))

        async def run_json(args: Any, cancellation_token: Any, call_id: Any = None) -> Any:
            came = await self._seam.around_async(
                tool.name, args, lambda decided: inner(decided, cancellation_token, call_id)
            )
            return came.text if isinstance(came, Stopped) else came

        tool.run_json = marked(run_json)
        if hasattr(tool, "run_json_stream"):
            self._streaming(tool)

    def _streaming(self, tool: Any) -> None:
        """A tool that streams, such as an agent: its messages come with its result, at its end."""
        inner = tool.run_json_stream

        async def run_json_stream(args: Any, cancellation_token: Any, call_id: Any = None) -> Any:
            seen: list[Any] = []

            async def whole(decided: Any) -> Any:
                async for each in inner(decided, cancellation_token, call_id):
                    seen.append(each)
                return seen[-1] if seen else None

            came = await self._seam.around_async(tool.name, args, whole)
            if isinstance(came, Stopped):
                yield came.text
                return
            # Where the result was changed, what led to it may hold what was taken out.
            for each in seen[:-1] if seen and came is seen[-1] else ():
                yield each
            yield came

        tool.run_json_stream = run_json_stream

    def _workbench(self, workbench: Any) -> None:
        """Tools elsewhere, as on an MCP server."""
        inner = workbench.call_tool

        async def call_tool(name: str, arguments: Any = None, *rest: Any, **named: Any) -> Any:
            came = await self._seam.around_async(
                name,
                arguments or {},
                lambda decided: inner(name, decided, *rest, **named),
                self._shape,
            )
            if not isinstance(came, Stopped):
                return came
            content = [_tools.TextResultContent(content=came.text)]
            return _tools.ToolResult(name=name, result=content, is_error=True)

        workbench.call_tool = call_tool
