"""The tripwire: a tool under it runs only inside a call that was decided on.

An adapter decides where its framework hands it a call. A framework may have another way to a tool
(an agent made later, a retry, a batch), so the tool itself is wrapped as well: reached without a
decision for exactly this tool, or a second time for one decision, it refuses.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from remit import text
from remit.errors import Denied
from remit.guard.hiding import copy_looks

_clearance: contextvars.ContextVar[Clearance | None] = contextvars.ContextVar(
    "remit_clearance", default=None
)


class Clearance:
    """Leave for one run of one tool."""

    __slots__ = ("error", "tool", "used")

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.used: set[str] = set()
        """The ways of a tool that have passed: each of them may once, the first of them first."""
        self.error: BaseException | None = None
        """What the tool raised, also where the framework made a message of it."""


@contextmanager
def clearing(clearance: Clearance) -> Iterator[None]:
    """Let one tool pass its tripwire in this block."""
    token = _clearance.set(clearance)
    try:
        yield
    finally:
        _clearance.reset(token)


def note_error(tool: str, error: BaseException) -> None:
    """Say that the call of ``tool`` that was decided on here has failed.

    For frameworks that make a message of what a tool raised, which a tool could also return.
    """
    clearance = _clearance.get()
    if clearance is not None and clearance.tool == tool:
        clearance.error = error


def tripwired(
    fn: Callable[..., Any], tool: str, *, way: str = "", through: str = ""
) -> Callable[..., Any]:
    """Give ``fn`` as it runs under a decision for ``tool`` only; of the same kind and looks.

    Args:
        fn: what runs the tool.
        tool: its name; empty where frameworks give it other names, for whatever was decided on.
        way: which of a tool's ways ``fn`` is, where it has several.
        through: another way that may lead to this one, as an async method to the blocking one.
    """
    if is_tripwired(fn):
        return fn
    made = _asynchronous if _is_async(fn) else _blocking
    wrapper = made(fn, lambda: _pass(tool, way, through))
    return looking_like(wrapper, fn, tool)


def marked(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that decides before it runs what it wraps, so that nobody wraps it again."""
    wrapper.__remit_tripwire__ = True  # type: ignore[attr-defined]
    return wrapper


def looking_like(
    wrapper: Callable[..., Any], fn: Callable[..., Any], tool: str
) -> Callable[..., Any]:
    """Give ``wrapper``, marked, with the name, documentation and types of ``fn``.

    Frameworks read those off a function; types that are text would not resolve from here.
    """
    try:
        copy_looks(wrapper, fn, inspect.signature(fn, eval_str=True))
        wrapper.__annotations__ = inspect.get_annotations(fn, eval_str=True)
    except Exception:  # noqa: BLE001 - a type that only a checker knows, or no signature at all
        copy_looks(wrapper, fn, inspect.signature(fn) if callable(fn) else None)
    if not getattr(fn, "__name__", None):
        wrapper.__name__ = tool
    return marked(wrapper)


def is_tripwired(fn: Any) -> bool:
    """Whether ``fn`` is under a tripwire already."""
    return getattr(fn, "__remit_tripwire__", False) is True


def _blocking(fn: Callable[..., Any], passed: Callable[[], Clearance]) -> Callable[..., Any]:
    def wired(*args: Any, **kwargs: Any) -> Any:
        clearance = passed()
        try:
            return fn(*args, **kwargs)
        except BaseException as error:
            clearance.error = error
            raise

    return wired


def _asynchronous(fn: Callable[..., Any], passed: Callable[[], Clearance]) -> Callable[..., Any]:
    async def wired(*args: Any, **kwargs: Any) -> Any:
        clearance = passed()
        try:
            return await fn(*args, **kwargs)
        except BaseException as error:
            clearance.error = error
            raise

    return wired


def _pass(tool: str, way: str, through: str) -> Clearance:
    clearance = _clearance.get()
    if (
        clearance is None
        or way in clearance.used
        or not clearance.used <= {through}
        or text.name(clearance.tool) != text.name(tool or clearance.tool)
    ):
        raise Denied(
            f"{tool or 'A tool'} was not run: it was reached without a decision. Something calls "
            "it around its adapter, such as an agent that was made later: put that agent under "
            "Remit as well (docs/adapters)."
        )
    clearance.used.add(way)
    return clearance


def _is_async(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004 - what it does, not whether it can be called
    )
