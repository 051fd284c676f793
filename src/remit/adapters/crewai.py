"""CrewAI under Remit.

    crew = govern(crew, guard)

Puts the decision into the tools themselves. CrewAI's hooks lose the reason of a refusal and let
the tool run when they raise; here one of them only sees to it that tools which CrewAI makes itself
(delegation to co-workers, memory, MCP) are governed too, and blocks those that cannot be.
"""

from __future__ import annotations

import logging
import weakref
from typing import Any

from remit.adapters.declared import CREWAI
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, Seam, SessionScope, is_tripwired
from remit.guard.functions import governed

_hooks = framework(CREWAI, "crewai.hooks")
_tools = framework(CREWAI, "crewai.tools.base_tool")
_structured = framework(CREWAI, "crewai.tools.structured_tool")
_log = logging.getLogger("remit.adapters")
# Hooks of CrewAI are there for the whole process: one for each guard is enough.
_hooked: weakref.WeakSet[Any] = weakref.WeakSet()


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put a crew, an agent, a task, a tool or a list of these under Remit, in place.

    From then on, tools that CrewAI makes while it runs in a session of the guard are governed too.
    """
    seam = guard.seam(session)
    walk = _Crew(seam)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    if seam.enforcement not in _hooked:
        _hooked.add(seam.enforcement)
        _hooks.register_before_tool_call_hook(_late(seam))
    return target


def _late(seam: Seam) -> Any:
    def before_tool_call(context: Any) -> bool | None:
        try:
            if not seam.session:
                return None
            return None if _Crew(seam).perhaps(context.tool) else False
        except Exception:  # noqa: BLE001 - what a hook raises is swallowed, and the tool runs
            _log.exception("%s was blocked, because Remit failed", context.tool_name)
            return False

    return before_tool_call


class _Crew(Walk):
    def __init__(self, seam: Seam) -> None:
        super().__init__("a Crew, an Agent, a Task, a tool or a list of these")
        self._seam = seam

    def known(self, target: Any) -> bool:
        if isinstance(target, _structured.CrewStructuredTool):
            self._structured(target)
        elif isinstance(target, _tools.BaseTool):
            self._tool(target)
        elif type(target).__module__.startswith("crewai."):
            for name in ("agents", "tasks", "tools"):
                for each in getattr(target, name, None) or ():
                    self.perhaps(each)
            for name in ("agent", "manager_agent"):
                self.perhaps(getattr(target, name, None))
        else:
            return False
        return True

    def _tool(self, tool: Any) -> None:
        # A cached result would be one that nobody decided on, a cached refusal would stay one.
        tool.cache_function = _never
        if isinstance(tool, _tools.Tool):
            self.inside(tool.func)
            tool.func = governed(self._seam, tool.func, tool.name)
            return
        for method in ("_run", "_arun"):
            wrapped = governed(self._seam, getattr(tool, method), tool.name)
            object.__setattr__(tool, method, wrapped)

    def _structured(self, structured: Any) -> None:
        original = getattr(structured, "_original_tool", None)
        structured.cache_function = _never
        if original is not None:
            self.perhaps(original)
        # The structured form keeps the method that it was made from.
        if not isinstance(original, _tools.Tool) and not is_tripwired(structured.func):
            structured.func = governed(self._seam, structured.func, structured.name)


def _never(*_: Any) -> bool:
    return False
