"""A module past 300 lines or a function past 40 hides a noun: find it, or add to the list and say why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import named, python_files

MODULE, FUNCTION = 300, 40
# name -> why it may be longer
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}


def test_no_module_is_longer_than_300_lines() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in _ours()}
    found = {name: length for name, length in lengths.items() if length > MODULE and name not in LONG_MODULES}
    assert not found


def test_no_function_is_longer_than_40_lines() -> None:
    found = {name: length for path in _ours() for name, length in _functions(path) if length > FUNCTION}
    assert not {name: length for name, length in found.items() if name not in LONG_FUNCTIONS}


def _ours() -> list[Path]:
    return [path for path in python_files("deploynaut", "demo", "scripts") if "migrations" not in path.parts]


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{named(path)}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1
