"""Going through an agent and everything that it can reach, each thing once."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any

from remit.errors import ConfigError


class Walk(ABC):
    """One walk over agents, tools and what holds them. Each adapter says what it knows."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._seen: dict[int, Any] = {}

    @abstractmethod
    def known(self, target: Any) -> bool:
        """Govern ``target`` and visit what it holds; False when it is nothing of this framework."""

    def visit(self, target: Any) -> None:
        """Go on with something that has to be governed.

        Raises:
            ConfigError: this adapter does not know what it is.
        """
        if not self.perhaps(target):
            raise ConfigError(
                f"{type(target).__module__}.{type(target).__qualname__} cannot be governed by this "
                f"adapter; give it {self._wanted}"
            )

    def perhaps(self, target: Any) -> bool:
        """Go on with something that may be of this framework; whether it is."""
        if target is None or isinstance(target, type | ModuleType | str | bytes | int | float):
            return False
        if id(target) in self._seen:
            return True
        self._seen[id(target)] = target
        if self.known(target):
            return True
        del self._seen[id(target)]
        return False

    def inside(self, fn: Any) -> None:
        """Go on with the agents that a function has at hand, such as the one that a tool asks.

        They are looked for in what it is bound to, what it encloses, and the globals that it names.
        """
        while isinstance(fn, functools.partial):
            for each in (*fn.args, *fn.keywords.values()):
                self.perhaps(each)
            fn = fn.func
        fn = inspect.unwrap(fn)
        self.perhaps(getattr(fn, "__self__", None))
        plain = getattr(fn, "__func__", fn)
        code = getattr(plain, "__code__", None)
        if code is None:
            return
        for cell in plain.__closure__ or ():
            try:
                self.perhaps(cell.cell_contents)
            except ValueError:  # the cell is empty as yet
                continue
        for name in code.co_names:
            self.perhaps(plain.__globals__.get(name))
