"""Whether a target has room for a release, and what its disk means when it says no."""

from __future__ import annotations

from collections.abc import Sequence

from deploynaut.engine.connections.base import CommandFailed
from deploynaut.engine.packages.manifest import Manifest
from deploynaut.engine.packages.releases import ReleaseError
from deploynaut.engine.packages.survey import Survey

RESERVE_BYTES = 32 * 1024 * 1024
RESERVE_INODES = 200
_BLOCK = 4096


def check_room(how: str, wanted: Manifest, written: Sequence[str], seen: Survey, *, host: str) -> None:
    """Raises NoRoom before anything is written."""
    paths = frozenset(written) if how == "recycle" else None
    entries = [entry for entry in wanted.entries if paths is None or entry.path in paths]
    need = sum(-(-entry.size // _BLOCK) * _BLOCK + _BLOCK // 8 for entry in entries) + RESERVE_BYTES
    if seen.free_bytes < need:
        raise NoRoom(
            f"{host}: {_mb(seen.free_bytes)} free for releases, {_mb(need)} needed. "
            "The site is untouched. Free some space there, then release again."
        )
    inodes = len(entries) + RESERVE_INODES
    if seen.free_inodes is not None and seen.free_inodes < inodes:
        raise NoRoom(
            f"{host}: {seen.free_inodes} inodes (files and directories) free for releases, {inodes} needed, "
            "though there may be bytes enough. The site is untouched. Remove files there, then release again."
        )


def of_failure(error: CommandFailed, *, host: str) -> ReleaseError | None:
    """What the target's disk said, in words for people; None when it was not the disk."""
    said = error.errors.decode("utf-8", "replace")
    for sign, text in _SIGNS:
        if sign in said:
            return TargetDisk(f"{host}: {text} The site is untouched.")
    return None


class NoRoom(ReleaseError):
    """The target has too few bytes or inodes for the release."""


class TargetDisk(ReleaseError):
    """The target's disk refused to write."""


_SIGNS = (
    (
        "No space left on device",
        "the disk ran full (of bytes or inodes) while the release was laid out. Free some space.",
    ),
    ("Disk quota exceeded", "the quota of the deploy user is used up. Raise it, or remove files of that user."),
    ("Read-only file system", "the file system is read-only, perhaps because the disk is failing. Look at it."),
)


def _mb(size: int) -> str:
    return f"{size / 1024**2:.1f} MB"
