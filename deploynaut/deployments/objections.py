"""What has become of a release since it was begun or approved: asked at each gate, and when work begins.

Each answer is an event for `decide`: the approval is void and asked for again, or the release is refused for good.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from deploynaut.accounts.audit import THE_HOUSE
from deploynaut.accounts.rights import Rights
from deploynaut.accounts.roles import Right
from deploynaut.deployments import plan as plans
from deploynaut.deployments import promotion
from deploynaut.deployments.approval import may_answer
from deploynaut.engine.pipeline import Event, GateRefused, PipelineSpec, PlanChanged, SpecError
from deploynaut.engine.recipes import RecipeError
from deploynaut.instances import closures

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment


def objection(deployment: Deployment, *, gate: str, now: datetime) -> Event | None:
    """What keeps the deployment from passing this gate as it is; None when nothing does."""
    where = deployment.environment
    try:
        refused = _refused(deployment, where.spec())
        if refused:
            return GateRefused(gate, THE_HOUSE, refused)
        changed = plans.differences(deployment.plan, plan_now(deployment))
    except (SpecError, RecipeError) as error:
        return GateRefused(gate, THE_HOUSE, f"the settings of {where} cannot be used any more: {error}")
    if changed:
        return PlanChanged("; ".join(changed))
    return PlanChanged(gone) if gate == "confirm" and (gone := _approver_gone(deployment, now=now)) else None


def plan_now(deployment: Deployment) -> plans.Plan:
    """The plan as the environment stands now."""
    from deploynaut.deployments.models import Deployment

    where = deployment.environment
    spec = where.spec()
    came_from = promotion.promoted(where, deployment.commit, spec=spec)
    return plans.make(
        commit=deployment.commit,
        tree=plans.tree_of(where.instance_id, deployment.commit),
        digest=came_from.digest if came_from else deployment.plan.digest,
        spec=spec,
        recipe=where.recipe,
        options=where.recipe_options,
        targets=where.ready_targets(),
        back_to=Deployment.objects.known_good(where),
    )


def at_the_line(deployment: Deployment, *, now: datetime) -> str:
    """Why the work may not begin although Deploy was pressed; empty when it may. Asked once, when `prepare` begins."""
    closed = closed_now(deployment, now=now)
    if closed is not None:
        return closed.words.rstrip(".")
    if not deployment.environment.production:
        return _person_gone(deployment)
    if plans.frozen(deployment, deployment.spec()).hash != deployment.plan_hash:
        return "What would run is not what was approved"
    if not deployment.break_glass:
        answer = deployment.answer
        if answer is None or not answer.approved or answer.plan_hash != deployment.plan_hash:
            return "There is no approval of this plan"
        gone = _approver_gone(deployment, now=now)
        if gone:
            return gone
    # From Deploy on the frozen plan runs, whatever has become of the pipeline file since.
    return _refused(deployment, deployment.spec()) or _person_gone(deployment)


def closed_now(deployment: Deployment, *, now: datetime) -> closures.Closure | None:
    """The lock or freeze that keeps this release now; a freeze does not count that somebody has overridden for it."""
    found = closures.why_closed(deployment.environment, now=now)
    overridden = found is not None and found.by is closures.By.FREEZE and deployment.override
    return None if overridden else found


def _refused(deployment: Deployment, spec: PipelineSpec) -> str:
    where = deployment.environment
    found = promotion.promoted(where, deployment.commit, spec=spec)
    return "" if found else promotion.why_not(where, deployment.commit, spec=spec).rstrip(".")


def _approver_gone(deployment: Deployment, *, now: datetime) -> str:
    """The approver may no longer approve here."""
    approver = deployment.approver
    if approver is None or deployment.break_glass:
        return ""
    return "" if not may_answer(approver, deployment, now=now) else f"{approver.name} may no longer approve here"


def _person_gone(deployment: Deployment) -> str:
    """Whoever attends the release may no longer release here."""
    where, who = deployment.environment, deployment.attendant
    if deployment.break_glass and who.pk == deployment.initiator_id:
        right = Right.BREAK_GLASS
    else:
        right = Right.BEGIN_PRODUCTION if where.production else Right.RELEASE_TEST
    if Rights.of(who).may(right, instance=where.instance_id, environment=where.pk):
        return ""
    return f"{who.name} may no longer release to {where.place}"
