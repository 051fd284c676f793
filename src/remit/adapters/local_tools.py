"""The OpenAI Agents SDK's tools that are no functions: local shell, apply-patch, custom tools."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from remit.guard import Seam, Stopped

_EDITS = ("create_file", "update_file", "delete_file")
_PARTS = ("type", "path", "diff", "move_to")


def wrap_local(tool: Any, seam: Seam) -> bool:
    """Govern a shell, an editor or a custom tool, in place; False when it is none of these."""
    if not type(tool).__module__.startswith("agents."):
        return False
    if hasattr(tool, "executor"):
        _shell(tool, seam)
    elif hasattr(tool, "editor"):
        _editor(tool.editor, seam)
    elif hasattr(tool, "on_invoke_tool"):
        _custom(tool, seam)
    else:
        return False
    tool._remit = True
    return True


def _custom(tool: Any, seam: Seam) -> None:
    inner = tool.on_invoke_tool

    async def invoke(context: Any, given: str) -> Any:
        came = await seam.around_async(
            tool.name, {"input": given}, lambda args: awaited(inner, context, args["input"])
        )
        return came.text if isinstance(came, Stopped) else came

    tool.on_invoke_tool = invoke


def _shell(tool: Any, seam: Seam) -> None:
    inner = tool.executor
    if inner is None:
        return

    async def execute(request: Any) -> Any:
        action = getattr(request.data, "action", request.data)
        commands = getattr(action, "commands", None) or [*action.command]
        arguments = {"commands": list(commands), "timeout_ms": action.timeout_ms}
        return await _fixed(seam, tool.name, arguments, inner, request)

    tool.executor = execute


def _editor(editor: Any, seam: Seam) -> None:
    for name in _EDITS:
        inner = getattr(editor, name)

        async def edit(operation: Any, inner: Any = inner) -> Any:
            arguments = {part: getattr(operation, part, None) for part in _PARTS}
            return await _fixed(seam, "apply_patch", arguments, inner, operation)

        setattr(editor, name, edit)


async def _fixed(
    seam: Seam, tool: str, arguments: dict[str, Any], inner: Callable[..., Any], request: Any
) -> Any:
    came = await seam.around_async(tool, arguments, lambda _: awaited(inner, request), fixed=True)
    return came.text if isinstance(came, Stopped) else came


async def awaited(fn: Callable[..., Any], *args: Any) -> Any:
    """Call a function that may be async."""
    came = fn(*args)
    return await came if inspect.isawaitable(came) else came
