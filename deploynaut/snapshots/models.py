"""Snapshots: database (later also assets) of an environment at one moment, in an encrypted file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models

from deploynaut.instances.models import Environment
from deploynaut.runs.models import Run

AUTOMATIC_DAYS = timedelta(days=30)
SAFETY_DAYS = timedelta(days=30)
"""How long a pipeline's backup, and the safety snapshot of a way back, are kept at least."""


class SnapshotManager(models.Manager["Snapshot"]):
    """Notes snapshots that steps have made."""

    def note(self, *, environment: Environment, run: Run, source: str, stored: dict[str, Any]) -> Snapshot | None:
        """The row of a snapshot file a step has stored and read back; None when there was nothing to save."""
        if not stored.get("name"):
            return None
        taken_at = datetime.fromisoformat(stored["taken_at"])
        found, _ = self.update_or_create(
            name=stored["name"],
            defaults={
                "environment": environment,
                "run": run,
                "source": source,
                "size": stored["size"],
                "sha256": stored["sha256"],
                "inventory": stored.get("inventory", ""),
                "taken_at": taken_at,
                "checked_at": taken_at,
                "pinned_until": taken_at + (AUTOMATIC_DAYS if source == Snapshot.Source.BACKUP else SAFETY_DAYS),
            },
        )
        return found


class Snapshot(models.Model):
    """One stored file. `sha256`: of the stored bytes. `checked_at`: when it was last read back whole."""

    class Source(models.TextChoices):
        """What made it."""

        BACKUP = "backup", "backup before a release"
        SAFETY = "safety", "safety copy before going back"

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="snapshots")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="snapshots")
    name = models.CharField(max_length=200, unique=True)
    source = models.CharField(max_length=20, choices=Source.choices)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    inventory = models.TextField(blank=True)
    taken_at = models.DateTimeField()
    checked_at = models.DateTimeField(null=True)
    pinned_until = models.DateTimeField(null=True)

    objects = SnapshotManager()

    class Meta:
        ordering: ClassVar = ["-taken_at"]

    def __str__(self) -> str:
        return self.name
