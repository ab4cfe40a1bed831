"""The tiles of a run, left to right; the way back is a second row under the tile that failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Avg, DurationField, ExpressionWrapper, F

from deploynaut.engine.pipeline import GATES, Status, StepStatus
from deploynaut.runs.models import Run, StepRun
from deploynaut.web import looks

HISTORY = 5
"""How many earlier good deployments say how long a step usually takes."""
BUSY = frozenset({StepStatus.RUNNING, StepStatus.WAITING})
BEHIND = frozenset({StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.STOPPED, StepStatus.SKIPPED})


@dataclass(frozen=True, slots=True)
class Tile:
    """One step as it is shown. `usual`: seconds it took lately, None when it never ran here. `who`: a person's part."""

    step: StepRun
    label: str
    look: looks.Look
    seconds: int | None
    usual: int | None
    column: int = 0
    who: str = ""
    first_cause: str = ""

    @property
    def say(self) -> str:
        """What it has to tell: why it failed, or what came of it. The way back does not repeat what it is there for."""
        if self.step.error:
            return "Failed too: its log says why." if self.step.error == self.first_cause else self.step.error
        return self.step.summary or self.who

    @property
    def busy(self) -> bool:
        """A progress bar belongs here."""
        return self.step.status == StepStatus.RUNNING

    @property
    def waits(self) -> bool:
        """A person's choices belong here, or the clock's."""
        return self.step.status == StepStatus.WAITING

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1; a step in hand never claims to be finished."""
        if self.step.status in BEHIND:
            return 1.0
        if not self.busy or self.seconds is None:
            return 0.0
        return min(0.95, self.seconds / self.usual) if self.usual else 0.5


@dataclass(frozen=True, slots=True)
class Tiles:
    """Both rows."""

    forward: tuple[Tile, ...]
    back: tuple[Tile, ...]

    @property
    def all(self) -> tuple[Tile, ...]:
        """In the order in which they run."""
        return self.forward + self.back

    @property
    def current(self) -> Tile | None:
        """The step in hand."""
        return next((tile for tile in self.all if tile.step.status in BUSY), None)

    @property
    def worth_reading(self) -> Tile | None:
        """Whose log to show: the step in hand, else the one that failed, else the last that did something."""
        if self.current is not None and self.current.step.kind not in GATES:
            return self.current
        # What a gate has to say is on its tile; beside it the log of the last work is read.
        ran = [tile for tile in self.all if tile.step.begun_at is not None and tile.step.kind not in GATES]
        failed = (tile for tile in reversed(ran) if tile.step.status == StepStatus.FAILED)
        return next(failed, ran[-1] if ran else None)

    @property
    def percent(self) -> int:
        """How far the whole is, 0 to 100."""
        return round(100 * sum(tile.share for tile in self.all) / len(self.all)) if self.all else 0


def tiles(run: Run, *, usual: Mapping[str, int], now: datetime, who: Mapping[str, str] | None = None) -> Tiles:
    """The tiles of the run as of now. `who`: whose part a gate was, by its kind. One query."""
    steps = list(run.steps.order_by("position"))
    stopped = f"stopped by {run.abort_by}" if run.abort_by else ""
    if run.rollback_by:
        stopped = f"{run.rollback_by} pressed Rollback"
    forward = [step for step in steps if not step.back]
    back = [step for step in steps if step.back]
    under = min(_failed_column(forward), max(1, len(forward) - len(back) + 1))
    return Tiles(
        forward=tuple(
            _tile(step, usual, now, column=i + 1, who=_whose(step, stopped, who or {}), cause="")
            for i, step in enumerate(forward)
        ),
        back=tuple(
            _tile(step, usual, now, column=under + i, who=_whose(step, stopped, {}), cause=run.cause)
            for i, step in enumerate(back)
        ),
    )


def _tile(step: StepRun, usual: Mapping[str, int], now: datetime, *, column: int, who: str, cause: str) -> Tile:
    return Tile(
        step=step,
        label=looks.label(step.kind, back=step.back),
        look=looks.of_step(step.status),
        seconds=_seconds(step, now),
        # How long people take is nobody's measure.
        usual=None if step.kind in GATES else usual.get(f"back:{step.kind}" if step.back else step.kind),
        column=min(column, 7),
        first_cause=cause,
        who=who,
    )


def _whose(step: StepRun, stopped: str, who: Mapping[str, str]) -> str:
    """A person's part in this tile, in words."""
    if step.status == StepStatus.STOPPED:
        return stopped
    if step.status not in (StepStatus.SUCCEEDED, StepStatus.FAILED):
        return ""
    if step.kind == "rollback_window" and step.deadline and step.ended_at:
        return "dismissed" if step.ended_at < step.deadline else "closed by itself"
    return who.get(step.kind, "")


def _seconds(step: StepRun, now: datetime) -> int | None:
    if step.begun_at is None or step.status == StepStatus.SKIPPED:
        return None
    return max(0, int(((step.ended_at or now) - step.begun_at).total_seconds()))


def _failed_column(forward: Sequence[StepRun]) -> int:
    """Where the way back begins: under the step that failed or was stopped."""
    for index, step in enumerate(forward):
        if step.status in (StepStatus.FAILED, StepStatus.STOPPED):
            return index + 1
    return 1


def usual_seconds(environment: int) -> dict[str, int]:
    """How long each step took lately on the environment, by kind. One query."""
    good = Run.objects.filter(deployment__environment=environment, status=Status.SUCCEEDED).order_by("-pk")
    lately: Iterable[int] = good.values("pk")[:HISTORY]  # type: ignore[assignment]
    took = ExpressionWrapper(F("ended_at") - F("begun_at"), output_field=DurationField())
    found = (
        StepRun.objects.filter(run__in=lately, status=StepStatus.SUCCEEDED, back=False, ended_at__isnull=False)
        .order_by()
        .values_list("kind")
        .annotate(mean=Avg(took))
    )
    return {kind: max(1, round(_span(mean))) for kind, mean in found}


def _span(mean: timedelta) -> float:
    return mean.total_seconds()
