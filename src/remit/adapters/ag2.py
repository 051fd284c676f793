"""AG2 under Remit.

    agent = govern(Agent("notes-bot", config=config, tools=tools), guard)

A middleware of the agent stands around every tool, next to it: what other middleware of the agent
changes is decided on as well.
"""

from __future__ import annotations

import json
from typing import Any

from remit.adapters.declared import AG2
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, Seam, SessionScope, Shape, Stopped

_BaseMiddleware: Any = framework(AG2, "ag2.middleware").BaseMiddleware
_Middleware: Any = framework(AG2, "ag2.middleware").Middleware
_events = framework(AG2, "ag2.events")


class _ResultEvent(Shape):
    def value(self, came: Any) -> Any:
        parts = came.result.parts
        values = [getattr(part, "content", getattr(part, "data", part)) for part in parts]
        return values[0] if len(values) == 1 else values

    def replaced(self, came: Any, shown: Any) -> Any:
        return _events.ToolResultEvent(
            parent_id=came.parent_id,
            name=came.name,
            result=type(came.result).ensure_result(shown),
        )


class ToolGovernance(_BaseMiddleware):  # type: ignore[misc]
    """A middleware for ``Agent(middleware=[Middleware(ToolGovernance, seam=guard.seam()), ...])``.

    Put it first: AG2 runs the first one closest to the tool.
    """

    def __init__(self, event: Any, context: Any, *, seam: Seam) -> None:
        super().__init__(event, context)
        self._seam = seam

    async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
        """Govern one call."""

        async def execute(arguments: dict[str, Any]) -> Any:
            if arguments != event.serialized_arguments:
                event.arguments = json.dumps(arguments)
                event._serialized_arguments = None
            came = await call_next(event, context)
            if isinstance(came, _events.ToolErrorEvent):
                raise _ToolFailed(came)
            return came

        try:
            given = event.serialized_arguments
        except Exception:  # noqa: BLE001 - the model wrote no JSON
            why = f"{event.name} was not run: its arguments are not a JSON object."
            return _events.ToolResultEvent.from_call(event, why)
        try:
            came = await self._seam.around_async(event.name, given, execute, _ResultEvent())
        except _ToolFailed as failed:
            return failed.event
        if isinstance(came, Stopped):
            return _events.ToolResultEvent.from_call(event, came.text)
        return came


class _ToolFailed(Exception):  # noqa: N818 - it carries the framework's event past the seam
    def __init__(self, event: Any) -> None:
        super().__init__(f"{type(event.error).__name__}: {event.error}")
        self.event = event


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent or a list of agents under Remit, in place; agents among their tools too."""
    walk = _Ag2Agents(guard.seam(session))
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _Ag2Agents(Walk):
    def __init__(self, seam: Seam) -> None:
        super().__init__("an Agent or a list of agents")
        self._seam = seam

    def known(self, target: Any) -> bool:
        if not (hasattr(target, "_middleware") and hasattr(target, "tools")):
            agent = getattr(target, "agent", None)
            return (
                agent is not None
                and type(target).__module__.startswith("ag2.")
                and (self.perhaps(agent))
            )
        before = list(target._middleware)
        if not any(getattr(each, "cls", None) is ToolGovernance for each in before):
            target._middleware = [_Middleware(ToolGovernance, seam=self._seam), *before]
        for tool in target.tools:
            self.perhaps(tool)
            self.inside(getattr(getattr(tool, "model", None), "call", None))
        return True
