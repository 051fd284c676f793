"""Strands Agents under Remit.

    agent = govern(agent, guard)

Puts the decision into the tools themselves, after all hooks, interventions and middleware: what
those change is decided on as well. A hook sees to it that tools which come later are governed too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from remit.adapters.declared import STRANDS
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Cleared, Guard, SessionScope, Stopped, TextShape
from remit.guard.steps import run_async
from remit.guard.tripwire import is_tripwired, marked

_hooks = framework(STRANDS, "strands.hooks")
_events = framework(STRANDS, "strands.types._events")
_interrupt = framework(STRANDS, "strands.interrupt")


class _ToolResultShape(TextShape):
    """``{"content": [{"text": ...}]}`` or ``[{"json": ...}]``, mostly with one part."""

    def text(self, came: Any) -> Any:
        content = came["content"]
        if len(content) != 1:
            return content
        return content[0].get("text", content[0].get("json", content))

    def with_text(self, came: Any, text: Any) -> Any:
        part = {"text": text} if isinstance(text, str) else {"json": text}
        return {**came, "content": [part]}


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a graph or swarm of agents, a tool or a list of these under Remit, in place."""
    walk = _StrandsAgents(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _StrandsAgents(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("an Agent, a multi-agent graph or swarm, a tool or a list of these")
        self._seam = guard.seam(session)
        self._shape = _ToolResultShape()

    def known(self, target: Any) -> bool:
        if hasattr(target, "tool_registry") and hasattr(target, "hooks"):
            for tool in target.tool_registry.registry.values():
                self.perhaps(tool)
            target.hooks.add_callback(_hooks.BeforeToolCallEvent, self._late)
        elif hasattr(target, "tool_spec") and hasattr(target, "stream"):
            self._tool(target)
        elif isinstance(getattr(target, "nodes", None), dict):
            for node in target.nodes.values():
                self.perhaps(getattr(node, "executor", None))
        else:
            return False
        return True

    def _late(self, event: Any) -> None:
        """A tool that joined the agent since."""
        self.perhaps(event.selected_tool)

    def _tool(self, tool: Any) -> None:
        self.perhaps(getattr(tool, "_agent", None))
        self.inside(getattr(tool, "_tool_func", None))
        inner = tool.stream
        if is_tripwired(inner):
            return

        async def stream(tool_use: Any, invocation_state: Any, **more: Any) -> Any:
            decided = await run_async(self._seam.before(tool.tool_name, tool_use["input"]))
            if isinstance(decided, Stopped):
                yield _refusal(tool_use, decided)
                return
            given = {**tool_use, "input": decided.arguments}
            async for event in self._settling(decided, inner(given, invocation_state, **more)):
                yield event

        tool.stream = marked(stream)

    async def _settling(self, cleared: Cleared, events: Any) -> AsyncGenerator[Any, None]:
        """Pass events on; the result last, as far as it may be shown.

        Where policy looks at the result, what streams before it is left out.
        """
        holds, last = cleared.action.granted.looks_at_result, None
        cleared.action.began = True
        try:
            async for event in events:
                if isinstance(event, _events.ToolResultEvent):
                    last = event
                elif not holds or isinstance(event, _events.ToolInterruptEvent):
                    yield event
        except GeneratorExit:
            cleared.action.dropped()
            raise
        except BaseException as error:
            await run_async(self._seam.failed(cleared, error))
            raise
        if last is None:
            await run_async(self._seam.failed(cleared, RuntimeError("it paused before its end")))
        else:
            yield await self._shown(cleared, last)

    async def _shown(self, cleared: Cleared, event: Any) -> Any:
        result = event.tool_result
        if event.exception is not None:
            stopped = await run_async(self._seam.failed(cleared, event.exception))
            return event if stopped is None else _result(result["toolUseId"], stopped)
        shown = await run_async(self._seam.shaped(cleared, result, self._shape))
        if isinstance(shown, Stopped):
            return _result(result["toolUseId"], shown)
        return event if shown is result else _events.ToolResultEvent(shown)


def _refusal(tool_use: Any, stopped: Stopped) -> Any:
    """A held call interrupts the agent; any other refusal is the result of the call."""
    call = tool_use["toolUseId"]
    if stopped.approval is None:
        return _result(call, stopped)
    why = {"approval": stopped.approval, "tool": tool_use["name"], "why": stopped.text}
    # A call that is asked for again after it was resumed may have to wait once more.
    held = _interrupt.Interrupt(id=f"remit:{call}", name="remit", reason=why)
    return _events.ToolInterruptEvent(tool_use, [held])


def _result(call: str, stopped: Stopped) -> Any:
    content = [{"text": stopped.text}]
    return _events.ToolResultEvent({"toolUseId": call, "status": "error", "content": content})
