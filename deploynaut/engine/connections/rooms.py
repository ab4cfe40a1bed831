"""Private directories for control sockets, short-lived and short-named. No secret is ever kept in one."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from deploynaut.engine.connections.processes import look

_PREFIX = "dn-"
_OWNER = re.compile(r"dn-([0-9]+)-([0-9]+)-")
_MEMORY = Path("/dev/shm")  # noqa: S108

# sun_path holds 108 bytes, and ssh binds the socket under a name that is 17 longer first.
_LONGEST = 80


def make_room(directory: Path) -> Path:
    """A private directory for the control socket, with our process in its name for `sweep`."""
    me = look(os.getpid())
    prefix = f"{_PREFIX}{os.getpid()}-{me.start if me else 0}-"
    if os.access(_MEMORY, os.W_OK):
        return Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY))
    short = len(os.fsencode(directory)) + len(prefix) < _LONGEST and directory.is_dir()
    return Path(tempfile.mkdtemp(prefix=prefix, dir=directory if short else None))


def sweep(directory: Path) -> None:
    """Remove what masters of processes that are gone left behind: sockets and pinned keys, never secrets."""
    for parent in {_MEMORY, Path(tempfile.gettempdir()), directory}:
        for room in parent.glob(f"{_PREFIX}*"):
            owner = _OWNER.match(room.name)
            if owner and room.lstat().st_uid == os.getuid() and not _lives(int(owner[1]), int(owner[2])):
                shutil.rmtree(room, ignore_errors=True)


def _lives(pid: int, start: int) -> bool:
    seen = look(pid)
    return seen is not None and seen.start == start and seen.state != "Z"
