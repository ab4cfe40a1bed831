"""What the worker does around deployments, each a run of one task: count rows, dry runs, hold on to a commit."""

from __future__ import annotations

from datetime import timedelta

from deploynaut.runs import subjects

ROOM = "deploynaut.deployments.errand_work"


def register() -> None:
    """Hand the tasks to the runner."""
    tasks = {"row_count": ("count_rows", 15), "dry_run": ("dry_run", 60), "keep_commit": ("keep_commit", 5)}
    for kind, (task, minutes) in tasks.items():
        subjects.register(kind, subjects.Simple(f"{ROOM}.{task}", limit=timedelta(minutes=minutes)))
