"""Statements of generated Python code; ``python.py`` has the expressions."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from remit.policy import python as py

Body = list[ast.stmt]


def put(variable: str, value: ast.expr) -> ast.stmt:
    """``variable = value``."""
    return ast.Assign([ast.Name(variable, ast.Store())], value)


def mark(variable: str, bits: int) -> ast.stmt:
    """``variable |= bits``."""
    return ast.AugAssign(ast.Name(variable, ast.Store()), ast.BitOr(), py.constant(bits))


def extend(variable: str, item: ast.expr) -> ast.stmt:
    """``variable = (*variable, item)``."""
    return put(variable, py.sequence([ast.Starred(py.name(variable), ast.Load()), item]))


def give(value: ast.expr) -> ast.stmt:
    """``return value``."""
    return ast.Return(value)


def when(test: ast.expr, body: Body) -> ast.stmt:
    """``if test: body``."""
    return ast.If(test, body, [])


def attempt(body: Body, error: str, handler: Body) -> ast.stmt:
    """``try: body`` ``except Exception as error: handler``."""
    caught = ast.ExceptHandler(py.name("Exception"), error, handler)
    return ast.Try(body, [caught], [], [])


def define(name: str, parameters: Sequence[str], body: Body) -> ast.Module:
    """A module that holds ``def name(parameters): body``, ready to compile."""
    arguments = ast.arguments(
        posonlyargs=[],
        args=[ast.arg(parameter) for parameter in parameters],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[],
    )
    function = ast.FunctionDef(name, arguments, body, [])
    return ast.fix_missing_locations(ast.Module([function], []))
