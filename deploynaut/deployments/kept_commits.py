"""A chosen commit is held on to in the mirror, so that no force push, deleted tag or prune takes it away."""

from __future__ import annotations

from datetime import datetime

from deploynaut.deployments.models import Deployment
from deploynaut.runs.models import Run

KIND = "keep_commit"


def begin_keep(deployment: Deployment, *, now: datetime) -> Run:
    """Have `refs/deploynaut/<deployment>` written in the mirror, before any later fetch of it. Call it when one begins.

    The lock of the repository puts it in line with fetches, which would forget the commit only weeks later anyway.
    """
    return Run.objects.begin(
        kind=KIND,
        subject_id=deployment.pk,
        title=f"keeping the commit of {deployment}",
        lock_key=deployment.environment.instance.repository_lock,
        steps=["keep"],
        now=now,
    )
