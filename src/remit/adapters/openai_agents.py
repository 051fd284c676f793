"""The OpenAI Agents SDK under Remit.

    agent = govern(agent, guard)

Goes through the agent's tools, MCP servers, handoffs and agents used as tools, and wraps what runs
them. They are changed in place, so another agent that is given the same tools is governed as well.
"""

from __future__ import annotations

import json
from typing import Any

from remit.adapters.ahead import Ahead, key_of
from remit.adapters.declared import OPENAI_AGENTS
from remit.adapters.loading import framework
from remit.adapters.local_tools import awaited, wrap_local
from remit.adapters.mcp_results import McpShape, refused_result
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Stopped, tripwired
from remit.guard.steps import run_async

_agents = framework(OPENAI_AGENTS, "agents")


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a tool, an MCP server or a list of these under Remit, in place."""
    walk = _SdkAgents(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _SdkAgents(Walk):
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
        elif wrap_local(target, self._seam):
            return True
        elif hasattr(target, "call_tool") and hasattr(target, "list_tools"):
            self._server(target)
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
            key = key_of(self._seam.session, call, tool.name, arguments)
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
            call = getattr(context, "tool_call_id", "")
            key = key_of(self._seam.session, call, tool.name, arguments)
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

    def _server(self, server: Any) -> None:
        inner = server.call_tool

        async def call_tool(tool: str, arguments: Any = None, *rest: Any, **named: Any) -> Any:
            came = await self._seam.around_async(
                tool, arguments or {}, lambda args: inner(tool, args, *rest, **named), self._mcp
            )
            return refused_result(came.text) if isinstance(came, Stopped) else came

        server.call_tool, server._remit = call_tool, True


async def _wanted(asked: Any, *details: Any) -> bool:
    return bool(await awaited(asked, *details)) if callable(asked) else bool(asked)


def _object(given: str) -> dict[str, Any] | None:
    try:
        read = json.loads(given or "{}")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None
