"""Every text that an environment's pipeline has had: who changed it, when and why."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from deploynaut.accounts.models import User
    from deploynaut.instances.models import Environment
    from deploynaut.instances.proposal import Proposal


class PipelineVersionManager(models.Manager["PipelineVersion"]):
    """Writes the history of pipelines."""

    def write(
        self, environment: Environment, *, by: User | None, now: datetime, reason: str, proposal: Proposal | None = None
    ) -> PipelineVersion:
        """The environment's text as it is now. Call it in the transaction that changes it."""
        return self.create(
            environment=environment, text=environment.pipeline, by=by, at=now, reason=reason, proposal=proposal
        )


class PipelineVersion(models.Model):
    """One text of a pipeline, kept for ever. `by` None is Deploynaut itself; `proposal`: the one that was confirmed."""

    environment = models.ForeignKey("instances.Environment", on_delete=models.PROTECT, related_name="pipeline_versions")
    text = models.TextField(blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField()
    reason = models.TextField(blank=True)
    proposal = models.ForeignKey("instances.Proposal", on_delete=models.PROTECT, null=True, related_name="+")

    objects = PipelineVersionManager()

    class Meta:
        ordering: ClassVar = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"pipeline of {self.environment}, {self.at:%Y-%m-%d %H:%M}"
