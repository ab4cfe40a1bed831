"""Locks and work directories of the package store, and what a killed process leaves of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_ASK_SECONDS = 0.2


@contextlib.contextmanager
def locked(
    path: Path, *, guard: Callable[[], None], waiting: Callable[[], None] = lambda: None, shared: bool = False
) -> Iterator[None]:
    """Wait to hold the lock file, alone or `shared`; `guard` is asked meanwhile, `waiting` told once."""
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _take(handle, how):
            waiting()
            while not _take(handle, how):
                guard()
                threading.Event().wait(_ASK_SECONDS)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def work_directory(parent: Path) -> Iterator[Path]:
    """A new directory below `parent`, gone after the block; locked meanwhile, so that `sweep` leaves it alone."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(parent / ".lock", guard=lambda: None):
        directory = Path(tempfile.mkdtemp(dir=parent))
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        os.close(handle)
        remove(directory)


def sweep(parent: Path) -> list[Path]:
    """Remove the work directories that killed processes have left; those of living ones stay."""
    if not parent.is_dir():
        return []
    with locked(parent / ".lock", guard=lambda: None):
        left = [path for path in parent.iterdir() if path.is_dir() and _is_left(path)]
    for path in left:
        remove(path)
    return left


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.new.")
    with open(handle, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)


def remove(directory: Path) -> None:
    """Remove a directory of ours with all it holds; a build may have made parts of it read-only."""
    for found, _, _ in os.walk(directory):
        with contextlib.suppress(OSError):
            os.chmod(found, 0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _take(handle: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_left(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _take(handle)
    finally:
        os.close(handle)
