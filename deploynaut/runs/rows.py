"""The rows of a run: its tiles, the marks it has reached, and its log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models

from deploynaut.engine.pipeline import DeadlinePassed, EscalationDue, Event, Mark, Step, StepStatus
from deploynaut.runs.log_text import one_voice, stamped

if TYPE_CHECKING:
    from deploynaut.runs.models import Run


LATE = timedelta(seconds=60)
"""The end of a gate that is read later than this was missed while no worker was there."""


class StepFacts(dict[str, Any]):
    """Facts of the step in hand, with the words for its tile in `summary`."""

    def __init__(self, summary: str, facts: Any) -> None:
        super().__init__(facts)
        self.summary = summary


class StepRun(models.Model):
    """One tile of the progress bar: when it began, how it went, what it left for later steps."""

    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=40)
    back = models.BooleanField(default=False)
    status = models.CharField(max_length=20, choices=[(s, s) for s in StepStatus], default=StepStatus.PENDING)
    attempt = models.PositiveIntegerField(default=0)
    begun_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    deadline = models.DateTimeField(null=True)
    escalates_at = models.DateTimeField(null=True)
    summary = models.CharField(max_length=300, blank=True)
    error = models.TextField(blank=True)
    facts = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["run", "position"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "position"], name="one_step_a_position")]
        # What waits at gates is looked through every few seconds; only what is due may cost anything.
        indexes: ClassVar = [
            models.Index(fields=["deadline"], name="gate_ends", condition=models.Q(status="waiting")),
            models.Index(fields=["escalates_at"], name="gate_escalates", condition=models.Q(status="waiting")),
        ]

    def __str__(self) -> str:
        return f"{self.run}: {self.kind}"

    @property
    def next_at(self) -> datetime | None:
        """When something is due at this gate: the next group is asked, or it closes."""
        return min((at for at in (self.deadline, self.escalates_at) if at), default=None)

    @property
    def outage(self) -> str:
        """The outage across the end of this gate, in words; empty when its end was read in time, or somebody came."""
        if not self.deadline or not self.ended_at or self.ended_at - self.deadline <= LATE:
            return ""
        over, read = (f"{at:%H:%M} UTC on {at:%-d %B}" for at in (self.deadline, self.ended_at))
        return f"The time was over at {over}; Deploynaut was down or kept from looking until {read}."

    def due(self, *, now: datetime) -> Event | None:
        """What the clock has brought about here; the end comes before an escalation."""
        if self.deadline and self.deadline <= now:
            return DeadlinePassed(self.kind)
        return EscalationDue(self.kind) if self.escalates_at and self.escalates_at <= now else None

    def follow(self, step: Step, facts: StepFacts | None, *, error: str, now: datetime) -> None:
        """Take over what was decided for this step; `error`: why, when it has failed."""
        if step.status == self.status and facts is None:
            return
        begins = step.status in (StepStatus.RUNNING, StepStatus.WAITING)
        if begins and self.status != step.status:
            self.begun_at, self.attempt = now, self.attempt + 1
        if step.status == StepStatus.PENDING:
            # A gate that is asked again begins anew.
            self.begun_at = self.ended_at = self.deadline = self.escalates_at = None
        if step.status in _BEHIND and self.status not in _BEHIND:
            self.ended_at = None if step.status == StepStatus.SKIPPED else now
            self.error = error if step.status == StepStatus.FAILED else ""
            if facts is not None:
                self.facts, self.summary = dict(facts), facts.summary[:300]
        self.status = step.status
        self.save()


_BEHIND = frozenset({StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.STOPPED, StepStatus.SKIPPED})


class MarkReached(models.Model):
    """A mark, with the token of the worker that set it."""

    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="marks")
    mark = models.PositiveSmallIntegerField(choices=[(m.value, m.word) for m in Mark])
    token = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "mark"], name="one_row_a_mark")]

    def __str__(self) -> str:
        return f"{self.run}: {Mark(self.mark).word}"


class LogChunkManager(models.Manager["LogChunk"]):
    """Writes log text."""

    def note(self, run: Run, line: str, *, now: datetime) -> None:
        """A line of the pipeline log (the log of no step in particular)."""
        self.create(run=run, step=None, at=now, text=stamped(one_voice(line), now=now))


class LogChunk(models.Model):
    """A piece of a log, at most 64 KB; its id is the position that a live page resumes from."""

    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="log")
    step = models.ForeignKey(StepRun, null=True, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField()
    text = models.TextField()

    objects = LogChunkManager()

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [models.Index(fields=["run", "id"], name="log_of_run")]

    def __str__(self) -> str:
        return f"{self.run} log {self.pk}"
