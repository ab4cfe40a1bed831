"""Promotion: only what passed UAT may go to production (decisions, "Production").

A revision may be promoted when a deployment of it to `promote_from` succeeded, no test of it was excused, nobody has
withdrawn it since, and it has not been rolled back there since. Asked when a release is begun, approved and started,
at every door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from deploynaut.engine.pipeline import PipelineSpec, SpecError, Status
from deploynaut.instances.models import Environment, Kind

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment


class NotPromoted(ValueError):
    """The revision may not go to production; the text says why and what to do."""


def source(environment: Environment, spec: PipelineSpec | None = None) -> Environment | None:
    """The environment that releases come from; None where the pipeline names none, or it is not there any more."""
    try:
        name = (spec or environment.spec()).promote_from
    except SpecError:
        return None
    return Environment.objects.filter(instance=environment.instance_id, name=name, kind=Kind.UAT).first()


def promotable(environment: Environment) -> list[Deployment]:
    """What may be released to this production environment: the newest passing deployment of each revision, newest
    first."""
    came_from = source(environment)
    if came_from is None:
        return []
    once: dict[str, Deployment] = {}
    for deployment in _passed(came_from):
        once.setdefault(deployment.commit, deployment)
    return list(once.values())


def promoted(environment: Environment, commit: str, *, spec: PipelineSpec | None = None) -> Deployment | None:
    """The deployment to UAT by which this commit may be released here; None when there is none now."""
    came_from = source(environment, spec)
    if came_from is None:
        return None
    return next((one for one in _passed(came_from, commit=commit)), None)


def require_promoted(environment: Environment, commit: str, *, spec: PipelineSpec) -> Deployment:
    """The deployment to UAT by which this commit may be released here. Raises NotPromoted."""
    found = promoted(environment, commit, spec=spec)
    if found is None:
        raise NotPromoted(why_not(environment, commit, spec=spec))
    return found


def why_not(environment: Environment, commit: str, *, spec: PipelineSpec) -> str:
    """Why this commit may not be released here, and what to do."""
    from deploynaut.deployments.models import Deployment

    came_from = source(environment, spec)
    if came_from is None:
        return f"{environment} takes releases from {spec.promote_from!r}, and {environment.instance} has no such UAT."
    last = Deployment.objects.get_queryset().for_page().filter(environment=came_from, commit=commit).first()
    short, again = commit[:7], f"Release it to {came_from.name} first."
    match last:
        case None:
            return f"{short} has never been released to {came_from.name}. {again}"
        case _ if last.withdrawn_at is not None and last.withdrawn_by is not None:
            by = last.withdrawn_by.name
            return f"{by} withdrew {short} from {came_from.name}: {last.withdrawn_reason}. Choose another revision."
        case _ if last.run.status == Status.SUCCEEDED:
            return f"{short} passed {came_from.name} only because a failing test was excused. {again}"
        case _:
            return f"{last} of {short} ended as {last.run.status}, so it has not passed {came_from.name}. {again}"


def _passed(came_from: Environment, *, commit: str = "") -> list[Deployment]:
    from deploynaut.deployments.models import Deployment

    there = Deployment.objects.get_queryset().filter(environment=came_from)
    since = there.filter(commit=models.OuterRef("commit"), number__gt=models.OuterRef("number"))
    found = there.for_page().good().filter(excused=False).exclude(models.Exists(since.filter(run__status__in=_BACK)))
    return list(found.filter(commit=commit) if commit else found)


_BACK = (Status.ROLLED_BACK, Status.ROLLBACK_FAILED)
"""What was released to UAT once more and had to be put back has not passed, whatever it did before."""
