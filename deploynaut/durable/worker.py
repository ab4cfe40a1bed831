"""The worker process: it holds its name, beats, watches the other workers, wakes what was forgotten, stops in time."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from django.db import connections

from deploynaut.durable import port
from deploynaut.durable.heartbeat import Heart, Watch, abandoned
from deploynaut.durable.models import Worker
from deploynaut.durable.port import LiveWake, Wake, WakeState
from deploynaut.durable.process import on_stop, only_one

log = logging.getLogger(__name__)


class Queue(Protocol):
    """What a worker asks of the queue behind the port."""

    def start(self, executor: str, kinds: Sequence[str]) -> None: ...
    def stop(self, seconds: int) -> None: ...
    def live(self, *states: WakeState) -> list[LiveWake]: ...
    def keep(self, wake: Wake) -> None: ...
    def hand_over(self, wakes: Iterable[LiveWake]) -> None: ...
    def prune(self, before: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a worker does what."""

    beat: timedelta = timedelta(seconds=2)
    look: timedelta = timedelta(seconds=2)
    dead: timedelta = timedelta(seconds=15)
    reconcile: timedelta = timedelta(seconds=10)
    prune: timedelta = timedelta(hours=1)
    keep_ended: timedelta = timedelta(hours=24)
    # Together under 8 s: what runs may reach its next safe point, then the queue's threads end.
    finish: timedelta = timedelta(seconds=4)
    leave: timedelta = timedelta(seconds=7)


@dataclass(slots=True)
class WorkerProcess:
    """One process that handles wakes."""

    name: str
    queue: Queue
    directory: Path
    rhythm: Rhythm = field(default_factory=Rhythm)
    host: str = field(default_factory=socket.gethostname)
    _asked: threading.Event = field(default_factory=threading.Event)
    _left: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Handle wakes until SIGTERM or SIGINT. Raises NameTaken when a process works under this name already."""
        with only_one(self.directory, self.name), on_stop(self._asked.set, leave_now):
            heart = Heart(host=self.host, name=self.name)
            self._begin(heart)
            chores = self._start_chores(heart)
            self._asked.wait()
            self._stop(heart, chores)

    def _begin(self, heart: Heart) -> None:
        # Whoever is taking over from our last life does so within milliseconds; starting before would run a wake twice.
        while not heart.begin(port.utc_now()):
            self._asked.wait(0.2)
        connections.close_all()
        kinds = sorted(port.books.by_kind)
        try:
            port.begin_worker()
            self.queue.start(heart.executor, kinds)
        except BaseException:
            heart.end()
            raise
        log.info("Worker %s handles: %s.", heart.executor, ", ".join(kinds) or "nothing")

    def _start_chores(self, heart: Heart) -> list[threading.Thread]:
        caretaker = Caretaker(executor=heart.executor, queue=self.queue, rhythm=self.rhythm)
        chores = [
            Chore(
                "heartbeat",
                self.rhythm.beat,
                lambda: heart.beat(port.utc_now()),
                self._left,
            ),
            Chore("watch", self.rhythm.look, caretaker.take_over, self._asked),
            Chore("reconciler", self.rhythm.reconcile, caretaker.reconcile, self._asked),
            Chore("prune", self.rhythm.prune, caretaker.prune, self._asked),
        ]
        return [chore.start() for chore in chores]

    def _stop(self, heart: Heart, chores: list[threading.Thread]) -> None:
        """Take nothing new, let what runs reach a safe point, leave the rest to the others."""
        deadline = time.monotonic() + self.rhythm.leave.total_seconds()
        port.stop()
        stopping = threading.Thread(target=self._stop_queue, name="stop", daemon=True)
        stopping.start()
        stopping.join(self.rhythm.leave.total_seconds())
        self._left.set()
        for chore in chores:
            chore.join(max(0.0, deadline - time.monotonic()))
        heart.end()
        connections.close_all()
        log.info("Worker %s has stopped.", heart.executor)

    def _stop_queue(self) -> None:
        try:
            self.queue.stop(int(self.rhythm.finish.total_seconds()))
        except Exception:
            log.exception("The queue did not stop cleanly; the process ends anyway.")


@dataclass(frozen=True, slots=True)
class Caretaker:
    """Looks after what other workers left and what was never woken."""

    executor: str
    queue: Queue
    rhythm: Rhythm
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "watch",
            Watch(dead_after=self.rhythm.dead, look_every=self.rhythm.look),
        )

    def take_over(self) -> None:
        """Re-dispatch the wakes of dead workers, and of those that have left."""
        now = port.utc_now()
        others = [worker for worker in Worker.objects.all() if worker.executor != self.executor]
        for worker in self.watch.dead(others, now=now, steady=time.monotonic()):
            if Worker.objects.claim(worker, by=self.executor, now=now):
                self._hand_over_from(worker.executor)
        known = {self.executor, *(worker.executor for worker in others)}
        for executor in abandoned(self.queue.live(WakeState.RUNNING), known, now=now):
            if Worker.objects.claim_absent(executor, by=self.executor, now=now):
                self._hand_over_from(executor)

    def _hand_over_from(self, executor: str) -> None:
        # Only under a claim, and as things are after it: to hand a running wake over would start it twice.
        left = [one for one in self.queue.live(WakeState.RUNNING) if one.executor == executor]
        log.warning("%s takes over from %s: %d wakes.", self.executor, executor, len(left))
        self.queue.hand_over(left)
        Worker.objects.release(executor, by=self.executor)

    def reconcile(self) -> None:
        """Wake every row that should move now and that no wake is on its way to."""
        for kind, book in port.books.by_kind.items():
            try:
                self._reconcile(kind, list(book.pending()))
            except Exception:
                log.exception("The reconciler could not look after %s; it goes on with the other kinds.", kind)

    def _is_coming(self, one: LiveWake) -> bool:
        # A row that waits for a lock is woken again in a moment; a second wake each round would soon be thousands.
        soon = one.wake.at is not None and one.wake.at <= port.utc_now() + self.rhythm.reconcile
        return one.state is not WakeState.DELAYED or soon

    def _reconcile(self, kind: str, pending: list[tuple[int, str]]) -> None:
        if not pending:
            # The usual case: then nobody has to ask the queue for all that it keeps.
            return
        coming = {(one.wake.kind, one.wake.id) for one in self.queue.live() if self._is_coming(one)}
        for id, key in pending:
            if (kind, id) not in coming:
                log.info("The reconciler wakes %s %d.", kind, id)
                self.queue.keep(Wake(kind=kind, id=id, key=key))

    def prune(self) -> None:
        """Forget the wakes that ended long ago."""
        self.queue.prune(port.utc_now() - self.rhythm.keep_ended)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something done again and again in a thread of its own until `until` is set; a failure is logged and survived."""

    name: str
    every: timedelta
    act: Callable[[], None]
    until: threading.Event

    def start(self) -> threading.Thread:
        """Begin with the first turn at once."""
        thread = threading.Thread(target=self._repeat, name=self.name, daemon=True)
        thread.start()
        return thread

    def _repeat(self) -> None:
        while not self.until.is_set():
            self._once()
            self.until.wait(self.every.total_seconds())

    def _once(self) -> None:
        try:
            self.act()
        except Exception:
            log.exception(
                "The worker's %s failed; it is tried again in %s.",
                self.name,
                self.every,
            )
        finally:
            connections.close_all()


def leave_now() -> None:
    """End at once: asked a second time. The heartbeat stops, another worker takes over."""
    os._exit(1)
