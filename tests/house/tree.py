"""The project's own files, as the house's tests look at them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def project_files() -> list[Path]:
    """Every file that git holds or would take (ignored ones left out), also where there is no git folder."""
    words = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
    found = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def python_files(*below: str) -> list[Path]:
    """The Python files of these folders of the project, `deploynaut` when none is named."""
    folders = [ROOT / name for name in below or ("deploynaut",)]
    return [path for path in project_files() if path.suffix == ".py" and any(path.is_relative_to(f) for f in folders)]


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Every call in a file, with the dotted name of what is called (`subprocess.run`), as far as it is a name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


def dotted(node: ast.expr) -> str:
    """`os.system` for that expression; "" when it is no plain name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def named(path: Path) -> str:
    """The file's name from the project's folder on, for messages."""
    return path.relative_to(ROOT).as_posix()
