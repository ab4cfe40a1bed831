"""The worker's part of Resolved: the targets are asked which release is live."""

from __future__ import annotations

from deploynaut.deployments.context import context
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.resolution import Resolution
from deploynaut.engine.steps.base import StepResult
from deploynaut.engine.steps.resolve import resolve
from deploynaut.runs.models import Run
from deploynaut.runs.subjects import Work


def prove(run: Run, work: Work) -> StepResult:
    """Prove what was said; nothing is changed when it is not so."""
    resolution = Resolution.objects.select_related("release").get(run=run)
    deployment = Deployment.objects.get_queryset().for_page().get(pk=resolution.deployment_id)
    step = run.steps.get()
    return resolve(context(deployment, run, step, work), resolution.release.number)
