"""Workers tell each other that they live, and take over from one that no longer does."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from deploynaut import __version__
from deploynaut.durable.models import Worker
from deploynaut.durable.port import LiveWake

log = logging.getLogger(__name__)

# A worker that thaws may take a wake before its row is back.
ORPHAN_AGE: Final = timedelta(seconds=5)


@dataclass(slots=True)
class Heart:
    """This worker's own row."""

    host: str
    name: str

    @property
    def executor(self) -> str:
        """How the queue knows this worker."""
        return f"{self.host}:{self.name}"

    def begin(self, now: datetime) -> bool:
        """Write the first beat. False while another worker is taking over what this name left behind."""
        with transaction.atomic():
            row = Worker.objects.named(self.executor).first()
            if row is not None and row.is_claimed(now):
                return False
            self._write(now)
            return True

    def beat(self, now: datetime) -> None:
        """Say that this worker lives; also after a freeze in which others took over: only a token fences."""
        if not Worker.objects.named(self.executor).update(beat_at=now):
            log.warning("%s was taken for dead and takes part again.", self.executor)
            self._write(now)

    def end(self) -> None:
        """Take the row away: what this worker left is anybody's now."""
        Worker.objects.named(self.executor).delete()

    def _write(self, now: datetime) -> None:
        Worker.objects.update_or_create(
            host=self.host,
            name=self.name,
            defaults={
                "pid": os.getpid(),
                "version": __version__,
                "started_at": now,
                "beat_at": now,
                "taken_by": "",
                "taken_at": None,
            },
        )


@dataclass(frozen=True, slots=True)
class Sight:
    """A beat as this worker first saw it, by its own steady clock."""

    beat_at: datetime
    seen: float


@dataclass(slots=True)
class Watch:
    """Which other workers are dead.

    Two clocks agree before anybody is called dead: the beat is old by the wall clock, and it stood still for two
    looks by the steady one. So neither a stepped clock nor a host whose clock is off kills a living worker.
    """

    dead_after: timedelta
    look_every: timedelta
    sights: dict[str, Sight] = field(default_factory=dict)

    def dead(self, workers: list[Worker], *, now: datetime, steady: float) -> list[Worker]:
        """The dead among the rows just read."""
        self.sights = {worker.executor: self._look(worker, steady) for worker in workers}
        return [worker for worker in workers if self._is_dead(worker, now=now, steady=steady)]

    def _look(self, worker: Worker, steady: float) -> Sight:
        last = self.sights.get(worker.executor)
        if last is not None and last.beat_at == worker.beat_at:
            return last
        return Sight(beat_at=worker.beat_at, seen=steady)

    def _is_dead(self, worker: Worker, *, now: datetime, steady: float) -> bool:
        still = timedelta(seconds=steady - self.sights[worker.executor].seen)
        old = now - worker.beat_at >= self.dead_after
        return (old and still >= 2 * self.look_every) or still >= self.dead_after + self.look_every


def abandoned(running: list[LiveWake], executors: set[str], *, now: datetime) -> set[str]:
    """The executors of running wakes that have no row: they have stopped, and left their wakes to the others."""
    return {
        one.executor
        for one in running
        if one.executor not in executors and one.taken_at is not None and now - one.taken_at >= ORPHAN_AGE
    }
