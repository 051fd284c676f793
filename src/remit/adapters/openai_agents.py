"""The OpenAI Agents SDK under Remit.

    agent = govern(agent, guard)

Goes through the agent's tools, MCP servers, handoffs and agents used as tools, and wraps what runs
them. They are changed in place, so another agent that is given the same tools is governed as well.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from remit.adapters.ahead import Ahead, key_of
from remit.adapters.declared import OPENAI_AGENTS
from remit.adapters.loading import framework
from remit.adapters.mcp_results import McpShape, refused_result
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Stopped, tripwired
from remit.guard.steps import run_async

_agents = framework(OPENAI_AGENTS, "agents")
_EDITS = ("create_file", "update_file", "delete_file")


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a tool, an MCP server or a list of these under Remit, in place."""
    walk = _Agents(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _Agents(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("an agent, a tool, an MCP server or a list of these")
        self._seam = guard.seam(session)
        self._ahead = Ahead()
        self._mcp = McpShape()

    def known(self, target: Any) -> bool:
        if getattr(target, "_remit", False):
            return True
        if hasattr(target, "handoffs") and hasattr(target, "tools"):
            for each in (*target.tools, *target.handoffs, *target.mcp_servers):
                self.perhaps(each)
        elif hasattr(target, "on_invoke_handoff"):
            self._handoff(target)
        elif isinstance(target, _agents.FunctionTool):
            self._function(target)
        elif hasattr(target, "executor"):
            self._shell(target)
        elif hasattr(target, "editor"):
            self._editor(target.editor)
        elif hasattr(target, "call_tool") and hasattr(target, "list_tools"):
            self._server(target)
        elif hasattr(target, "on_invoke_tool"):
            self._custom(target)
        else:
            # Hosted tools: the provider runs them, so there is nothing here to wrap.
            return type(target).__module__.startswith("agents.")
        return True

    def _handoff(self, handoff: Any) -> None:
        """Whoever it hands over to is governed, also when that is only known at run time."""
        inner = handoff.on_invoke_handoff
        agent = getattr(handoff, "_agent_ref", None)
        self.perhaps(agent() if callable(agent) else None)

        async def invoke(context: Any, arguments: str) -> Any:
            found = await inner(context, arguments)
            self.visit(found)
            return found

        handoff.on_invoke_handoff = invoke

    def _function(self, tool: Any) -> None:
        self.perhaps(getattr(tool, "_agent_instance", None))
        inner, asked = tool.on_invoke_tool, tool.needs_approval
        # The SDK makes a message of what a function raised; under the tripwire it is seen.
        if hasattr(inner, "_invoke_tool_impl"):
            inner._invoke_tool_impl = tripwired(inner._invoke_tool_impl, tool.name)

        async def needs_approval(context: Any, arguments: dict[str, Any], call: str) -> bool:
            if await _wanted(asked, context, arguments, call):
                return True
            key = key_of(call, tool.name, arguments)
            if not self._ahead.has(key):
                decided = await run_async(self._seam.before(tool.name, arguments))
                if isinstance(decided, Stopped) and decided.approval is not None:
                    return True
                self._ahead.put(key, decided)
            return False

        async def invoke(context: Any, given: str) -> Any:
            arguments = _object(given)
            if arguments is None:
                return f"{tool.name} was not run: its arguments are not a JSON object."
            key = key_of(getattr(context, "tool_call_id", ""), tool.name, arguments)
            decided = self._ahead.take(key)
            if decided is None:
                decided = await run_async(self._seam.before(tool.name, arguments))
            if isinstance(decided, Stopped):
                return decided.text
            came = await self._seam.finish_async(
                decided, lambda args: inner(context, json.dumps(args))
            )
            return came.text if isinstance(came, Stopped) else came

        tool.needs_approval, tool.on_invoke_tool, tool._remit = needs_approval, invoke, True

    def _custom(self, tool: Any) -> None:
        inner = tool.on_invoke_tool

        async def invoke(context: Any, given: str) -> Any:
            came = await self._seam.around_async(
                tool.name, {"input": given}, lambda args: _awaited(inner, context, args["input"])
            )
            return came.text if isinstance(came, Stopped) else came

        tool.on_invoke_tool, tool._remit = invoke, True

    def _shell(self, tool: Any) -> None:
        inner = tool.executor
        if inner is None:
            return

        async def execute(request: Any) -> Any:
            action = getattr(request.data, "action", request.data)
            commands = getattr(action, "commands", None) or [*action.command]
            arguments = {"commands": list(commands), "timeout_ms": action.timeout_ms}
            return await self._fixed(tool.name, arguments, inner, request)

        tool.executor, tool._remit = execute, True

    def _editor(self, editor: Any) -> None:
        for name in _EDITS:
            inner = getattr(editor, name)

            async def edit(operation: Any, inner: Any = inner) -> Any:
                arguments = {
                    part: getattr(operation, part, None)
                    for part in ("type", "path", "diff", "move_to")
                }
                return await self._fixed("apply_patch", arguments, inner, operation)

            setattr(editor, name, edit)

    async def _fixed(
        self, tool: str, arguments: dict[str, Any], inner: Callable[..., Any], request: Any
    ) -> Any:
        came = await self._seam.around_async(
            tool, arguments, lambda _: _awaited(inner, request), fixed=True
        )
        return came.text if isinstance(came, Stopped) else came

    def _server(self, server: Any) -> None:
        inner = server.call_tool

        async def call_tool(tool: str, arguments: Any = None, *rest: Any, **named: Any) -> Any:
            came = await self._seam.around_async(
                tool, arguments or {}, lambda args: inner(tool, args, *rest, **named), self._mcp
            )
            return refused_result(came.text) if isinstance(came, Stopped) else came

        server.call_tool, server._remit = call_tool, True


async def _wanted(asked: Any, *details: Any) -> bool:
    return bool(await _awaited(asked, *details)) if callable(asked) else bool(asked)


async def _awaited(fn: Callable[..., Any], *args: Any) -> Any:
    came = fn(*args)
    return await came if inspect.isawaitable(came) else came


def _object(given: str) -> dict[str, Any] | None:
    try:
        read = json.loads(given or "{}")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None
