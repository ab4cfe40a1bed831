"""The tools that read all of the code: ruff, its formatter, mypy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.tree import ROOT


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("ruff", "check", "--quiet", "."), id="ruff"),
        pytest.param(("ruff", "format", "--check", "--quiet", "."), id="ruff format"),
        pytest.param(("mypy", "deploynaut", "tests", "demo", "scripts"), id="mypy", marks=pytest.mark.timeout(600)),
    ],
)
def test_the_tool_finds_nothing(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
