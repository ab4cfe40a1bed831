"""Makes `.venv` ready for `./run` and `./test`: standard library only, no root, nothing outside the project.

A lock file that has not changed since the last time is not looked at again: its hash is kept in `.venv`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"


def prepare(lock: str) -> None:
    """Install what the lock file (a name in the project's folder) lists, unless that has been done."""
    with _alone():
        if not _python_works():
            _make_venv()
        # What the tests need holds all that runs (tests/house/test_committed_files.py).
        if not _installed(lock) and not _installed("requirements-dev.txt"):
            _install(ROOT / lock)
            _stamp(lock).write_text(_fingerprint(ROOT / lock))


def _installed(lock: str) -> bool:
    return _stamp(lock).exists() and _stamp(lock).read_text() == _fingerprint(ROOT / lock)


def _stamp(lock: str) -> Path:
    return VENV / f".{lock}.sha256"


def stop(message: str) -> None:
    """Say what is the matter, and leave."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One preparation at a time: ./run and ./test may be started together."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _python_works() -> bool:
    """Whether `.venv` is there, whole, and of this Python's version (a Python upgrade or a moved folder breaks it)."""
    ask = [str(PYTHON), "-c", "import sys, pip; print(sys.prefix, *sys.version_info[:2])"]
    try:
        told = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return False
    return told[1:] == [str(part) for part in sys.version_info[:2]] and Path(told[0]).resolve() == VENV.resolve()


def _make_venv() -> None:
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        stop(
            f"This Python ({sys.executable}) lacks venv or pip, which are needed to install anything.\n"
            "On Debian and Ubuntu: apt install python3-venv\nThen start this command again."
        )
    print("Making .venv …", flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    _do([sys.executable, "-m", "venv", str(VENV)], "make .venv")


def _install(lock: Path) -> None:
    """With uv where it can be had, which takes seconds, else with pip; both check every hash."""
    print(f"Installing {lock.name} …", flush=True)
    if _uv_there() and _try([str(UV), "pip", "install", "--quiet", "--python", str(PYTHON), *_hashed(lock)]):
        return
    _do([*_pip(), *_hashed(lock)], f"install {lock.name}")


def _uv_there() -> bool:
    lock = ROOT / "requirements-uv.txt"
    return _try([*_pip(), "--only-binary", ":all:", *_hashed(lock)])


def _pip() -> list[str]:
    return [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]


def _hashed(lock: Path) -> list[str]:
    return ["--require-hashes", "-r", str(lock)]


def _try(words: list[str]) -> bool:
    return subprocess.run(words, env=_environment(), capture_output=True, check=False).returncode == 0


def _do(words: list[str], purpose: str) -> None:
    done = subprocess.run(words, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        stop(
            f"Could not {purpose}:\n{(done.stderr or done.stdout).strip()}\n\nMend this, then start the command again."
        )


def _environment() -> dict[str, str]:
    return {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}


def _fingerprint(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()
