"""The port for tests: wakes run in the test's own thread, time moves when the test says so.

    with inline_engine(now=noon) as engine:
        begin_a_deployment()                    # commits, wakes, and has run when this returns
        engine.run_due(noon + timedelta(hours=1))

A plain `db` test never commits. There a wake runs at once when only the test's own transaction is open; what waits
for the end of an inner one runs with the next `run_due` or `settle`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial

from django.db import connection, transaction

from deploynaut.durable import port
from deploynaut.durable.port import LiveWake, Wake, WakeState


class InlineEngine:
    """Keeps wakes in a list; runs them when `automatic`, after the commit, one at a time, in order."""

    def __init__(self, *, now: datetime | None = None, automatic: bool = False) -> None:
        self.clock = now
        self.automatic = automatic
        self.handled: list[Wake] = []
        self._waiting: list[Wake] = []
        self._lock = threading.Lock()
        self._running = False

    def wake(self, wake: Wake) -> None:
        """Keep the wake after the commit, and run it unless a handler is running: then after that one."""
        if _only_the_tests_own_transaction():
            self._keep(wake)
        else:
            transaction.on_commit(partial(self._keep, wake))

    def live(self, *states: WakeState) -> list[LiveWake]:
        """The wakes that wait."""
        found = [self._live(number, wake) for number, wake in enumerate(self.waiting)]
        return [one for one in found if one.state in states or not states]

    def now(self) -> datetime:
        """The test's clock, or the machine's when the test gave none."""
        return self.clock or port.utc_now()

    def migrate(self) -> None:
        """Nothing is kept."""

    def run_worker(self, name: str) -> None:
        """Run what is due."""
        self.settle()

    # --- For tests ---------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[Wake]:
        """Every wake not handled yet, in the order in which they came."""
        with self._lock:
            return list(self._waiting)

    @property
    def delayed(self) -> list[Wake]:
        """The wakes for a later time, the next one first."""
        later = [wake for wake in self.waiting if not self._is_due(wake)]
        return sorted(later, key=lambda wake: wake.at or self.now())

    def run_due(self, now: datetime) -> int:
        """Set the clock, and run every wake due by then, those that they bring about too; how many ran."""
        self.clock = now
        return self.settle()

    def settle(self) -> int:
        """Run every wake that is due; how many ran."""
        before = len(self.handled)
        self._harvest()
        self._drain()
        return len(self.handled) - before

    def reconcile(self) -> int:
        """Wake whatever the registered books say should move now, as the worker's reconciler does; how many ran."""
        for kind, book in port.books.by_kind.items():
            for id, key in book.pending():
                self._put(Wake(kind=kind, id=id, key=key))
        return self.settle()

    def forget(self) -> list[Wake]:
        """Lose every waiting wake, as a lost queue file would; what was lost."""
        with self._lock:
            lost, self._waiting = self._waiting, []
        return lost

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _live(self, number: int, wake: Wake) -> LiveWake:
        state = WakeState.QUEUED if self._is_due(wake) else WakeState.DELAYED
        return LiveWake(wake=wake, state=state, reference=str(number))

    def _keep(self, wake: Wake) -> None:
        self._put(wake)
        if self.automatic:
            self._drain()

    def _put(self, wake: Wake) -> None:
        with self._lock:
            self._waiting.append(wake)

    def _drain(self) -> None:
        with self._lock:
            if self._running:
                return
            self._running = True
        try:
            while (wake := self._take()) is not None:
                self.handled.append(wake)
                port.books.of(wake.kind).handler(wake.id)
                self._harvest()
        finally:
            self._running = False

    def _take(self) -> Wake | None:
        with self._lock:
            due = [wake for wake in self._waiting if self._is_due(wake)]
            if not due:
                return None
            self._waiting.remove(due[0])
            return due[0]

    def _is_due(self, wake: Wake) -> bool:
        return wake.at is None or wake.at <= self.now()

    def _harvest(self) -> None:
        """Run what waits for a commit that never comes, because the test's own transaction is around it."""
        while _only_the_tests_own_transaction() and connection.run_on_commit:
            callback = connection.run_on_commit.pop(0)[1]
            callback()


@contextmanager
def inline_engine(*, now: datetime | None = None, automatic: bool = True) -> Iterator[InlineEngine]:
    """Put an inline engine in place; with `automatic` off, wakes wait for `run_due` or `settle`."""
    engine = InlineEngine(now=now, automatic=automatic)
    with port.using(engine):
        yield engine


def _only_the_tests_own_transaction() -> bool:
    blocks = connection.atomic_blocks
    return bool(blocks) and all(getattr(block, "_from_testcase", False) for block in blocks)
