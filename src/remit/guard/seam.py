"""The seam between Remit and an agent framework: before a tool call, and after it.

    cleared = run(seam.before("delete_note", {"name": "todo"}))      Cleared, or Stopped with a text
    shown = run(seam.after(cleared, what_the_tool_returned))         the value to show, or Stopped

Every adapter is written on these two, or on ``around`` and ``around_async``, which do both. None
of them raises: a refusal, a held call and any fault inside Remit come back as ``Stopped``, whose
text is for the model. So what a framework does with exceptions never decides whether a tool runs.
"""

from __future__ import annotations

import ast
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from remit import canonical
from remit.errors import (
    ApprovalRequired,
    InvalidArgument,
    OutcomeNotRecorded,
    Refused,
    RemitError,
    Withheld,
)
from remit.guard.actions import RunningAction
from remit.guard.authority import Proposed
from remit.guard.calls import shortened
from remit.guard.conversion import is_plain, to_json
from remit.guard.enforcement import Accept, Enforcement
from remit.guard.scope import SessionScope, caller, current
from remit.guard.steps import Flow, run, run_async
from remit.guard.tripwire import Clearance, clearing
from remit.model import NO_SESSION, Action, ApprovalId, SessionId

_log = logging.getLogger("remit.seam")


class Stopped(Struct, frozen=True, kw_only=True):
    """Why a call did not run, or why its result is not shown."""

    text: str
    """What happened, why, and what to do next: for the model."""
    approval: ApprovalId | None = None
    """What a person has to approve, if that is all that stops it."""
    ran: bool = False
    """Whether the tool ran all the same, and only its result is kept back."""

    def __str__(self) -> str:
        return self.text


class Cleared:
    """One call that may run, once, with ``arguments``. Dropped unfinished, it settles itself."""

    __slots__ = ("__weakref__", "action", "arguments", "clearance")

    def __init__(self, action: RunningAction, arguments: dict[str, Any]) -> None:
        self.action = action
        self.arguments = arguments
        """What to run with: what was decided on, as obligations leave it."""
        self.clearance = Clearance(action.tool)

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self.action.tool


class Seam:
    """Where one guard meets one framework. May be shared by threads and event loops."""

    def __init__(self, enforcement: Enforcement, session: SessionScope | None = None) -> None:
        """Join a guard's enforcement.

        Args:
            enforcement: what decides and records.
            session: the session of calls that come from a context without one, as from the
                threads of frameworks that do not carry context variables over.
        """
        self.enforcement = enforcement
        self._session = session

    @property
    def session(self) -> SessionId:
        """The session that calls from here belong to; empty when there is none."""
        scope = current(self.enforcement) or self._session
        return NO_SESSION if scope is None else scope.id

    def before(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        fixed: bool = False,
        accept: Accept | None = None,
    ) -> Flow[Cleared | Stopped]:
        """Ask for one call. Whatever goes wrong is a refusal.

        Args:
            tool: its name, as policy sees it.
            arguments: all of them, by name.
            fixed: whether the call can only run as it is; an obligation to change it refuses it.
            accept: is given the arguments as obligations leave them, where the caller makes the
                call from something else than ``Cleared.arguments``.
        """
        try:
            return (yield from self._admitted(tool, arguments, fixed, accept))
        except ApprovalRequired as held:
            return Stopped(text=str(held), approval=held.approval)
        except (Refused, InvalidArgument) as refusal:
            return Stopped(text=_not_run(tool, refusal))
        except Exception as fault:  # noqa: BLE001 - a fault is a refusal
            _log.exception("%s was refused, because Remit failed", tool)
            return Stopped(text=_not_run(tool, fault))

    def after(self, cleared: Cleared, value: Any) -> Flow[Any]:
        """Record that a call returned ``value``; give what may be shown of it, or ``Stopped``.

        A tool that raised under the framework's eyes counts as failed, whatever became of that.
        """
        error = cleared.clearance.error
        if error is not None:
            return (yield from self.failed(cleared, error)) or value
        try:
            return (yield from cleared.action.returned(value))
        except Exception as fault:  # noqa: BLE001 - a fault is a refusal
            return _kept_back(cleared, fault)

    def failed(self, cleared: Cleared, error: BaseException) -> Flow[Stopped | None]:
        """Record that a call raised ``error``; None when the error may be shown."""
        try:
            yield from cleared.action.failed(error)
        except Exception as fault:  # noqa: BLE001 - a fault is a refusal
            return _kept_back(cleared, fault)
        return None

    def around(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        execute: Callable[[dict[str, Any]], Any],
        shape: Shape | None = None,
        *,
        fixed: bool = False,
    ) -> Any:
        """Decide, run ``execute`` with the arguments to use, and settle.

        Gives what ``execute`` returned, as far as it may be shown, or ``Stopped``. What it raised
        is raised again once it is recorded.
        """
        cleared = run(self.before(tool, arguments, fixed=fixed))
        return cleared if isinstance(cleared, Stopped) else self.finish(cleared, execute, shape)

    def finish(
        self,
        cleared: Cleared,
        execute: Callable[[dict[str, Any]], Any],
        shape: Shape | None = None,
    ) -> Any:
        """Run a call that was decided on before, and settle it; as ``around``.

        Where ``execute`` gives a coroutine, so does this: it settles when that has ended.
        """
        try:
            with clearing(cleared.clearance):
                cleared.action.began = True
                came = execute(cleared.arguments)
        except BaseException as error:
            stopped = run(self.failed(cleared, error))
            if stopped is not None:
                return stopped
            raise
        if inspect.iscoroutine(came):
            return self.finish_async(cleared, lambda _: came, shape)
        return run(self.shaped(cleared, came, shape))

    async def around_async(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        execute: Callable[[dict[str, Any]], Awaitable[Any]],
        shape: Shape | None = None,
        *,
        fixed: bool = False,
    ) -> Any:
        """``around`` for an event loop."""
        cleared = await run_async(self.before(tool, arguments, fixed=fixed))
        if isinstance(cleared, Stopped):
            return cleared
        return await self.finish_async(cleared, execute, shape)

    async def finish_async(
        self,
        cleared: Cleared,
        execute: Callable[[dict[str, Any]], Awaitable[Any]],
        shape: Shape | None = None,
    ) -> Any:
        """``finish`` for an event loop."""
        try:
            with clearing(cleared.clearance):
                cleared.action.began = True
                came = await execute(cleared.arguments)
        except GeneratorExit:
            # Dropped, perhaps by the garbage collector: nothing may be awaited here.
            cleared.action.dropped()
            raise
        except BaseException as error:
            stopped = await run_async(self.failed(cleared, error))
            if stopped is not None:
                return stopped
            raise
        return await run_async(self.shaped(cleared, came, shape))

    def _admitted(
        self, tool: str, arguments: Mapping[str, Any], fixed: bool, also: Accept | None
    ) -> Flow[Cleared]:
        self.enforcement.late.start()
        if not self.session:
            _log.warning(
                "%s is called outside of any session and will be refused: run the agent in "
                "`with guard.session(agent=...)`, or where the framework runs tools in threads "
                "of its own, give the session to govern(..., session=...)",
                tool,
            )
        shown = to_json(dict(arguments), "args")
        running: dict[str, Any] = {}
        proposed = Proposed(
            caller=caller(self.enforcement, otherwise=self._session),
            action=Action(name=tool),
            arguments=shown,
        )

        def accept(decided: Mapping[str, Any]) -> None:
            if fixed and canonical.encode(dict(decided)) != canonical.encode(shown):
                raise InvalidArgument("args", "an obligation changes them, which is not possible")
            running.update(_merged(arguments, shown, decided))
            if also is not None:
                also(decided)

        granted = yield from self.enforcement.admit(proposed, accept)
        return Cleared(RunningAction(self.enforcement, granted), running)

    def shaped(self, cleared: Cleared, came: Any, shape: Shape | None) -> Flow[Any]:
        """``after`` for a result as the framework wraps it."""
        if shape is None:
            return (yield from self.after(cleared, came))
        try:
            value = shape.value(came)
        except Exception:  # noqa: BLE001 - a fault is a refusal
            # Policy judges what it can read; of what it cannot, only results without rules pass.
            _log.exception("the result of %s could not be read", cleared.tool)
            value = came
        shown = yield from self.after(cleared, value)
        if shown is value or isinstance(shown, Stopped):
            return came if shown is value else shown
        try:
            return shape.replaced(came, shown)
        except Exception as fault:  # noqa: BLE001 - a fault is a refusal
            return _kept_back(cleared, fault)


