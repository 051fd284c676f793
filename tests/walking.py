"""Looks for a way round the guard: every callable that a governed function leads to, called."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

ARGUMENTS: tuple[tuple[Any, ...], ...] = ((), ("x",), (("x",), {}), (None, ("x",), {}))
_LIMIT = 20_000


def reachable(start: object) -> Iterator[Callable[..., Any]]:
    """Every callable that attributes, items, closures and bound objects lead to.

    Module globals are left out: there, everything in the process can be found.
    """
    left, seen = [start], {id(start)}
    kept: list[object] = []  # so that ids stay taken
    while left and len(seen) < _LIMIT:
        found = left.pop()
        kept.append(found)
        if callable(found):
            yield found
        for part in _parts(found):
            if id(part) not in seen:
                seen.add(id(part))
                left.append(part)


def _parts(found: object) -> Iterator[object]:
    if isinstance(found, types.ModuleType | str | bytes | int | float | types.FrameType):
        return
    if isinstance(found, dict) and "__builtins__" in found:
        return
    if isinstance(found, dict):
        yield from list(found.values())
    elif isinstance(found, list | tuple | set | frozenset):
        yield from list(found)
    names = {"__wrapped__", "__closure__", "__self__", "__func__", "__dict__", "__call__"}
    names |= {"cell_contents"}
    if not isinstance(found, type):
        names |= {name for name in dir(type(found)) if not name.startswith("__")}
        names |= set(getattr(found, "__dict__", {}))
    for name in sorted(names - {"__globals__"}):
        try:
            yield getattr(found, name)
        except Exception:
            continue


def runs_when_called(start: object, ran: list[str]) -> bool:
    """Whether calling anything that ``start`` leads to adds to ``ran``."""
    for found in list(reachable(start)):
        if _is_foreign(found):
            continue
        for arguments in ARGUMENTS:
            try:
                inspect.signature(found).bind(*arguments)
                found(*arguments)
            except BaseException:
                continue
    return bool(ran)


def _is_foreign(found: Callable[..., Any]) -> bool:
    """Classes, the standard library, and what would take the guard's store away."""
    module = getattr(found, "__module__", None) or "builtins"
    ours = module.startswith(("remit", "test_"))
    name = getattr(found, "__name__", "")
    return isinstance(found, type) or not ours or "close" in name or "storage" in module
