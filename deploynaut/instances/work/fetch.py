"""Fetches a repository with its deploy key and refreshes the index."""

from __future__ import annotations

import time

from deploynaut.engine.repository import RepositoryError
from deploynaut.engine.steps.base import StepFailed, StepResult
from deploynaut.instances import index
from deploynaut.instances.fetching import mirror_of
from deploynaut.instances.models import Instance
from deploynaut.instances.secrets import hide
from deploynaut.runs.models import Run
from deploynaut.runs.subjects import Work


def fetch(run: Run, work: Work) -> StepResult:
    """`git fetch`, then the index; the log shows git's progress, not more than a line a second."""
    instance = Instance.objects.get(pk=run.subject_id)
    hide(work, ("instance", instance.pk))
    work.log(f"fetching {instance.repository}")
    try:
        mirror = mirror_of(instance)
        mirror.fetch(progress=_Progress(work), guard=work.guard)
        branches, tags = index.refresh(instance, mirror, now=work.clock())
    except RepositoryError as error:
        raise StepFailed(str(error)) from error
    return StepResult(f"{branches} branches and {tags} tags", {"branches": branches, "tags": tags})


class _Progress:
    """Git counts thousands of times a second; people want a line when something changes."""

    def __init__(self, work: Work) -> None:
        self._work, self._said, self._phase = work, 0.0, ""

    def __call__(self, phase: str, percent: int | None) -> None:
        now = time.monotonic()
        if phase == self._phase and now - self._said < 1:
            return
        self._said, self._phase = now, phase
        self._work.log(phase if percent is None else f"{phase}: {percent} %")
