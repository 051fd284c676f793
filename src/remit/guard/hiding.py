"""Keep a governed function out of reach: only an admitted call can be run.

What is left of a wrapped Python function is its code, defaults and closure cells; a callable is
put together for one call and dropped after it, so no attribute, closure or ``__wrapped__`` leads
from the governed function to the original. Callables written in C, and objects with ``__call__``,
cannot be taken apart; those are held as they are.

This guards against frameworks that unwrap, and against code that looks around. It is no sandbox:
whoever runs code of their own choice in this process can also build functions.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from remit.errors import Denied
from remit.model import Admission

_COPIED = ("__module__", "__name__", "__qualname__", "__doc__")


class HiddenFunction:
    """The parts of a callable, put together only against a granted admission."""

    __slots__ = ("_parts", "_receivers", "_whole")

    def __init__(self, fn: Callable[..., Any]) -> None:
        """Take ``fn`` apart as far as it can be."""
        self._receivers: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        while isinstance(fn, functools.partial | types.MethodType):
            if isinstance(fn, functools.partial):
                self._receivers.append((fn.args, fn.keywords))
                fn = fn.func
            else:
                self._receivers.append(((fn.__self__,), {}))
                fn = fn.__func__
        self._parts: tuple[Any, ...] | None = None
        self._whole: Callable[..., Any] | None = None
        if isinstance(fn, types.FunctionType):
            self._parts = (
                fn.__code__,
                fn.__globals__,
                fn.__name__,
                fn.__defaults__,
                fn.__closure__,
                fn.__kwdefaults__,
            )
        else:
            self._whole = fn

    def call(self, admission: Admission, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function for one granted admission and give what it returns.

        Raises:
            Denied: there is no granted admission.
        """
        if type(admission) is not Admission or not admission.granted:
            raise Denied("A governed function runs only through its guard; it was not run.")
        for more, named in self._receivers:
            args = (*more, *args)
            kwargs = {**named, **kwargs}
        if self._whole is not None:
            return self._whole(*args, **kwargs)
        assert self._parts is not None
        code, names, name, defaults, closure, named_defaults = self._parts
        built = types.FunctionType(code, names, name, defaults, closure)
        built.__kwdefaults__ = named_defaults
        return built(*args, **kwargs)


def copy_looks(wrapper: Callable[..., Any], fn: Callable[..., Any], signature: Any) -> None:
    """Give ``wrapper`` the name, documentation and signature of ``fn``, and no way back to it."""
    for name in _COPIED:
        value = getattr(fn, name, None)
        if isinstance(value, str):
            setattr(wrapper, name, value)
    annotations = getattr(fn, "__annotations__", None)
    if isinstance(annotations, dict):
        wrapper.__annotations__ = dict(annotations)
    for name, value in getattr(fn, "__dict__", {}).items():
        if name != "__wrapped__" and not callable(value):
            wrapper.__dict__.setdefault(name, value)
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
