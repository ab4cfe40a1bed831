"""A chosen commit is held on to in the mirror, so that no force push, deleted tag or prune takes it away."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

KIND = "keep_commit"


def begin_keep(deployment: Deployment, *, now: datetime) -> Run:
    """Have `refs/deploynaut/<deployment>` written in the mirror, in line with its fetches. For one that begins now.

    `prepare` writes it too: this is for the time until then, which a person's answer may make long.
    """
    return Run.objects.begin(
        kind=KIND,
        subject_id=deployment.pk,
        title=f"keeping the commit of {deployment}",
        lock_key=deployment.environment.instance.repository_lock,
        steps=["keep"],
        now=now,
    )
