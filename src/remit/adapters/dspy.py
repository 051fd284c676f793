"""DSPy under Remit.

    program = govern(dspy.ReAct("question -> answer", tools=tools), guard)

What a callback of DSPy raises is swallowed, so none is used: the decision is put into the tools
themselves.
"""

from __future__ import annotations

from typing import Any

from remit.adapters.declared import DSPY
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope
from remit.guard.functions import governed

_dspy = framework(DSPY, "dspy")


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put a program, a ``dspy.Tool`` or a list of these under Remit, in place."""
    walk = _Programs(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _Programs(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("a dspy.Module, a dspy.Tool or a list of these")
        self._seam = guard.seam(session)

    def known(self, target: Any) -> bool:
        if isinstance(target, _dspy.Tool):
            self._tool(target)
        elif isinstance(target, _dspy.Module):
            for _, module in target.named_sub_modules():
                tools = getattr(module, "tools", None) or ()
                for tool in tools.values() if isinstance(tools, dict) else tools:
                    self.perhaps(tool)
                self.perhaps(module if module is not target else None)
        else:
            return False
        return True

    def _tool(self, tool: Any) -> None:
        # ReAct's own tool by which the model says that it is done.
        if tool.name == "finish" and type(tool.func).__name__ == "function" and not tool.args:
            return
        self.inside(tool.func)
        tool.func = governed(self._seam, tool.func, tool.name)
