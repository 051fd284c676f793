"""PydanticAI under Remit.

    agent = govern(agent, guard)
    agent = Agent(model, toolsets=[...], capabilities=[..., RemitCapability(guard)])

One capability stands around every tool of every toolset (functions, MCP servers, other agents as
tools) and around output functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remit.adapters.declared import PYDANTIC_AI
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Stopped, tripwired

_AbstractCapability: Any = framework(PYDANTIC_AI, "pydantic_ai.capabilities").AbstractCapability
_CombinedCapability: Any = framework(PYDANTIC_AI, "pydantic_ai.capabilities").CombinedCapability
_ai = framework(PYDANTIC_AI, "pydantic_ai")
_exceptions = framework(PYDANTIC_AI, "pydantic_ai.exceptions")


class RemitCapability(_AbstractCapability):  # type: ignore[misc]
    """A capability for ``Agent(capabilities=[...])``: put it last, closest to the tools."""

    def __init__(self, guard: Guard, *, session: SessionScope | None = None) -> None:
        self._seam = guard.seam(session)

    async def wrap_tool_execute(
        self, ctx: Any, *, call: Any, tool_def: Any, args: Mapping[str, Any], handler: Any
    ) -> Any:
        """Govern one call of a tool."""
        came = await self._seam.around_async(call.tool_name, args, handler)
        if not isinstance(came, Stopped):
            return came
        if came.approval is not None and _can_wait(ctx):
            held = {"approval": came.approval, "tool": call.tool_name, "why": came.text}
            raise _exceptions.ApprovalRequired(metadata=held)
        return came.text

    async def wrap_output_process(
        self, ctx: Any, *, output_context: Any, output: Any, handler: Any
    ) -> Any:
        """Govern an output function: it acts like a tool, and the model calls it like one.

        Raises:
            ModelRetry: it may not run; the model reads why.
        """
        if not output_context.has_function or ctx.partial_output:
            return await handler(output)
        tool = output_context.function_name or getattr(output_context.tool_call, "tool_name", "")
        only = None if isinstance(output, dict) else _only_argument(output_context)
        came = await self._seam.around_async(
            tool or "final_result",
            output if only is None else {only: output},
            lambda args: handler(args if only is None else args[only]),
        )
        if isinstance(came, Stopped):
            raise _ai.ModelRetry(came.text)
        return came


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent under Remit, in place; or a list of functions under the tripwire.

    The functions refuse to run where nobody decided: give them to agents with ``RemitCapability``.
    """
    if isinstance(target, list | tuple):
        return [tripwired(tool, tool.__name__) for tool in target]
    _AiAgents(RemitCapability(guard, session=session)).visit(target)
    return target


class _AiAgents(Walk):
    def __init__(self, capability: RemitCapability) -> None:
        super().__init__("an Agent or a list of functions")
        self._capability = capability

    def known(self, target: Any) -> bool:
        if isinstance(target, _ai.Agent):
            self._agent(target)
        elif isinstance(target, _ai.AbstractToolset):
            self.perhaps(getattr(target, "wrapped", None))
            for each in getattr(target, "toolsets", ()):
                self.perhaps(each)
            tools = getattr(target, "tools", {})
            for tool in tools.values() if isinstance(tools, dict) else ():
                self._tool(tool)
        else:
            return False
        return True

    def _agent(self, agent: Any) -> None:
        before = agent._root_capability.capabilities
        if not any(isinstance(each, RemitCapability) for each in before):
            agent._root_capability = _CombinedCapability([*before, self._capability])
        for toolset in agent.toolsets:
            self.perhaps(toolset)

    def _tool(self, tool: Any) -> None:
        schema = tool.function_schema
        self.inside(schema.function)
        # Toolsets may call it something else (a prefix), and that is what is decided on.
        schema.function = tripwired(schema.function, "")


def _only_argument(output_context: Any) -> str:
    """What a function with one parameter calls it: its value comes without the name."""
    schema = getattr(output_context.tool_def, "parameters_json_schema", None) or {}
    named = list(schema.get("properties") or ())
    return named[0] if len(named) == 1 else "output"


def _can_wait(ctx: Any) -> bool:
    """Whether the run may end with calls that wait: its agent has ``DeferredToolRequests``."""
    wanted = getattr(ctx.agent, "output_type", None)
    several = wanted if isinstance(wanted, list | tuple) else (wanted,)
    return _ai.DeferredToolRequests in several
