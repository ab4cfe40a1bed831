"""What a worker asks of the machine: one process a name, an end together with its parent, signals as a flag."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

PR_SET_PDEATHSIG: Final = 1
GOOD_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


class BadName(Exception):
    """A worker's name is not of the allowed letters."""


class NameTaken(Exception):
    """Another process works under the name."""


class NoParentSignal(Exception):
    """The machine cannot tell this process of its parent's end."""


def check_name(name: str) -> str:
    """The name, if it may be one. Raises BadName."""
    if not GOOD_NAME.fullmatch(name):
        raise BadName(f"{name!r} is no name for a worker. Use small letters, digits and hyphens, 40 at most.")
    return name


@contextmanager
def only_one(directory: Path, name: str) -> Iterator[None]:
    """Hold the name for this process; the system lets it go with the process. Raises NameTaken."""
    file = directory / f"worker-{check_name(name)}.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, name)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, name: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        raise NameTaken(
            f"A worker named {name} runs already (process {holder or 'unknown'}). "
            "Stop it, or start this one with another --name."
        ) from None


def die_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent ends. Raises NoParentSignal."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise NoParentSignal(f"prctl failed: {os.strerror(ctypes.get_errno())}. Start without --die-with-parent.")
    if os.getppid() != parent:
        # It ended before the kernel knew that we care.
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def on_stop(asked: Callable[[], None], again: Callable[[], None]) -> Iterator[None]:
    """Call `asked` at the first SIGTERM or SIGINT, `again` at any further one. Main thread only."""
    calls = 0

    def receive(number: int, frame: FrameType | None) -> None:
        nonlocal calls
        calls += 1
        asked() if calls == 1 else again()

    before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
