"""Compares a release with the live one, in the worker: no page ever asks git."""

from __future__ import annotations

from typing import Any

from deploynaut.deployments.models import Deployment
from deploynaut.engine.repository import Commit, Mirror, RepositoryError
from deploynaut.engine.steps.base import StepFailed, StepResult
from deploynaut.instances.fetching import mirror_of
from deploynaut.instances.secrets import hide
from deploynaut.runs.models import Run
from deploynaut.runs.subjects import Work

COMMITS, FILES, BODY = 100, 400, 2000
"""How many commits and files are kept, and how much of a message."""


def compare(run: Run, work: Work) -> StepResult:
    """Commits and files that change when the release goes live. Raises StepFailed."""
    deployment = Deployment.objects.get_queryset().for_page().get(pk=run.subject_id)
    hide(work, ("instance", deployment.environment.instance_id))
    live = Deployment.objects.live_on([deployment.environment]).get(deployment.environment_id)
    try:
        found = differences(mirror_of(deployment.environment.instance), live.commit if live else "", deployment.commit)
    except RepositoryError as error:
        raise StepFailed(str(error)) from error
    return StepResult(f"{found['included_count']} commits, {found['files_count']} files", found)


def differences(mirror: Mirror, before: str, after: str) -> dict[str, Any]:
    """What `after` brings and leaves out against `before` (empty: there is none), as it is stored."""
    if not before:
        newest = mirror.commits(after, limit=20)
        return {"before": "", "included": [*map(_stored, newest)], "included_count": len(newest), "files_count": 0}
    included, included_count = mirror.between(before, after, limit=COMMITS)
    left_out, left_out_count = mirror.between(after, before, limit=COMMITS)
    touched = mirror.touched(before, after)
    return {
        "before": before,
        "included": [*map(_stored, included)],
        "included_count": included_count,
        "left_out": [*map(_stored, left_out)],
        "left_out_count": left_out_count,
        "files": [{"path": one.path, "how": one.how, "size": one.size} for one in touched[:FILES]],
        "files_count": len(touched),
    }


def _stored(commit: Commit) -> dict[str, str]:
    return {
        "id": commit.id,
        "subject": commit.subject[:500],
        "body": commit.body[:BODY],
        "author": commit.author[:200],
        "at": commit.committed_at.isoformat(),
    }
