"""What `errands` names, done in the worker."""

from __future__ import annotations

from dataclasses import replace

from deploynaut.deployments.context import place
from deploynaut.deployments.counts import in_window
from deploynaut.deployments.models import Deployment
from deploynaut.engine.connections import ConnectionFailed, Fenced
from deploynaut.engine.databases import DatabaseFailed
from deploynaut.engine.repository import RepositoryError
from deploynaut.engine.steps.base import StepContext, StepFailed, StepResult, label_of
from deploynaut.engine.steps.dry_run import dry_run as rehearse
from deploynaut.engine.steps.saving import database_of
from deploynaut.instances.fetching import mirror_of
from deploynaut.instances.models import Environment
from deploynaut.instances.reach import reached
from deploynaut.instances.secrets import hide
from deploynaut.runs.models import Hold, LogChunk, Run
from deploynaut.runs.subjects import Work


def count_rows(run: Run, work: Work) -> StepResult:
    """Rows of each table of the live database, read only.

    It goes under the token that the deployment in its window has, and takes none of its own: a newer token would end
    what the deployment does there, while one that is its own lets a way back that begins meanwhile end the count.
    """
    deployment = Deployment.objects.select_related("environment__instance", "run").get(pk=run.subject_id)
    environment, database = deployment.environment, database_of(deployment.make_recipe())
    hold = Hold.objects.filter(key=environment.lock, run=deployment.run).first()
    if hold is None or database is None or not in_window(deployment):
        raise StepFailed(f"The rollback window of {deployment} is not open any more, so nothing was counted.")
    hide(work, ("environment", environment.pk), ("instance", environment.instance_id))
    targets = [target for target in deployment.targets.select_related("environment__instance") if target.db]
    try:
        once, *_ = reached(
            targets or deployment.targets.all()[:1], run=run, work=replace(work, token=hold.token), take_over=False
        )
        found = database.inventory(once.connection)
    except Fenced as error:
        raise StepFailed(f"The site is being worked on, so nothing was counted: {error}") from error
    except (ConnectionFailed, DatabaseFailed) as error:
        raise StepFailed(f"The rows could not be counted: {error}") from error
    tables = dict(found.tables) if found else {}
    work.log(found.text() if found else "there is no database now")
    rows = found.rows if found else 0
    return StepResult(f"{len(tables)} tables, {rows} rows", {"tables": tables, "at": work.clock().isoformat()})


def keep_commit(run: Run, work: Work) -> StepResult:
    """The chosen commit stays in the mirror under a ref of its own; when it cannot, the deployment's log says so."""
    deployment = Deployment.objects.select_related("environment__instance", "run").get(pk=run.subject_id)
    name = label_of(deployment.run.title)
    try:
        mirror_of(deployment.environment.instance).keep(deployment.commit, name=name)
    except RepositoryError as error:
        said = f"the commit could not be held on to: {error}"
        LogChunk.objects.note(deployment.run, said, now=work.clock())
        raise StepFailed(said) from error
    return StepResult(f"refs/deploynaut/{name} holds {deployment.commit[:7]}")


def dry_run(run: Run, work: Work) -> StepResult:
    """All but the touching, with the number that the next release would have."""
    environment = Environment.objects.select_related("instance").get(pk=run.subject_id)
    chosen = run.steps.get(kind="dry_run").facts
    hide(work, ("environment", environment.pk), ("instance", environment.instance_id))
    try:
        result = rehearse(_context(environment, run, work, commit=chosen["commit"]))
    except ConnectionFailed as error:
        if isinstance(error, Fenced):
            raise
        raise StepFailed(str(error)) from error
    return StepResult(result.summary, {**chosen, **result.facts})


def _context(environment: Environment, run: Run, work: Work, *, commit: str) -> StepContext:
    back_to = Deployment.objects.known_good(environment)
    return StepContext(
        **place(environment, run, work, back_to=back_to, number=environment.last_number + 1),
        commit=commit,
        targets=reached(environment.ready_targets().select_related("environment__instance"), run=run, work=work),
        recipe=environment.make_recipe(),
        spec=environment.spec(),
        facts={},
        marks=frozenset(),
        screen_was_up=Deployment.objects.left_in_maintenance(environment),
    )
