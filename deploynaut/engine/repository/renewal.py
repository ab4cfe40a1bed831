"""One writer at a mirror, what a crash left in it, and how a new mirror takes the place of an old one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from deploynaut.engine import vault
from deploynaut.engine.repository.program import Git, GitFailed

KEPT = "refs/deploynaut/"

_ASK_SECONDS = 0.2


def beside(directory: Path, ending: str) -> Path:
    """The path with this ending, in the same directory and so on the same file system."""
    return directory.with_name(f"{directory.name}.{ending}")


@contextlib.contextmanager
def locked(directory: Path, *, guard: Callable[[], None] = lambda: None, what: str = "lock") -> Iterator[int]:
    """Wait to be the only writer. Gives the lock's descriptor: a child that has it holds the lock for its life too.

    A worker that was killed leaves its git behind for a moment; so that git still counts as the writer.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(beside(directory, what), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _take(handle):
            guard()
            threading.Event().wait(_ASK_SECONDS)
        yield handle
    finally:
        os.close(handle)


def tidy(directory: Path) -> None:
    """Put right what a crash left. To be called by the only writer."""
    old = beside(directory, "old")
    if old.exists() and not directory.exists():
        old.rename(directory)
    remove(old)
    remove(beside(directory, "new"))
    vault.sweep(beside(directory, "private"))
    for lock in _locks(directory):
        lock.unlink(missing_ok=True)


def remove_lock_of(directory: Path, ref: str) -> None:
    """Remove the lock file of one ref, left by a crash. To be called by the only writer of that ref."""
    (directory / f"{ref}.lock").unlink(missing_ok=True)


def carry_over(old: Git, *, to: Git) -> None:
    """Bring the kept commits of an old mirror into a new one, as many as the old one can still give."""
    if not old.directory.exists():
        return
    git = replace(to, environment={"GIT_ALLOW_PROTOCOL": "file"})
    words = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", str(old.directory))
    for ref in _kept(old):
        with contextlib.suppress(GitFailed):
            git.run(*words, f"{ref}:{ref}")


def put_in_place(new: Path, directory: Path) -> None:
    """The new mirror takes the old one's name. Killed in between, `tidy` puts the old one back."""
    old = beside(directory, "old")
    if directory.exists():
        directory.rename(old)
    new.rename(directory)
    remove(old)


def remove(directory: Path) -> None:
    """Remove a directory of ours, if it is there."""
    if directory.exists():
        shutil.rmtree(directory)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locks(directory: Path) -> Iterator[Path]:
    """Lock files of a git that was killed, and its half packs; those of `keep` belong to another writer."""
    kept = directory / KEPT
    for pattern in ("*.lock", "refs/**/*.lock", "objects/info/**/*.lock", "gc.pid", "objects/pack/tmp_*"):
        yield from (path for path in directory.glob(pattern) if not path.is_relative_to(kept))


def _kept(git: Git) -> list[str]:
    try:
        return git.run("for-each-ref", "--format=%(refname)", KEPT).decode("ascii").splitlines()
    except GitFailed:
        return []
