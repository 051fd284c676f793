"""Haystack under Remit.

    agent = govern(Agent(chat_generator=..., tools=tools), guard)

The decision is put into the tools themselves, behind the hooks of an agent and the ``ToolInvoker``
of a pipeline.
"""

from __future__ import annotations

from typing import Any

from remit.adapters.declared import HAYSTACK
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope
from remit.guard.functions import governed_by_name

_tools = framework(HAYSTACK, "haystack.tools")


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a pipeline, a tool, a toolset or a list of these under Remit, in place."""
    walk = _Pipelines(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _Pipelines(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("an Agent, a Pipeline, a tool, a Toolset or a list of these")
        self._seam = guard.seam(session)

    def known(self, target: Any) -> bool:
        if isinstance(target, _tools.Tool):
            self._tool(target)
        elif isinstance(target, _tools.Toolset):
            for tool in target:
                self.perhaps(tool)
        elif hasattr(target, "walk") and hasattr(target, "graph"):
            for _, component in target.walk():
                self.perhaps(component)
        elif type(target).__module__.startswith("haystack.") and hasattr(target, "tools"):
            tools = target.tools or ()
            for each in tools if isinstance(tools, list | tuple) else (tools,):
                self.perhaps(each)
        else:
            # A component without tools has nothing to govern.
            return type(target).__module__.startswith("haystack.")
        return True

    def _tool(self, tool: Any) -> None:
        for name in ("_component", "component", "agent", "pipeline"):
            self.perhaps(getattr(tool, name, None))
        asked = tool.parameters.get("properties", {})
        for part in ("function", "async_function"):
            fn = getattr(tool, part)
            if fn is None:
                continue
            self.inside(fn)
            # What the model cannot pass, the agent's state fills in.
            wrapped = governed_by_name(self._seam, fn, tool.name, lambda name: name not in asked)
            setattr(tool, part, wrapped)
