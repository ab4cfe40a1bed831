"""Puts together what a step is given: connections, mirror, stores, facts. For the worker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.conf import settings

from deploynaut.deployments.models import Deployment
from deploynaut.engine.connections import ConnectionFailed, Fenced
from deploynaut.engine.databases.files import SnapshotFiles
from deploynaut.engine.packages import PackageStore
from deploynaut.engine.pipeline import SpecError
from deploynaut.engine.steps.base import KnownGood, StepContext, StepFailed, TargetHost
from deploynaut.instances.fetching import mirror_of
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
        run=run.title,
        number=deployment.number,
        commit=deployment.commit,
        production=environment.production,
        targets=hosts,
        recipe=deployment.make_recipe(),
        spec=spec,
        mirror=mirror_of(environment.instance),
        packages=packages(),
        snapshots=snapshots(),
        facts=run.facts(),
        marks=run.state().marks,
        back_to=_known_good(deployment),
        live=_live(deployment),
        kept=_kept(deployment),
        log=work.log,
        guard=work.guard,
        mark=work.mark,
        clock=work.clock,
        digest=deployment.digest,
        screen_was_up=run.screen_was_up,
        code_only=run.code_only,
        aborted=bool(run.abort_by),
        hosts=environment.allowed_hosts,
        way_back=step.back,
        patience=timedelta(seconds=settings.DEPLOYNAUT_PATIENCE),
        answer_within=timedelta(seconds=settings.DEPLOYNAUT_ANSWER_WITHIN),
    )


def packages() -> PackageStore:
    """The shared store of packages."""
    return PackageStore(Path(settings.DEPLOYNAUT_DATA) / "packages")


def snapshots() -> SnapshotFiles:
    """The shared store of snapshots."""
    keys = opener()
    return SnapshotFiles(Path(settings.DEPLOYNAUT_DATA) / "snapshots", recipient=keys.recipient, identity=keys.identity)


def _known_good(deployment: Deployment) -> KnownGood | None:
    back = deployment.back_to
    return KnownGood(number=back.number, commit=back.commit, digest=back.digest) if back else None


def _live(deployment: Deployment) -> int | None:
    """The number of what runs there as far as we know."""
    live = Deployment.objects.live_on([deployment.environment]).get(deployment.environment_id)
    return live.number if live else None


def _kept(deployment: Deployment) -> frozenset[int]:
    """Releases that cleanup leaves alone: this one, the live one, and the one to go back to."""
    found = {deployment.number, _live(deployment), deployment.back_to and deployment.back_to.number}
    return frozenset(number for number in found if number)
