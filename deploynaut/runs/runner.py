"""Moves a run forward until it waits or ends. The whole flow is `advance`; everything else fills in its parts."""

from __future__ import annotations

import logging
import secrets
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from deploynaut.durable import port as durable
from deploynaut.engine.connections.base import Fenced
from deploynaut.engine.pipeline import (
    Claimed,
    Event,
    Interrupted,
    Next,
    StepStatus,
    TaskFailed,
    TaskStopped,
    TaskSucceeded,
    next_act,
)
from deploynaut.engine.steps.base import Aborted, FencedOff, ShuttingDown, StepFailed, StepResult, StepTimedOut
from deploynaut.runs import subjects
from deploynaut.runs.log_text import one_voice
from deploynaut.runs.logs import LogSink
from deploynaut.runs.models import Held, Hold, LogChunk, Run, StepFacts, StepRun
from deploynaut.runs.watch import Watch

logger = logging.getLogger(__name__)
BUSY_AGAIN = timedelta(seconds=3)
SOON = timedelta(minutes=5)
"""Until then a gate has a wake for its next time; what is due later the reconciler finds, within 10 s. So those that
wait for days are rows alone, and however often one is looked at, no wakes pile up."""
ATTEMPTS = 10
"""How often a step is begun, restarts of workers included, before it counts as what kills them."""
HOLDING_GATE = "rollback_window"
"""The one gate at which a deployment keeps its lock: nothing else may touch the site meanwhile."""


def advance(run_id: int, *, clock: Callable[[], datetime] = durable.now) -> None:
    """Do what the run's rows say comes next, step after step, until it waits for somebody or has ended."""
    try:
        run = Run.objects.take(run_id, now=clock())
    except Held:
        Run.objects.get(pk=run_id).wake(at=clock() + BUSY_AGAIN)
        return
    if run is None:
        return
    mover = Mover(run=run, token=run.token, clock=clock)
    try:
        while mover.move():
            pass
    except (Fenced, FencedOff, ShuttingDown) as stop:
        logger.info("%s: left to another worker: %s", run, stop)
        if isinstance(stop, Fenced):
            _go_above(run, stop, token=mover.token, now=clock())
    finally:
        mover.session.close()


def _go_above(run: Run, fenced: Fenced, *, token: int, now: datetime) -> None:
    """Nobody of ours has a newer token, yet a target knows one: it is from before an old copy of our rows was restored.

    Nothing was done there. The next worker begins above it, instead of asking again and again from below.
    """
    with transaction.atomic():
        ours = Hold.objects.filter(key=run.lock_key, run=run, token=token)
        if ours.filter(token__lt=fenced.newest).update(token=fenced.newest):
            LogChunk.objects.note(run, f"{fenced} That is from before an old copy of our rows was restored.", now=now)
            run.wake()


