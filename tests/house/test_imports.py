"""The import contracts hold, and each of them notices when it is broken (tried on a copy of the tree)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

# contract -> (file, line added to it): a break that this very contract must name
BREAKS = {
    "a book that asks a door": ("deploynaut/runs/apps.py", "import deploynaut.web.urls", "The house"),
    "a lower book that asks a higher one": (
        "deploynaut/accounts/apps.py",
        "import deploynaut.instances.apps",
        "The house",
    ),
    "the engine asks a book": ("deploynaut/engine/shell.py", "import deploynaut.runs.apps", "The house"),
    "the web asks the command line": ("deploynaut/web/urls.py", "import deploynaut.cli.apps", "The house"),
    "a room without a floor": ("deploynaut/attic.py", "", "The house"),
    "the shell asks the vault": ("deploynaut/engine/shell.py", "import deploynaut.engine.vault", "The engine: steps"),
    "the pipeline asks the shell": (
        "deploynaut/engine/pipeline/spec.py",
        "import deploynaut.engine.shell",
        "The engine: steps",
    ),
    "an engine's room without a floor": ("deploynaut/engine/attic.py", "", "The engine: steps"),
    "Django in the engine": ("deploynaut/engine/shell.py", "import django.conf", "The engine knows nothing of Django"),
    "the queue's library in the engine": (
        "deploynaut/engine/shell.py",
        "import dbos",
        "The engine knows nothing of Django",
    ),
    "a socket in the pipeline": ("deploynaut/engine/pipeline/spec.py", "import socket", "The pipeline decides"),
    "a clock in the pipeline": ("deploynaut/engine/pipeline/state.py", "import time", "The pipeline decides"),
    "a process in the pipeline": ("deploynaut/engine/pipeline/spec.py", "import subprocess", "The pipeline decides"),
    "a book that asks the queue's library": ("deploynaut/runs/apps.py", "import dbos", "The queue's own library"),
}


def lint(root: Path) -> tuple[int, str]:
    """Exit status and words of import-linter in a tree."""
    words = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(
        words, cwd=root, capture_output=True, text=True, env={"PYTHONPATH": str(root), "COLUMNS": "200"}
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__", "static", "templates")
    shutil.copytree(ROOT / "deploynaut", tmp_path / "deploynaut", ignore=ignored)
    return tmp_path


def test_every_import_keeps_its_contract() -> None:
    status, words = lint(ROOT)
    assert status == 0, words


@pytest.mark.parametrize(("file", "line", "contract"), BREAKS.values(), ids=BREAKS)
def test_a_break_is_noticed(tree: Path, file: str, line: str, contract: str) -> None:
    with (tree / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    status, words = lint(tree)
    assert status != 0
    broken = [told for told in words.splitlines() if "BROKEN" in told or "Missing layer" in told or "container" in told]
    assert any(contract in told for told in broken) or "attic" in words, words
