"""Puts together what a step is given: connections, mirror, stores, facts. For the worker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from deploynaut.deployments.models import Deployment
from deploynaut.engine.connections import ConnectionFailed, Fenced
from deploynaut.engine.databases.files import SnapshotFiles
from deploynaut.engine.packages import PackageStore
from deploynaut.engine.pipeline import SpecError
from deploynaut.engine.steps.base import KnownGood, StepContext, StepFailed, TargetHost
from deploynaut.instances.fetching import mirror_of
from deploynaut.instances.models import Environment
from deploynaut.instances.reach import reached
from deploynaut.instances.secrets import hide, opener
from deploynaut.runs.models import Run, StepRun
from deploynaut.runs.subjects import Work


def context(deployment: Deployment, run: Run, step: StepRun, work: Work) -> StepContext:
    """The context of one step. A host that cannot be reached is a StepFailed, on the way back only when it is used."""
    where = deployment.environment
    hide(work, ("environment", where.pk), ("instance", where.instance_id))
    targets = deployment.targets.select_related("environment__instance")
    try:
        hosts = reached(targets, run=run, work=work, take_over=not step.back)
    except Fenced:
        raise
    except ConnectionFailed as error:
        raise StepFailed(str(error)) from error
    return _context(deployment, run, step, work, hosts)


def _context(deployment: Deployment, run: Run, step: StepRun, work: Work, hosts: tuple[TargetHost, ...]) -> StepContext:
    environment = deployment.environment
    try:
        spec = deployment.spec()
    except SpecError as error:
        raise StepFailed(f"The pipeline that was frozen when this began cannot be read any more: {error}") from error
    return StepContext(
        **place(environment, run, work, back_to=deployment.back_to, number=deployment.number),
        commit=deployment.commit,
        targets=hosts,
        recipe=deployment.make_recipe(),
        spec=spec,
        facts=run.facts(),
        marks=run.state().marks,
        digest=deployment.digest,
        screen_was_up=run.screen_was_up,
        code_only=run.code_only,
        aborted=bool(run.abort_by),
        way_back=step.back,
    )


def place(environment: Environment, run: Run, work: Work, *, back_to: Deployment | None, number: int) -> dict[str, Any]:
    """What a step is given wherever it works there: release `number`, the stores, the runner, what is live."""
    live = Deployment.objects.live_on([environment]).get(environment.pk)
    return {
        "run": run.title,
        "number": number,
        "production": environment.production,
        "mirror": mirror_of(environment.instance),
        "packages": packages(),
        "snapshots": snapshots(),
        "back_to": KnownGood(back_to.number, back_to.commit, back_to.digest) if back_to else None,
        "live": live.number if live else None,
        # Cleanup leaves these alone.
        "kept": frozenset({number} | {one.number for one in (live, back_to) if one is not None}),
        "log": work.log,
        "guard": work.guard,
        "mark": work.mark,
        "clock": work.clock,
        "hosts": environment.allowed_hosts,
        "patience": timedelta(seconds=settings.DEPLOYNAUT_PATIENCE),
        "answer_within": timedelta(seconds=settings.DEPLOYNAUT_ANSWER_WITHIN),
    }


def packages() -> PackageStore:
    """The shared store of packages."""
    return PackageStore(Path(settings.DEPLOYNAUT_DATA) / "packages")


def snapshots() -> SnapshotFiles:
    """The shared store of snapshots."""
    keys = opener()
    return SnapshotFiles(Path(settings.DEPLOYNAUT_DATA) / "snapshots", recipient=keys.recipient, identity=keys.identity)
