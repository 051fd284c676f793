"""Semantic Kernel under Remit.

    govern(kernel, guard)        or  agent = govern(ChatCompletionAgent(kernel=kernel, ...), guard)

A filter of the kernel stands around every function that a model chooses to call, innermost: what
other filters change is decided on as well. Functions that the program invokes itself are its own.
"""

from __future__ import annotations

from typing import Any

from remit.adapters.declared import SEMANTIC_KERNEL
from remit.adapters.loading import framework
from remit.adapters.walking import Walk
from remit.guard import Guard, SessionScope, Shape, Stopped
from remit.guard.tripwire import note_error

_filters = framework(SEMANTIC_KERNEL, "semantic_kernel.filters")
_functions = framework(SEMANTIC_KERNEL, "semantic_kernel.functions")


class _FunctionResultShape(Shape):
    def value(self, came: Any) -> Any:
        return came.value if came is not None else None

    def replaced(self, came: Any, shown: Any) -> Any:
        return _functions.FunctionResult(function=came.function, value=shown)


def govern(target: Any, guard: Guard, *, session: SessionScope | None = None) -> Any:
    """Put a kernel, an agent or a list of these under Remit, in place."""
    walk = _Kernels(guard, session)
    for each in target if isinstance(target, list | tuple) else (target,):
        walk.visit(each)
    return target


class _Kernels(Walk):
    def __init__(self, guard: Guard, session: SessionScope | None) -> None:
        super().__init__("a Kernel, an agent or a list of these")
        self._seam = guard.seam(session)
        self._shape = _FunctionResultShape()

    def known(self, target: Any) -> bool:
        if hasattr(target, "add_filter") and hasattr(target, "plugins"):
            self._kernel(target)
        elif hasattr(target, "kernel") and type(target).__module__.startswith("semantic_kernel."):
            self.perhaps(target.kernel)
        else:
            return False
        return True

    def _kernel(self, kernel: Any) -> None:
        kernel.add_filter(_filters.FilterTypes.AUTO_FUNCTION_INVOCATION, self._around)
        kernel.add_filter(_filters.FilterTypes.FUNCTION_INVOCATION, self._watched)
        for plugin in kernel.plugins.values():
            for function in plugin.functions.values():
                # An agent as a plugin is a function that encloses it.
                self.inside(getattr(function, "method", None))

    async def _around(self, context: Any, next: Any) -> None:  # noqa: A002 - the kernel's name
        tool = context.function.fully_qualified_name

        async def execute(arguments: dict[str, Any]) -> Any:
            for name, value in arguments.items():
                context.arguments[name] = value
            await next(context)
            return context.function_result

        given = dict(context.arguments or {})
        came = await self._seam.around_async(tool, given, execute, self._shape)
        if isinstance(came, Stopped):
            came = _functions.FunctionResult(function=context.function.metadata, value=came.text)
        context.function_result = came

    async def _watched(self, context: Any, next: Any) -> None:  # noqa: A002 - the kernel's name
        """See what a function raises before the kernel makes a result of it."""
        try:
            await next(context)
        except Exception as error:
            note_error(context.function.fully_qualified_name, error)
            raise
