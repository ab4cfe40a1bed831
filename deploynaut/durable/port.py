"""What the rest of the product knows of the durable queue: `wake`, `register`, `run_worker` and three questions.

The truth is in the books' own rows. A wake says "look at this row"; it carries no data, may come twice, and may be
lost: whoever handles it reads the rows and does what they ask for, and the reconciler wakes what was forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

Handler = Callable[[int], None]
Pending = Callable[[], Iterable[tuple[int, str]]]


class UnknownKind(Exception):
    """A wake names a kind that no room has registered."""


class AlreadyRegistered(Exception):
    """Two rooms claim the same kind."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Ask for row `id` of `kind` to be looked at; at once, or at a time. Wakes with the same key never run together."""

    kind: str
    id: int
    key: str
    at: datetime | None = None


class WakeState(StrEnum):
    """Where a wake is that has not ended yet."""

    DELAYED = "delayed"
    QUEUED = "queued"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class LiveWake:
    """A wake that has not ended; `executor` is `host:name` of the worker that runs it, or empty."""

    wake: Wake
    state: WakeState
    reference: str
    executor: str = ""
    taken_at: datetime | None = None


class Engine(Protocol):
    """What stands behind the port: DBOS in production, an inline form in tests."""

    def wake(self, wake: Wake) -> None:
        """Take the wake once the open transaction has committed; forget it when that rolls back. Never raises."""

    def live(self, *states: WakeState) -> list[LiveWake]:
        """The wakes that have not ended, in these states or in any: for the reconciler and the operations page."""

    def now(self) -> datetime:
        """The engine's clock: aware, UTC."""

    def migrate(self) -> None:
        """Make what the engine keeps its wakes in, or bring it up to date."""

    def run_worker(self, name: str) -> None:
        """Handle wakes until the process is asked to stop."""


@dataclass(frozen=True, slots=True)
class Book:
    """How one kind of row is handled, and which rows should move now."""

    handler: Handler
    pending: Pending


@dataclass(slots=True)
class Books:
    """The kinds that rooms have registered."""

    by_kind: dict[str, Book] = field(default_factory=dict)

    def add(self, kind: str, book: Book) -> None:
        """Remember the book. Raises AlreadyRegistered when another one has the kind."""
        if self.by_kind.get(kind, book) != book:
            raise AlreadyRegistered(f"The kind {kind!r} is registered already. Give this one another name.")
        self.by_kind[kind] = book

    def of(self, kind: str) -> Book:
        """The book of the kind. Raises UnknownKind."""
        try:
            return self.by_kind[kind]
        except KeyError:
            raise UnknownKind(f"No room has registered the kind {kind!r}. Call register() in its ready().") from None


books: Final = Books()
_first: Final[list[Callable[[], None]]] = []
_stopping: Final = threading.Event()
_chosen: list[Engine] = []
_choosing: Final = threading.Lock()


def wake(kind: str, id: int, key: str, *, at: datetime | None = None) -> None:
    """Have the row looked at soon, or at `at` (aware), once the open transaction has committed.

    `key` is the partition, such as "environment:3": wakes with one key run one after the other. Never raises after
    the commit: a wake that could not be kept is logged, and the reconciler finds the row by `pending`.
    """
    engine().wake(Wake(kind=kind, id=id, key=key, at=at))


def register(kind: str, handler: Handler, *, pending: Pending) -> None:
    """Hand in how rows of the kind are handled, and which (id, key) should move now. Called in a room's `ready()`.

    The handler may be called twice for one wake, by two workers even; the rows' own fence token decides who acts.
    """
    books.add(kind, Book(handler=handler, pending=pending))


def at_worker_start(act: Callable[[], None]) -> None:
    """Have something done once in each worker before it takes any work: tidying up after one that was killed."""
    _first.append(act)


def begin_worker() -> None:
    """Do what rooms asked for at the start of a worker. What they raise keeps the worker from starting."""
    for act in _first:
        act()


def run_worker(name: str) -> None:
    """Handle wakes in this process until SIGTERM or SIGINT; returns once the work is handed over."""
    engine().run_worker(name)


def live(*states: WakeState) -> list[LiveWake]:
    """The wakes that have not ended, in these states or in any."""
    return engine().live(*states)


def now() -> datetime:
    """The clock of the engine that runs the wakes: aware, UTC."""
    return engine().now()


def stopping() -> bool:
    """Whether this worker was asked to stop: a long handler ends at its next safe point, its row moves on elsewhere."""
    return _stopping.is_set()


def stop() -> None:
    """Say to every handler of this process that the worker is going down."""
    _stopping.set()


def engine() -> Engine:
    """The engine in use: the one put in place by `using`, else what the setting DURABLE_ENGINE names."""
    with _choosing:
        if not _chosen:
            _chosen.append(import_string(settings.DURABLE_ENGINE)())
        return _chosen[-1]


@contextmanager
def using(other: Engine) -> Iterator[None]:
    """Put another engine in place for the length of the block."""
    engine()
    _chosen.append(other)
    try:
        yield
    finally:
        _chosen.remove(other)


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)  # noqa: TID251 (this is where the worker reads it)
