"""Small pieces of Python syntax trees, for the modules that generate code.

The trees carry no positions; ``ast.fix_missing_locations`` adds them before compilation.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Scalar = bool | int | float | str | None


def name(identifier: str) -> ast.expr:
    """``identifier``, read."""
    return ast.Name(identifier, ast.Load())


def constant(value: Scalar) -> ast.expr:
    """A literal."""
    return ast.Constant(value)


def call(function: ast.expr, *arguments: ast.expr) -> ast.expr:
    """``function(arguments)``."""
    return ast.Call(function, list(arguments), [])


def method(target: ast.expr, called: str, *arguments: ast.expr) -> ast.expr:
    """``target.called(arguments)``."""
    return call(attribute(target, called), *arguments)


def attribute(target: ast.expr, field: str) -> ast.expr:
    """``target.field``."""
    return ast.Attribute(target, field, ast.Load())


def assign(target: str, value: ast.expr) -> ast.expr:
    """``(target := value)``."""
    return ast.NamedExpr(ast.Name(target, ast.Store()), value)


def choose(test: ast.expr, chosen: ast.expr, otherwise: ast.expr) -> ast.expr:
    """``chosen if test else otherwise``."""
    return ast.IfExp(test, chosen, otherwise)


def both(*parts: ast.expr) -> ast.expr:
    """``a and b``."""
    return ast.BoolOp(ast.And(), list(parts))


def either(*parts: ast.expr) -> ast.expr:
    """``a or b``."""
    return ast.BoolOp(ast.Or(), list(parts))


def negate(part: ast.expr) -> ast.expr:
    """``not part``."""
    return ast.UnaryOp(ast.Not(), part)


_COMPARISONS: Mapping[str, Callable[[], ast.cmpop]] = {
    "==": ast.Eq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
    "in": ast.In,
    "is": ast.Is,
    "is not": ast.IsNot,
}


def compare(left: ast.expr, operator: str, right: ast.expr) -> ast.expr:
    """``left operator right`` for a comparison, ``in`` or ``is``."""
    return ast.Compare(left, [_COMPARISONS[operator]()], [right])


def function(parameter: str, body: ast.expr) -> ast.expr:
    """``lambda parameter: body``."""
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(parameter)], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    return ast.Lambda(arguments, body)


def sequence(items: Sequence[ast.expr]) -> ast.expr:
    """``(a, b)``."""
    return ast.Tuple(list(items), ast.Load())


class Bindings:
    """The names that generated code uses: its globals, and its local variables.

    ``namespace`` becomes the globals of the generated function. ``variables`` says what each
    variable of the language is called there (itself, unless named); ``constants`` holds the values
    of ``define:``.
    """

    def __init__(
        self,
        namespace: dict[str, Any] | None = None,
        *,
        constants: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.namespace: dict[str, Any] = {} if namespace is None else namespace
        self.constants: Mapping[str, Any] = constants or {}
        self._variables: Mapping[str, str] = variables or {}
        self._bound: dict[int, str] = {}
        self._count = 0

    def variable(self, word: str) -> ast.expr:
        """The local variable that holds ``args``, ``agent`` and so on."""
        return name(self._variables.get(word, word))

    def fresh(self) -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"_{self._count}"

    def bind(self, value: object) -> ast.expr:
        """A global that holds ``value``; the same object again gets the same name."""
        bound = self._bound.get(id(value))
        if bound is None:
            bound = f"{getattr(value, '__name__', 'constant')}{self.fresh()}"
            self._bound[id(value)] = bound
            self.namespace[bound] = value
        return name(bound)
