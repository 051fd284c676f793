"""Rules about the code as a whole that no linter knows."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "remit").rglob("*.py"))
UNUSED_WORDS = ("Manager", "Service", "Handler", "Helper", "Util", "Base", "Impl", "Kernel")


def classes() -> list[tuple[str, Path]]:
    return [
        (node.name, path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]


def test_no_class_name_is_defined_twice() -> None:
    places = defaultdict(list)
    for name, path in classes():
        places[name].append(path.relative_to(ROOT).as_posix())
    assert places, "no classes were found: the test looks in the wrong place"
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_class_names_say_what_a_thing_is() -> None:
    assert [name for name, _ in classes() if name.endswith(UNUSED_WORDS)] == []


def test_modules_stay_under_500_lines() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): count
        for path in SOURCES
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


def test_functions_stay_under_60_lines() -> None:
    long = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 60
    ]
    assert long == []


def test_public_names_have_docstrings() -> None:
    missing = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert missing == []
