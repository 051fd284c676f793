"""Whether the arguments of a call are what the tool declares, before any rule looks at them.

An argument whose name only looks like another, or that differs from another only in its spelling,
is refused for every tool: a rule would read one of them, and the tool perhaps the other.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from remit import text
from remit.model import Effect, Reason
from remit.policy import python as py
from remit.policy.catalogue import Tool, validator
from remit.policy.python import Bindings

MAX_SPELLINGS = 256
"""Most sets of argument names that are remembered as clean, for one program."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "number": (int, float),
    "bool": (bool,),
    "list": (list, tuple),
    "object": (dict,),
}
_TEXT = (str,)
"""The type of all others, whatever a reader makes of them."""

_SPOKEN = {
    "int": "a whole number",
    "number": "a number",
    "bool": "true or false",
    "list": "a list",
    "object": "an object",
}


class ArgumentFault(Struct, frozen=True):
    """Why a call is refused for its arguments alone."""

    rule: Literal["bad-arguments", "look-alike-name"]
    because: str

    @property
    def reason(self) -> Reason:
        """The built-in reason of the decision."""
        return Reason(
            rule=self.rule,
            effect=Effect.DENY,
            because=self.because,
            instead="Call it with the arguments that the tool declares, spelt as it spells them.",
        )


class Expected:
    """What one tool takes."""

    def __init__(self, tool: Tool) -> None:
        self._arguments: Mapping[str, str] = tool.arguments or {}
        self._is_valid = None if tool.schema is None else validator(tool.schema).is_valid
        self._declared = frozenset(tool.known_arguments or ())
        self.clean: set[tuple[str, ...]] = set()
        """Sets of argument names known to be no look-alikes. Bounded."""

    def tests(self, bindings: Bindings) -> list[ast.expr]:
        """Expressions on ``args`` that all hold when the arguments fit."""
        tests: list[ast.expr] = []
        for name, written in self._arguments.items():
            plain = written.removesuffix("?")
            value = py.method(py.name("args"), "get", py.constant(name))
            kinds = bindings.bind(_TYPES.get(plain, _TEXT))
            test = py.compare(py.call(bindings.bind(type), value), "in", kinds)
            if plain != written:
                test = py.either(py.compare(value, "is", py.constant(None)), test)
            tests.append(test)
        if self._is_valid is not None:
            tests.append(py.call(bindings.bind(self._fits), py.name("args")))
        return tests

    def _fits(self, args: Mapping[str, Any]) -> bool:
        """Whether they fit the JSON Schema; one that it cannot judge does not."""
        try:
            return self._is_valid is None or bool(self._is_valid(dict(args)))
        except ValueError:
            return False

    def refused(self, args: Mapping[str, Any]) -> ArgumentFault | None:
        """Why these arguments are refused, in words; None when they are fine."""
        return self._spelling(tuple(args)) or self._form(args)

    def _spelling(self, names: tuple[str, ...]) -> ArgumentFault | None:
        forms: dict[str, str] = {text.fold(name): name for name in self._declared}
        seen: dict[str, str] = {}
        for name in names:
            form = text.fold(name)
            if name not in self._declared and (text.looks_alike(name) or form in forms):
                meant = forms.get(form, form)
                because = f"The argument {name!a} could be mistaken for {meant!a}."
                return ArgumentFault("look-alike-name", because)
            if form in seen:
                because = f"The arguments {seen[form]!a} and {name!a} read the same."
                return ArgumentFault("look-alike-name", because)
            seen[form] = name
        if len(self.clean) < MAX_SPELLINGS:
            self.clean.add(names)
        return None

    def _form(self, args: Mapping[str, Any]) -> ArgumentFault | None:
        for name, written in self._arguments.items():
            plain = written.removesuffix("?")
            value = args.get(name)
            if value is None and plain != written:
                continue
            if name not in args:
                return ArgumentFault("bad-arguments", f"The argument {name!r} is missing.")
            if type(value) not in _TYPES.get(plain, _TEXT):
                kind = _SPOKEN.get(plain, "text")
                because = f"The argument {name!r} must be {kind}, it is {type(value).__name__}."
                return ArgumentFault("bad-arguments", because)
        if not self._fits(args):
            because = "The arguments do not fit the schema that the policy declares for the tool."
            return ArgumentFault("bad-arguments", because)
        return None
