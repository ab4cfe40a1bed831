"""Reads a tree on our disk, as a build has left it. Nothing is followed, nothing is dereferenced."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from deploynaut.engine.repository import BadTree, Kind, Member, shown

_PIECE = 1024 * 1024
_SETS_ID = stat.S_ISUID | stat.S_ISGID


def walk(directory: Path, below: str = "") -> Iterator[Member]:
    """Its members in the order of their names. Raises BadTree for what is neither file, link nor directory."""
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{below}{entry.name}"
        yield (member := _member(Path(entry.path), path))
        if member.kind is Kind.DIRECTORY:
            yield from walk(Path(entry.path), f"{path}/")


def _member(file: Path, path: str) -> Member:
    found = file.lstat()
    if stat.S_ISLNK(found.st_mode):
        return Member(path, Kind.LINK, 0o777, target=os.readlink(file))
    if found.st_mode & _SETS_ID:
        raise BadTree(f"The build made {shown(path)} run with its owner's rights (setuid); that is never released.")
    if stat.S_ISDIR(found.st_mode):
        return Member(path, Kind.DIRECTORY, 0o755)
    if not stat.S_ISREG(found.st_mode):
        raise BadTree(f"The build made {shown(path)}, neither file, link nor directory; that is never released.")
    mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
    return Member(path, Kind.FILE, mode, found.st_size, chunks=_content(file))


def _content(file: Path) -> Iterator[bytes]:
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(handle, "rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