class Shape:
    """How a framework wraps what a tool returned. This one is for results that are not wrapped."""

    def value(self, came: Any) -> Any:
        """The part that policy looks at, as JSON where it can be."""
        return came

    def replaced(self, came: Any, shown: Any) -> Any:
        """``came`` with ``shown`` in place of that part, and nothing left of the original."""
        return shown


class TextShape(Shape):
    """For frameworks that turn what a tool returned into text: JSON in it is read as JSON."""

    def text(self, came: Any) -> Any:
        """The text in a result; anything else is looked at as it is."""
        return came

    def with_text(self, came: Any, text: Any) -> Any:
        """The result with another text in place of its own."""
        return text

    def value(self, came: Any) -> Any:
        """What the text says: an object or a list where it is JSON of one."""
        text = self.text(came)
        return from_text(text) if isinstance(text, str) else text

    def replaced(self, came: Any, shown: Any) -> Any:
        """The result with ``shown`` as its text."""
        was_text = isinstance(self.text(came), str)
        return self.with_text(came, as_text(shown) if was_text else shown)


def as_text(value: Any) -> str:
    """A value as a model reads it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else canonical.encode(value).decode()


def from_text(text: str) -> Any:
    """What a text says: an object or a list where it is JSON or the ``str()`` of one."""
    if text[:1] not in ("{", "[") or len(text) > canonical.MAX_BYTES:
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, dict | list):
            return found
    return text


def _merged(
    given: Mapping[str, Any], shown: Mapping[str, Any], decided: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments to run with: plain ones as they were decided on, other objects as given."""
    merged: dict[str, Any] = {}
    for name, value in decided.items():
        plain = name not in given or is_plain(given[name])
        if not plain and canonical.encode(value) != canonical.encode(shown[name]):
            raise InvalidArgument(f"args.{name}", "an obligation rewrites it, but it is no JSON")
        merged[name] = value if plain else given[name]
    return merged


def _not_run(tool: str, problem: Exception) -> str:
    said = str(problem) if isinstance(problem, RemitError) else shortened(problem)
    if isinstance(problem, Refused):
        return said
    return f"{tool} was not run: Remit could not decide on it ({said}). Do not try again as it is."


def _kept_back(cleared: Cleared, fault: Exception) -> Stopped:
    if isinstance(fault, Withheld):
        return Stopped(text=str(fault), ran=True)
    _log.error("the outcome of %s is not on record", cleared.tool, exc_info=fault)
    if isinstance(fault, OutcomeNotRecorded):
        return Stopped(text=str(fault), ran=True)
    return Stopped(
        text=f"{cleared.tool} HAS RUN, but its result is kept back: Remit failed on it "
        f"({shortened(fault)}). Do not run it again; tell the person you work for.",
        ran=True,
    )
