"""Sets a target up (release 0) and checks a connection, telling the truth line by line."""

from __future__ import annotations

from deploynaut.engine.connections import ConnectionFailed
from deploynaut.engine.steps.base import StepFailed, StepResult
from deploynaut.engine.steps.check import check_connection
from deploynaut.engine.steps.set_up import set_up_target
from deploynaut.instances.models import Target
from deploynaut.instances.reach import reached
from deploynaut.instances.secrets import hide
from deploynaut.runs.models import Run
from deploynaut.runs.subjects import Work


def set_up(run: Run, work: Work) -> StepResult:
    """Lay out release 0; repeated on a target that is set up, it changes nothing."""
    target = _target(run, work)
    try:
        (host,) = reached([target], run=run, work=work)
        facts = set_up_target(host, recipe=target.environment.make_recipe(), log=work.log)
    except ConnectionFailed as error:
        raise StepFailed(str(error)) from error
    Target.objects.filter(pk=target.pk, set_up_at=None).update(set_up_at=work.clock())
    Run.objects.wake_waiting(target.environment.lock)
    return StepResult(f"{target} is set up", facts)


def check(run: Run, work: Work) -> StepResult:
    """Check connection: every line is asked of the host; one that fails fails the check."""
    target = _target(run, work)
    try:
        (host,) = reached([target], run=run, work=work)
        lines = check_connection(host, recipe=target.environment.make_recipe(), log=work.log)
    except ConnectionFailed as error:
        raise StepFailed(str(error)) from error
    bad = [line for line in lines if not line.ok]
    if bad:
        raise StepFailed(f"{len(bad)} of {len(lines)} checks failed: " + "; ".join(line.text for line in bad))
    return StepResult(f"all {len(lines)} checks passed")


def _target(run: Run, work: Work) -> Target:
    target = Target.objects.select_related("environment__instance").get(pk=run.subject_id)
    hide(work, ("environment", target.environment_id), ("instance", target.environment.instance_id))
    return target
