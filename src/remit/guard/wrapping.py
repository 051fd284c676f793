"""Governed functions: wrappers that ask before they run and report afterwards.

One wrapper for each kind of Python function: plain, ``async def``, generator and async generator.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, TypeAlias

from remit.errors import Withheld
from remit.guard.actions import RunningAction
from remit.guard.authority import Proposed
from remit.guard.binding import BoundCall, ToolSignature
from remit.guard.enforcement import Enforcement
from remit.guard.hiding import HiddenFunction, copy_looks
from remit.guard.scope import caller
from remit.guard.steps import Flow, run, run_async
from remit.model import Action

MAX_ITEMS = 10_000
"""Most items of a generator that are kept for its record, or held back until they were decided."""

Begun: TypeAlias = tuple[RunningAction, Any]
"""An admitted action, and what its function returned when it was started."""


class GovernedTool:
    """One function under governance: its signature, its hidden body, and what enforces policy."""

    __slots__ = ("_action", "_hidden", "_signature", "enforcement", "name")

    def __init__(
        self, enforcement: Enforcement, signature: ToolSignature, fn: Callable[..., Any]
    ) -> None:
        self.enforcement = enforcement
        self.name = signature.name
        self._signature = signature
        self._hidden = HiddenFunction(fn)
        self._action = Action(name=signature.name, schema=signature.schema)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BoundCall:
        """Bind one call's arguments.

        Raises:
            InvalidArgument: they cannot be put before policy.
        """
        return self._signature.bind(args, kwargs)

    def admit(self, call: BoundCall) -> Flow[RunningAction]:
        """Ask for one call.

        Raises:
            Refused: it may not run.
        """
        proposed = Proposed(
            caller=caller(self.enforcement), action=self._action, arguments=call.arguments
        )
        granted = yield from self.enforcement.admit(proposed, call.adopt)
        return RunningAction(self.enforcement, granted)

    def start(self, action: RunningAction, call: BoundCall) -> Any:
        """Run the function, or begin to: what an async or generator function returns."""
        action.began = True
        return self._hidden.call(action.granted.admission, call.args, call.kwargs)

    def begin(self, *args: Any, **kwargs: Any) -> Begun:
        """Bind, ask and start, blocking."""
        self.enforcement.late.start()
        call = self.bind(args, kwargs)
        action: RunningAction = self.run(self.admit(call))
        return action, self.start(action, call)

    async def begin_async(self, *args: Any, **kwargs: Any) -> Begun:
        """Bind, ask and start, in an event loop."""
        self.enforcement.late.start()
        call = self.bind(args, kwargs)
        action: RunningAction = await self.run_async(self.admit(call))
        return action, self.start(action, call)

    def run(self, flow: Flow[Any]) -> Any:
        """Carry out a flow, blocking."""
        return run(flow)

    async def run_async(self, flow: Flow[Any]) -> Any:
        """Carry out a flow in an event loop."""
        return await run_async(flow)

    def holds_items(self, action: RunningAction) -> bool:
        """Whether the items of a generator are held back until its whole result was decided on.

        So it is when policy looks at this tool's result, or when the result puts labels on the
        session: an item handed out before that would be used by a session without them.
        """
        return action.granted.looks_at_result


def govern(tool: GovernedTool, fn: Callable[..., Any], signature: inspect.Signature) -> Any:
    """Give the wrapper for ``fn``, of the same kind and with the same looks."""
    wrapper = _wrapper(tool, fn)
    copy_looks(wrapper, fn, signature)
    return wrapper


def _wrapper(tool: GovernedTool, fn: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(fn):
        return _async_generator(tool, tool.begin_async)
    if inspect.isgeneratorfunction(fn):
        return _generator(tool, tool.begin)
    if inspect.iscoroutinefunction(fn):
        return _async_function(tool)
    return _function(tool)


def _function(tool: GovernedTool) -> Callable[..., Any]:
    def governed(*args: Any, **kwargs: Any) -> Any:
        call = tool.bind(args, kwargs)
        action: RunningAction = tool.run(tool.admit(call))
        try:
            value = tool.start(action, call)
        except BaseException as error:
            tool.run(action.failed(error))
            raise
        return _handed_out(tool, action, value)

    return governed


def _handed_out(tool: GovernedTool, action: RunningAction, value: Any) -> Any:
    """The result of a plain function; one that is yet to run is governed until it has."""
    begun: Begun = (action, value)
    if inspect.iscoroutine(value) or asyncio.isfuture(value):
        tool.enforcement.late.start()
        return _awaited(tool, action, value)
    if inspect.isgenerator(value):
        tool.enforcement.late.start()
        return _generator(tool, lambda: begun)()
    if inspect.isasyncgen(value):
        tool.enforcement.late.start()
        return _async_generator(tool, _ready(begun))()
    return tool.run(action.returned(value))


def _ready(begun: Begun) -> Callable[[], Awaitable[Begun]]:
    async def begin() -> Begun:
        return begun

    return begin


def _async_function(tool: GovernedTool) -> Callable[..., Any]:
    async def governed(*args: Any, **kwargs: Any) -> Any:
        action, running = await tool.begin_async(*args, **kwargs)
        return await _awaited(tool, action, running)

    return governed


async def _awaited(tool: GovernedTool, action: RunningAction, running: Any) -> Any:
    try:
        value = await running
    except GeneratorExit:
        # Dropped before it ended, perhaps by the garbage collector: nothing may be awaited here.
        action.dropped()
        raise
    except BaseException as error:
        await tool.run_async(action.failed(error))
        raise
    return await tool.run_async(action.returned(value))


def _generator(tool: GovernedTool, begin: Callable[..., Begun]) -> Callable[..., Any]:
    def governed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        action, items = begin(*args, **kwargs)
        seen = _Items(tool, holds=tool.holds_items(action))
        try:
            value = yield from _passed_on(items, seen)
        except GeneratorExit:
            # Closed, perhaps by the garbage collector: nothing may wait for a lock here.
            action.dropped()
            raise
        except BaseException as error:
            tool.run(action.failed(error))
            raise
        shown = tool.run(action.returned(seen.items))
        if seen.holds:
            yield from shown
        return value

    return governed


def _passed_on(items: Generator[Any, Any, Any], seen: _Items) -> Generator[Any, Any, Any]:
    """``yield from`` (PEP 380), with a look at each item; held items are not yielded."""
    try:
        item = next(items)
        while True:
            seen.add(item)
            try:
                sent = None if seen.holds else (yield item)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - PEP 380
                item = items.throw(error)
            else:
                item = items.send(sent)
    except StopIteration as stop:
        return stop.value
    finally:
        items.close()


def _async_generator(
    tool: GovernedTool, begin: Callable[..., Awaitable[Begun]]
) -> Callable[..., Any]:
    async def governed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        action, items = await begin(*args, **kwargs)
        seen = _Items(tool, holds=tool.holds_items(action))
        following = items.asend(None)
        try:
            while True:
                item = await following
                seen.add(item)
                try:
                    sent = None if seen.holds else (yield item)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - PEP 380
                    following = items.athrow(error)
                else:
                    following = items.asend(sent)
        except StopAsyncIteration:
            pass
        except BaseException as error:
            await _closed(tool, action, items, error)
            raise
        shown = await tool.run_async(action.returned(seen.items))
        if seen.holds:
            for item in shown:
                yield item

    return governed


async def _closed(
    tool: GovernedTool, action: RunningAction, items: AsyncGenerator[Any, Any], error: BaseException
) -> None:
    try:
        await items.aclose()
    finally:
        await tool.run_async(action.failed(error))


class _Items:
    """The items that a generator gave: all of them when they are held, else the first ones."""

    __slots__ = ("_name", "holds", "items")

    def __init__(self, tool: GovernedTool, *, holds: bool) -> None:
        self._name = tool.name
        self.holds = holds
        self.items: list[Any] = []

    def add(self, item: Any) -> None:
        if len(self.items) < MAX_ITEMS:
            self.items.append(item)
        elif self.holds:
            raise Withheld(
                f"{self._name} gave more than {MAX_ITEMS:,} items. Policy decides on its result "
                "before any of it is shown, so it was stopped and nothing is shown; ask for fewer."
            )
