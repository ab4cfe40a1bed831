"""One row a worker process: its heartbeat."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import models

# A takeover is a few statements; a claim older than this was left by a worker that died in it.
CLAIM_LASTS: Final = timedelta(seconds=10)


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Questions and claims about workers."""

    def named(self, executor: str) -> WorkerQuerySet:
        """The row of the executor `host:name`, if there is one."""
        host, _, name = executor.rpartition(":")
        return self.filter(host=host, name=name)

    def claim(self, worker: Worker, *, by: str, now: datetime) -> bool:
        """Take over the dead worker as it was read; False when it has beaten since or another one was first."""
        if worker.is_claimed(now):
            return False
        rows = self.filter(pk=worker.pk, beat_at=worker.beat_at, taken_by=worker.taken_by)
        return rows.update(taken_by=by, taken_at=now) == 1

    def claim_absent(self, executor: str, *, by: str, now: datetime) -> bool:
        """Take over what an executor without a row left; False when it is back or another one was first."""
        host, _, name = executor.rpartition(":")
        claim = {
            "pid": 0,
            "version": "",
            "started_at": now,
            "beat_at": now,
            "taken_by": by,
            "taken_at": now,
        }
        _, made = self.get_or_create(host=host, name=name, defaults=claim)
        return made

    def release(self, executor: str, *, by: str) -> None:
        """End a claim: the row is gone, as its worker is."""
        self.named(executor).filter(taken_by=by).delete()


class Worker(models.Model):
    """A worker process and when it was last known to live."""

    name = models.CharField(max_length=40)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=40)
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    taken_by = models.CharField(max_length=300, blank=True, default="")
    taken_at = models.DateTimeField(null=True, blank=True)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["host", "name"], name="one_row_a_worker"),)

    def __str__(self) -> str:
        return self.executor

    @property
    def executor(self) -> str:
        """How the queue knows this worker; the same after a restart, so that it goes on with its own wakes at once."""
        return f"{self.host}:{self.name}"

    def is_claimed(self, now: datetime) -> bool:
        """Whether somebody is taking over from this worker at this moment."""
        return self.taken_at is not None and now - self.taken_at < CLAIM_LASTS
