"""Run: any durable work with steps, a lock key and a log. A deployment, a fetch, a check *has* a run.

Rows become values for `decide`, values become rows again, in one transaction that is a compare-and-set on the fence
token: whoever holds an older token changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from django.db import models, transaction

from deploynaut.durable import port as durable
from deploynaut.engine.pipeline import (
    DeadlinePassed,
    Decision,
    Event,
    Mark,
    Reached,
    State,
    Status,
    Step,
    StepStatus,
    decide,
)
from deploynaut.engine.pipeline.state import OPEN
from deploynaut.engine.steps.base import FencedOff
from deploynaut.runs import subjects
from deploynaut.runs.rows import LogChunk, MarkReached, StepFacts, StepRun

__all__ = ["Held", "Hold", "LogChunk", "MarkReached", "Run", "StepFacts", "StepRun"]


class Hold(models.Model):
    """The one lock of an environment (or another key), with a fence token that only rises."""

    key = models.CharField(max_length=100, unique=True)
    token = models.BigIntegerField(default=0)
    run = models.ForeignKey("Run", null=True, on_delete=models.PROTECT, related_name="holds")
    since = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.key} #{self.token}"

    def claim(self, run: Run, *, now: datetime) -> int:
        """Give the lock to the run, with a newer token. Raises Held when an open run has it."""
        if self.run_id not in (None, run.pk) and not self.run.ended:  # type: ignore[union-attr]
            raise Held(f"{self.key} is held by {self.run}.")
        self.token += 1
        self.run, self.since = run, now
        self.save(update_fields=["token", "run", "since"])
        return self.token


class Held(Exception):
    """Another open run has the lock."""


class RunQuerySet(models.QuerySet["Run"]):
    """Many runs."""

    def open(self) -> RunQuerySet:
        """Those that have not ended."""
        # The second condition says nothing new; by it the database finds them without reading all that have ended.
        return self.filter(status__in=list(OPEN), ended_at__isnull=True)

    def movable(self, *, now: datetime) -> Iterable[tuple[int, str]]:
        """Id and lock key of every run that a worker should look at now; for the reconciler."""
        moving = self.open().exclude(status=Status.WAITING).exclude(status=Status.QUEUED, not_before__gt=now)
        # Each question has its index: thousands that wait cost nothing until one of them is due.
        gates = StepRun.objects.filter(status=StepStatus.WAITING)
        due = [gates.filter(deadline__lte=now), gates.filter(escalates_at__lte=now)]
        found = [moving.values_list("pk", "lock_key"), *(some.values_list("run", "run__lock_key") for some in due)]
        return list(dict.fromkeys(each for some in found for each in some))


class RunManager(models.Manager["Run"]):
    """Begins runs and takes them over."""

    def get_queryset(self) -> RunQuerySet:
        """All runs."""
        return RunQuerySet(self.model, using=self._db)

    def begin(
        self,
        *,
        kind: str,
        subject_id: int,
        title: str,
        lock_key: str,
        steps: Iterable[str],
        now: datetime,
        **facts: Any,
    ) -> Run:
        """A new run with its steps, woken after the transaction. `facts` are fields such as `first`."""
        run = self.create(kind=kind, subject_id=subject_id, title=title, lock_key=lock_key, created_at=now, **facts)
        StepRun.objects.bulk_create(StepRun(run=run, position=i, kind=step) for i, step in enumerate(steps))
        run.wake(at=run.not_before)
        return run

    def newest(self, kind: str, subject_id: int) -> Run | None:
        """The newest run of a kind for what it is about, going on or ended."""
        return self.filter(kind=kind, subject_id=subject_id).order_by("-pk").first()

    def wake_waiting(self, lock_key: str) -> None:
        """What an open run waits for may have changed: have those that wait under this lock looked at soon."""
        for run in self.get_queryset().filter(lock_key=lock_key, status=Status.WAITING):
            run.wake()

    def take(self, pk: int, *, now: datetime) -> Run | None:
        """The run with a new fence token; None when it has ended or is planned for later.

        Raises Held when its lock is another's.
        """
        with transaction.atomic():
            run = self.get_queryset().select_for_update().get(pk=pk)
            if run.ended or (run.not_before and run.not_before > now):
                return None
            Hold.objects.get_or_create(key=run.lock_key)
            run.token = Hold.objects.select_for_update().get(key=run.lock_key).claim(run, now=now)
            run.save(update_fields=["token"])
        return run


class Run(models.Model):
    """Durable work: its state is what `decide` sees. `title` names it for people and in journals (`demo/uat #42`).

    `not_before`: planned for then; nobody takes it earlier.
    """

    kind = models.CharField(max_length=40)
    subject_id = models.BigIntegerField()
    title = models.CharField(max_length=200)
    lock_key = models.CharField(max_length=100)
    status = models.CharField(max_length=20, choices=[(s, s) for s in Status], default=Status.QUEUED)
    token = models.BigIntegerField(default=0)
    undoable = models.BooleanField(default=False)
    first = models.BooleanField(default=False)
    screen_was_up = models.BooleanField(default=False)
    code_only = models.BooleanField(default=False)
    extended = models.BooleanField(default=False)
    abort_by = models.CharField(max_length=200, blank=True)
    rollback_by = models.CharField(max_length=200, blank=True)
    cause = models.TextField(blank=True)
    created_at = models.DateTimeField()
    not_before = models.DateTimeField(null=True)
    begun_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = RunManager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["status"], name="run_open", condition=models.Q(ended_at__isnull=True)),
            models.Index(fields=["kind", "subject_id", "-id"], name="run_of_subject"),
        ]

    def __str__(self) -> str:
        return self.title

    # --- questions ---------------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """No event moves it any more."""
        return Status(self.status).ended

    def state(self) -> State:
        """The run as the value that `decide` works on."""
        rows = list(self.steps.order_by("position"))
        return State(
            steps=tuple(Step(row.kind, StepStatus(row.status), row.back) for row in rows),
            status=Status(self.status),
            marks=frozenset(Mark(mark) for mark in self.marks.values_list("mark", flat=True)),
            **{name: getattr(self, name) for name in _PLAIN},
        )

    def facts(self) -> dict[str, dict[str, Any]]:
        """What the steps behind have left, by kind; the way back's under `back:<kind>`."""
        rows = self.steps.exclude(facts={}).values_list("kind", "back", "facts")
        return {f"back:{kind}" if back else kind: facts for kind, back, facts in rows}

    def outage(self, gate: str = "") -> str:
        """The outage across the end of a gate, in words; empty when there was none."""
        gates = self.steps.filter(deadline__isnull=False, **({"kind": gate} if gate else {}))
        return " ".join(words for step in gates if (words := step.outage))

    # --- verbs -------------------------------------------------------------------------------------------------------

    def wake(self, *, at: datetime | None = None) -> None:
        """Ask a worker to look at this run, now or later. Carries no data: the rows are the truth."""
        durable.wake("run", self.pk, self.lock_key, at=at)

    def apply(
        self, event: Event, *, now: datetime, token: int | None = None, facts: StepFacts | None = None
    ) -> Decision:
        """Write what follows from the event, in one transaction with all that hears of it.

        `token`: the worker's fence token; None for people. Raises FencedOff when another worker has taken over, and
        NotAllowed when the event does not fit.
        """
        with transaction.atomic():
            fresh = Run.objects.get_queryset().select_for_update().get(pk=self.pk)
            if token is not None and fresh.token != token:
                raise FencedOff(f"Another worker has taken over {self.title}.")
            decision = decide(fresh.state(), event)
            fresh._write(decision, event, facts, now=now)
            subjects.of(fresh.kind).heard(fresh, event, decision, now=now)
        self.refresh_from_db()
        return decision

    def reach(self, mark: Mark, *, token: int, now: datetime) -> None:
        """Commit a mark before the act that it announces."""
        self.apply(Reached(mark), token=token, now=now)

    def release(self, *, token: int) -> None:
        """Give the lock of this token back; a run that has ended or waits for an approval holds nothing."""
        Hold.objects.filter(key=self.lock_key, run=self, token=token).update(run=None, since=None)

    def _write(self, decision: Decision, event: Event, facts: StepFacts | None, *, now: datetime) -> None:
        state = decision.state
        if isinstance(event, Reached):
            self.marks.get_or_create(mark=event.mark, defaults={"at": now, "token": self.token})
        # Each tile tells its own failure; `cause` stays the first one of the run.
        error = getattr(event, "reason", "") or state.cause
        self._write_steps(state, facts, error=error, now=now)
        for name in _PLAIN:
            setattr(self, name, getattr(state, name))
        self.status = state.status
        self.begun_at = self.begun_at or now
        self.ended_at = now if state.status.ended else None
        self.save()
        if decision.line:
            LogChunk.objects.note(self, decision.line, now=now)
        if isinstance(event, DeadlinePassed) and (outage := self.outage(event.gate)):
            LogChunk.objects.note(self, outage, now=now)

    def _write_steps(self, state: State, facts: StepFacts | None, *, error: str, now: datetime) -> None:
        rows = list(self.steps.order_by("position"))
        for row, step in zip(rows, state.steps, strict=False):
            row.follow(step, facts, error=error, now=now)
        added = enumerate(state.steps[len(rows) :], start=len(rows))
        StepRun.objects.bulk_create(StepRun(run=self, position=i, kind=s.kind, back=s.back) for i, s in added)


_PLAIN = ("first", "screen_was_up", "abort_by", "rollback_by", "code_only", "extended", "cause", "undoable")
