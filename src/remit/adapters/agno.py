"""Agno under Remit.

    agent = govern(Agent(model=model, tools=tools), guard)

An async tool hook of Agno is skipped when an agent runs blocking, so no hook is used: the decision
is put into the functions of the tools, for both ways of running.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from remit.adapters.declared import AGNO
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope
from remit.guard.functions import governed_by_name

_function = framework(AGNO, "agno.tools.function")
_tools = framework(AGNO, "agno.tools")
_HOSTS = frozenset(
    {"agent", "team", "run_context", "session_state", "dependencies", "fc"}
    | {"images", "videos", "audios", "audio", "files"}
)
"""Parameters that Agno fills in by their names."""


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a team, a toolkit, a tool or a list of these under Remit, in place.

    Functions in a list are wrapped, so use what is returned.
    """
    walk = _Teams(guard, session)
    if isinstance(target, list | tuple):
        return [walk.tool(each) for each in target]
    walk.visit(target)
    return target


class _Teams(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("an Agent, a Team, a Toolkit, a Function or a list of these")
        self._seam = guard.seam(session)

    def known(self, target: Any) -> bool:
        if isinstance(target, _function.Function):
            self._governed(target)
        elif isinstance(target, _tools.Toolkit):
            for each in (*target.functions.values(), *target.async_functions.values()):
                self.perhaps(each)
        elif hasattr(target, "tools") and hasattr(target, "model"):
            if isinstance(target.tools, list):
                target.tools[:] = [self.tool(each) for each in target.tools]
            for each in getattr(target, "members", None) or ():
                self.perhaps(each)
        else:
            return False
        return True

    def tool(self, tool: Any) -> Any:
        """One tool of a list, governed; what the provider runs is a dict, and stays as it is."""
        if isinstance(tool, dict):
            return tool
        if inspect.isroutine(tool):
            return self._wrapped(tool, tool.__name__)
        self.visit(tool)
        return tool

    def _governed(self, function: Any) -> None:
        if function.entrypoint is not None:
            # A cached result would be one that nobody decided on.
            function.cache_results = False
            function.entrypoint = self._wrapped(function.entrypoint, function.name)

    def _wrapped(self, fn: Callable[..., Any], name: str) -> Callable[..., Any]:
        self.inside(fn)
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):

            def refused(**_: Any) -> str:
                return f"{name} was not run: tools that are generators cannot be governed yet."

            return refused
        return governed_by_name(self._seam, fn, name, _HOSTS.__contains__)
