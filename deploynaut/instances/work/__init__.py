"""What the worker does for an instance beside releasing: fetch, keys, host keys, setting up and checking targets."""

from __future__ import annotations

from datetime import timedelta

from deploynaut.runs import subjects

ROOM = "deploynaut.instances.work"


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
        subjects.register(kind, subjects.Simple(f"{ROOM}.{task}", limit=timedelta(minutes=minutes)))
