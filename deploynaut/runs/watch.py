"""What goes on beside a working task: may it go on, and what has it said?"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError, connections

from deploynaut.durable import port as durable
from deploynaut.engine.pipeline import Mark
from deploynaut.engine.steps.base import Aborted, FencedOff, ShuttingDown, StepTimedOut, Stopped
from deploynaut.runs import subjects
from deploynaut.runs.logs import LogSink
from deploynaut.runs.models import Run, StepRun

logger = logging.getLogger(__name__)
GRACE = timedelta(minutes=2)


class Watch:
    """Beside a working task: asks twice a second whether it may go on, and stores its log.

    One thread does all database work of the meantime, so that the task's own threads never touch the database.
    """

    def __init__(self, run: Run, step: StepRun, *, token: int, clock: Callable[[], datetime]) -> None:
        self._run, self._step, self._token, self._clock = run, step, token, clock
        self.within(timedelta(hours=1))
        self._stop: Stopped | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch {run}", daemon=True)
        self.log = LogSink(run, step, clock=clock)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=30)
        try:
            self.log.close()
        except DatabaseError:
            # The end of a log is less than the answer of its step, which is written next.
            logger.exception("%s: the end of the log of %s could not be stored", self._run, self._step.kind)

    def within(self, limit: timedelta) -> None:
        """The task may take this long from now on."""
        self._limit = limit
        self._until = time.monotonic() + limit.total_seconds()

    def work(self, session: subjects.Session) -> subjects.Work:
        """What the task is lent."""
        return subjects.Work(
            token=self._token,
            log=self.log.write,
            guard=self.guard,
            mark=self._mark,
            clock=self._clock,
            mask=self.log.add_secret,
            session=session,
        )

    def guard(self) -> None:
        """Raises Stopped when the task may not go on."""
        if durable.stopping():
            raise ShuttingDown("The worker is being stopped; another one goes on.")
        if time.monotonic() > self._until:
            self._grace()
            raise StepTimedOut(f"This step took longer than {self._limit} and was ended.")
        if self._stop is not None:
            raise self._stop

    def _grace(self) -> None:
        # The way back that ran out of time has one thing left to do: put the screen up again.
        if self._step.back:
            self._until = time.monotonic() + GRACE.total_seconds()

    def _mark(self, mark: Mark) -> None:
        self.guard()
        # What came before the mark is read before it.
        self.log.store()
        self._run.reach(mark, token=self._token, now=self._clock())

    def _watch(self) -> None:
        try:
            while not self._over.wait(0.25):
                self._look()
        finally:
            connections.close_all()

    def _look(self) -> None:
        try:
            self.log.store()
            self._stop = self._stop or self._asked_to_stop()
        except DatabaseError:
            # Busy for long, or away for a moment: a watch that ended here would neither see an abort nor a takeover.
            logger.exception("%s: the watch could not look; it tries again", self._run)

    def _asked_to_stop(self) -> Stopped | None:
        token, abort_by = Run.objects.filter(pk=self._run.pk).values_list("token", "abort_by").get()
        if token != self._token:
            return FencedOff(f"Another worker has taken over {self._run}.")
        # The way back is finished whatever is asked: the site is being put back, which is what Abort asks for.
        return Aborted(f"aborted by {abort_by}") if abort_by and not self._step.back else None
