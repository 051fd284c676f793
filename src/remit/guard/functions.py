"""Functions as tools: for frameworks whose only way in is the function itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from remit.errors import InvalidArgument
from remit.guard.binding import BoundCall, ToolSignature
from remit.guard.seam import Seam, Stopped
from remit.guard.steps import run, run_async
from remit.guard.tripwire import is_tripwired, looking_like


def governed(
    seam: Seam,
    fn: Callable[..., Any],
    tool: str,
    refused: Callable[[Stopped], Any] = str,
) -> Callable[..., Any]:
    """Give ``fn`` as it runs under Remit: it decides, runs and settles by itself.

    Of the same kind and looks. For a refusal it does not raise.

    Args:
        seam: of the guard.
        fn: the function; arguments are bound by name, positional ones and defaults too.
        tool: its name as policy sees it.
        refused: makes of a refusal what the framework takes for a result.

    Raises:
        ConfigError: it has no signature that Python can read.
    """
    if is_tripwired(fn):
        return fn
    signature = ToolSignature(fn, name=tool)
    make = _asynchronous if inspect.iscoroutinefunction(fn) else _blocking
    wrapper = make(seam, fn, signature, refused)
    return looking_like(wrapper, fn, tool)


def governed_by_name(
    seam: Seam,
    fn: Callable[..., Any],
    tool: str,
    hosts: Callable[[str], bool],
) -> Callable[..., Any]:
    """``governed`` for functions that get named arguments only, some of them from the host.

    Args:
        seam: of the guard.
        fn: the function.
        tool: its name as policy sees it.
        hosts: whether an argument is filled in by the framework; policy does not see those.
    """
    if is_tripwired(fn):
        return fn

    def split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        own = {name: value for name, value in given.items() if hosts(name)}
        return own, {name: value for name, value in given.items() if name not in own}

    if inspect.iscoroutinefunction(fn):

        async def asynchronous(**given: Any) -> Any:
            own, asked = split(given)
            came = await seam.around_async(tool, asked, lambda decided: fn(**own, **decided))
            return came.text if isinstance(came, Stopped) else came

        return looking_like(asynchronous, fn, tool)

    def blocking(**given: Any) -> Any:
        own, asked = split(given)
        came = seam.around(tool, asked, lambda decided: fn(**own, **decided))
        if inspect.iscoroutine(came):
            return _later(came, str)
        return came.text if isinstance(came, Stopped) else came

    return looking_like(blocking, fn, tool)


def _blocking(
    seam: Seam, fn: Callable[..., Any], signature: ToolSignature, refused: Callable[[Stopped], Any]
) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = _bound(signature, args, kwargs)
        if isinstance(call, Stopped):
            return refused(call)
        cleared = run(seam.before(signature.name, call.arguments, accept=call.adopt))
        if isinstance(cleared, Stopped):
            return refused(cleared)
        came = seam.finish(cleared, lambda _: fn(*call.args, **call.kwargs))
        if inspect.iscoroutine(came):
            return _later(came, refused)
        return refused(came) if isinstance(came, Stopped) else came

    return wrapper


def _asynchronous(
    seam: Seam, fn: Callable[..., Any], signature: ToolSignature, refused: Callable[[Stopped], Any]
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = _bound(signature, args, kwargs)
        if isinstance(call, Stopped):
            return refused(call)
        cleared = await run_async(seam.before(signature.name, call.arguments, accept=call.adopt))
        if isinstance(cleared, Stopped):
            return refused(cleared)
        return await _later(
            seam.finish_async(cleared, lambda _: fn(*call.args, **call.kwargs)), refused
        )

    return wrapper


async def _later(running: Coroutine[Any, Any, Any], refused: Callable[[Stopped], Any]) -> Any:
    came = await running
    return refused(came) if isinstance(came, Stopped) else came


def _bound(
    signature: ToolSignature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> BoundCall | Stopped:
    try:
        return signature.bind(args, kwargs)
    except InvalidArgument as problem:
        return Stopped(text=f"{signature.name} was not run: {problem}")