@dataclass(frozen=True, slots=True)
class Mover:
    """One worker with one run and its fence token."""

    run: Run
    token: int
    clock: Callable[[], datetime]
    session: subjects.Session = field(default_factory=subjects.Session)

    def move(self) -> bool:
        """Do the next thing; whether there may be another."""
        state = self.run.state()
        if next_act(state) is Next.NOTHING:
            self.run.release(token=self.token)
            return False
        interrupted = state.current is not None and state.current.status is StepStatus.RUNNING
        # A click may have put another step in hand since that look: what follows is what has been written. A gate is
        # opened whole, with its deadline and without the lock, or it would wait for ever.
        with transaction.atomic():
            if interrupted:
                self.run.steps.filter(status=StepStatus.RUNNING).update(attempt=F("attempt") + 1)
            self._apply(Interrupted() if interrupted else Claimed())
            step = self._in_hand()
            if step is not None and step.status == StepStatus.WAITING:
                return self._at_gate(step)
        if step is not None and step.status == StepStatus.RUNNING:
            self._task(step)
        return True

    def _apply(self, event: Event, *, facts: StepFacts | None = None) -> None:
        self.run.apply(event, token=self.token, now=self.clock(), facts=facts)

    def _in_hand(self) -> StepRun | None:
        position = self.run.state().position
        return None if position is None else self.run.steps.get(position=position)

    def _at_gate(self, step: StepRun) -> bool:
        """Give the gate its times, and tell it when one has come. A row waits: no thread, no slot."""
        subject, now = subjects.of(self.run.kind), self.clock()
        open_gate(self.run, step, now=now)
        due = step.due(now=now) or subject.objection(self.run, step, now=now)
        if due is not None:
            self._apply(due)
            return True
        if step.next_at and step.next_at - now <= SOON:
            self.run.wake(at=step.next_at)
        if step.kind != HOLDING_GATE:
            self.run.release(token=self.token)
        return False

    def _task(self, step: StepRun) -> None:
        """Perform the task and write its answer."""
        with Watch(self.run, step, token=self.token, clock=self.clock) as watch:
            self.session.guarded_by(watch.guard)
            event, facts = _answer(lambda: self._perform(step, watch), watch.log, self.run)
        self._apply(event, facts=facts)
        if not isinstance(event, TaskSucceeded):
            # A connection that failed once is not trusted with the way back.
            self.session.close()

    def _perform(self, step: StepRun, watch: Watch) -> StepResult:
        """The subject's part, within its time. A step that ends its worker again and again is ended itself."""
        if step.attempt > ATTEMPTS:
            raise StepFailed(
                f"This step was cut off {ATTEMPTS} times. Look at the server's log for what ends its worker."
            )
        subject = subjects.of(self.run.kind)
        watch.within(subject.limit(self.run, step))
        return subject.perform(self.run, step, watch.work(self.session))


def open_gate(run: Run, step: StepRun, *, now: datetime) -> None:
    """Give a gate that has just been reached its times."""
    if step.deadline is None:
        subject = subjects.of(run.kind)
        step.deadline = subject.opens(run, step, now=now)
        step.escalates_at = subject.escalates(run, step, now=now)
        step.save(update_fields=["deadline", "escalates_at"])


# --- one task --------------------------------------------------------------------------------------------------------


def _answer(perform: Callable[[], StepResult], log: LogSink, run: Run) -> tuple[Event, StepFacts | None]:
    """The ladder: what was foreseen speaks to the person; what was not leaves a trace here and a number there.

    Whatever leaves the step by another way than its log is masked as the log is.
    """
    try:
        result = perform()
    except (Fenced, FencedOff, ShuttingDown):
        raise
    except Aborted as stopped:
        log.write(f"stopped: {stopped}")
        return TaskStopped(str(stopped)), None
    except (StepFailed, StepTimedOut) as failed:
        text = log.told(str(failed))
        log.write(one_voice(text))
        return TaskFailed(text), None
    except Exception as error:
        # What a step has added says what became of the site meanwhile: that comes first.
        number = f"Internal error {_incident(error, log, run)}. The trace is in the server's log under this number."
        text = log.told(" ".join((*getattr(error, "__notes__", ()), number)))
        log.write(one_voice(text))
        return TaskFailed(text), None
    log.write(one_voice(result.summary))
    return TaskSucceeded(), StepFacts(log.told(result.summary), _told(result.facts, log))


def _incident(error: Exception, log: LogSink, run: Run) -> str:
    """Write the trace to the server's log, masked, each line under the number that the person is given."""
    incident = secrets.token_hex(4)
    logger.error("incident %s in %s", incident, run)
    for line in log.told("".join(traceback.format_exception(error))).splitlines():
        logger.error("incident %s: %s", incident, line)
    return incident


def _told(value: Any, log: LogSink) -> Any:
    """Facts, with every text in them masked."""
    match value:
        case str():
            return log.told(value)
        case Mapping():
            return {key: _told(each, log) for key, each in value.items()}
        case list() | tuple():
            return [_told(each, log) for each in value]
        case _:
            return value
