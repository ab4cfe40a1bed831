"""Failures of the rooms below, as StepFailed with words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deploynaut.engine.connections.base import CommandFailed, ConnectionFailed, Fenced, shorten
from deploynaut.engine.databases import DatabaseFailed
from deploynaut.engine.databases.files import SnapshotExists
from deploynaut.engine.packages import BadManifest, BuildFailed, Damaged, ReleaseError, StoreFull
from deploynaut.engine.repository import BadRevision, GitMissing, RepositoryError
from deploynaut.engine.steps.base import StepFailed

FORESEEN = (
    ConnectionFailed,
    DatabaseFailed,
    SnapshotExists,
    ReleaseError,
    BuildFailed,
    StoreFull,
    Damaged,
    BadManifest,
    BadRevision,
    GitMissing,
    RepositoryError,
    OSError,
)
"""What can go wrong outside of us, each with a text for people."""


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Foreseen failures inside become `StepFailed("what: why")`. Fenced, Stopped and faults of ours pass through."""
    try:
        yield
    except Fenced:
        raise
    except FORESEEN as error:
        raise StepFailed(f"{what}: {error}") from error


def last_words(error: CommandFailed) -> str:
    """The last line that a command wrote to its errors; the log of the step has the others."""
    lines = error.errors.decode("utf-8", "replace").strip().splitlines()
    return shorten(lines[-1], 300) if lines else "it gave no reason"
