"""smolagents under Remit.

    agent = govern(agent, guard)

smolagents has no hook before a tool, so the decision is put into the tools themselves: it holds for
tool-calling agents and for tools that a ``CodeAgent``'s code calls.
"""

from __future__ import annotations

from typing import Any

from remit.adapters.declared import SMOLAGENTS
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Stopped
from remit.guard.tripwire import is_tripwired, marked

_smolagents = framework(SMOLAGENTS, "smolagents")


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put an agent, a tool or a list of these under Remit, in place; managed agents too."""
    walk = _Smol(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _Smol(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("an agent, a Tool or a list of these")
        self._seam = guard.seam(session)

    def known(self, target: Any) -> bool:
        if isinstance(target, _smolagents.Tool):
            self._tool(target)
        elif isinstance(getattr(target, "tools", None), dict) and hasattr(target, "managed_agents"):
            for each in (*target.tools.values(), *target.managed_agents.values()):
                self.perhaps(each)
        else:
            return False
        return True

    def _tool(self, tool: Any) -> None:
        # It only hands the answer over; without it no agent could end.
        if isinstance(tool, _smolagents.FinalAnswerTool):
            return
        inner = tool.forward
        if is_tripwired(inner):
            return
        self.inside(inner)

        def forward(*args: Any, **named: Any) -> Any:
            # The code of a CodeAgent passes arguments by position.
            given = {**dict(zip(tool.inputs, args, strict=False)), **named}
            came = self._seam.around(tool.name, given, lambda decided: inner(**decided))
            return came.text if isinstance(came, Stopped) else came

        tool.forward = marked(forward)
