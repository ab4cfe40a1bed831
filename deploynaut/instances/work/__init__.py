"""What the worker does for an instance beside releasing: fetch, keys, host keys, setting up and checking targets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils.module_loading import import_string

from deploynaut.engine.pipeline import Decision, Event
from deploynaut.engine.steps.base import StepResult
from deploynaut.runs import subjects
from deploynaut.runs.models import Run, StepRun

Task = Callable[[Run, subjects.Work], StepResult]


class Simple:
    """A run of one task that just succeeds or fails. `task` is a dotted name: the web process never loads it."""

    def __init__(self, task: str, *, limit: timedelta) -> None:
        self._task, self._limit = task, limit

    def limit(self, run: Run, step: StepRun) -> timedelta:
        """The same for every run of the kind."""
        return self._limit

    def opens(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        """No gates here."""
        return None

    def perform(self, run: Run, step: StepRun, work: subjects.Work) -> StepResult:
        """Do the one task."""
        task: Task = import_string(f"deploynaut.instances.work.{self._task}")
        return task(run, work)

    def heard(self, run: Run, event: Event, decision: Decision, *, now: datetime) -> None:
        """The run's own rows tell all there is to tell."""


def register() -> None:
    """Hand the tasks to the runner."""
    tasks = {
        "fetch": ("fetch.fetch", 60),
        "key": ("keys.make_key", 2),
        "repository_scan": ("scans.scan_repository", 2),
        "target_scan": ("scans.scan_target", 2),
        "target_set_up": ("targets.set_up", 5),
        "target_check": ("targets.check", 5),
    }
    for kind, (task, minutes) in tasks.items():
        subjects.register(kind, Simple(task, limit=timedelta(minutes=minutes)))
