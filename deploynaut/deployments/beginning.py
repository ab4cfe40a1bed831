"""How a deployment begins: what must hold, then rows in one transaction. Every door comes through here."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import require, who_may
from deploynaut.accounts.roles import Right, Role
from deploynaut.deployments import comparison, promotion
from deploynaut.deployments import plan as plans
from deploynaut.deployments.approval import approvers, require_settled
from deploynaut.deployments.bars import Bar
from deploynaut.deployments.kept_commits import begin_keep
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.engine.pipeline import Notice, PipelineSpec, SpecError, StepStatus, To
from deploynaut.instances import closures
from deploynaut.instances.models import Commit, Environment
from deploynaut.instances.revisions import By, Revision, RevisionNotFound
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

FURTHEST = timedelta(days=365)
"""How far ahead a release may be planned."""
BREAK_GLASS_REASON = 20


class CannotBegin(Exception):
    """A deployment may not begin now; the text says why and what to do."""


class AlreadyOpen(CannotBegin):
    """The environment has an open deployment; `deployment` is the one."""

    def __init__(self, deployment: Deployment, *, now: datetime) -> None:
        self.deployment = deployment
        minutes = int((now - deployment.begun_at).total_seconds() // 60)
        since = "just now" if minutes < 1 else f"{minutes} min ago"
        super().__init__(
            f"{deployment.initiator.name} began {deployment} ({deployment.revision}) {since}. "
            f"Wait until it has ended, or ask {_managers(deployment.environment)} to abort it."
        )


def _managers(environment: Environment) -> str:
    people = who_may(Right.ABORT, instance=environment.instance_id, environment=environment.pk)
    return " or ".join(user.name for user in people[:3]) or "an Instance Manager"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for. `override`, `break_glass`: reasons; empty when neither is meant."""

    by: User
    revision: Revision
    instead_of: Deployment | None = None
    scheduled_for: datetime | None = None
    override: str = ""
    break_glass: str = ""

    def right(self, environment: Environment) -> Right:
        """What it takes."""
        if self.break_glass:
            return Right.BREAK_GLASS
        return Right.BEGIN_PRODUCTION if environment.production else Right.RELEASE_TEST

    def plain(self) -> Wish:
        """With its reasons as they are kept: on one line, nothing hidden in them. Raises ValidationError."""
        override = reason_of(self.override, needed=False, field="override")
        glass = self.break_glass and reason_of(self.break_glass, least=BREAK_GLASS_REASON, field="break_glass")
        return replace(self, override=override, break_glass=glass)


def begin(environment: Environment, wish: Wish, *, now: datetime) -> Deployment:
    """Begin the release process. One transaction: deployment, run, steps, audit; then a worker is woken.

    Raises NotAllowed (no right), CannotBegin (what is missing), AlreadyOpen, NotPromoted, RevisionNotFound,
    ValidationError (`break_glass`, `override`, `scheduled_for`).
    """
    where = {"instance": environment.instance_id, "environment": environment.pk, "place": environment.place}
    require(wish.by, wish.right(environment), **where)  # type: ignore[arg-type]
    wish = wish.plain()
    if wish.break_glass:
        require_settled(wish.by, Right.BREAK_GLASS, environment, now=now)
    with transaction.atomic():
        # The row lock makes two clicks stand in line; the constraint is what guarantees it.
        environment = Environment.objects.select_for_update().select_related("instance").get(pk=environment.pk)
        _alone(environment, wish, now=now)
        spec = ready(environment)
        known(environment, wish.revision)
        wish = _allowed_now(environment, wish, now=now)
        _guarded(environment, spec, wish)
        return _create(environment, spec, wish, now)


# --- what must hold --------------------------------------------------------------------------------------------------


def _alone(environment: Environment, wish: Wish, *, now: datetime) -> None:
    """No other deployment is open; `instead_of` is aborted first, which must end it at once. Raises AlreadyOpen."""
    from deploynaut.deployments.models import Deployment

    other = Deployment.objects.open_on(environment)
    if other is not None and wish.instead_of is not None and wish.instead_of.pk == other.pk:
        with suppress(NotNow):
            # It may have ended meanwhile; then nothing is in the way.
            other.abort(by=wish.by, now=now)
        other = Deployment.objects.open_on(environment)
    if other is not None:
        raise AlreadyOpen(other, now=now)


def ready(environment: Environment) -> PipelineSpec:
    """What must be there before anything begins. Raises CannotBegin with the first thing that is missing."""
    if not environment.ready_targets().filter(web=True).exists():
        raise CannotBegin(
            f"{environment} has no target that is set up and serves pages. Add one, or check its connection."
        )
    try:
        environment.make_recipe()
        return environment.spec()
    except (SpecError, ValueError) as error:
        raise CannotBegin(f"The settings of {environment} cannot be used: {error}") from None


def known(environment: Environment, revision: Revision) -> None:
    """The revision is one of this instance; an earlier release really was one."""
    from deploynaut.deployments.models import Deployment

    if not Commit.objects.filter(instance=environment.instance_id, hex=revision.commit).exists():
        raise RevisionNotFound(f"Commit {revision.commit} is not in {environment.instance}. Fetch the latest changes.")
    if revision.by is By.RELEASE:
        earlier = Deployment.objects.filter(environment__instance=environment.instance_id, commit=revision.commit)
        if not earlier.exists():
            raise RevisionNotFound(f"{revision.commit[:7]} has not been released in {environment.instance} before.")


def _allowed_now(environment: Environment, wish: Wish, *, now: datetime) -> Wish:
    """No bar, lock or freeze, and a planned time that can be: the wish, with its override only where it counted.

    Raises CannotBegin, NotAllowed, ValidationError.
    """
    bar = Bar.objects.standing(environment, wish.revision.commit)
    if bar is not None:
        raise CannotBegin(bar.words)
    if wish.scheduled_for is not None and not now < wish.scheduled_for <= now + FURTHEST:
        raise ValidationError({"scheduled_for": "Choose a time that is still to come, within a year."})
    closure = closures.why_closed(environment, now=wish.scheduled_for or now)
    if closure is None:
        # Kept, it would open a freeze to come for somebody whose right to that nobody has asked for.
        return replace(wish, override="")
    if closure.by is not closures.By.FREEZE or not wish.override:
        raise CannotBegin(closure.words)
    closures.override(environment, closure, by=wish.by, reason=wish.override, now=now)
    return wish


def _guarded(environment: Environment, spec: PipelineSpec, wish: Wish) -> None:
    """What production demands beside. Raises CannotBegin, NotPromoted."""
    if not environment.production:
        if wish.break_glass:
            raise CannotBegin(f"{environment} needs no approval, so there is no glass to break.")
        return
    if not wish.break_glass and not approvers(environment, without=wish.by):
        raise CannotBegin(
            f"Nobody but you could approve a release to {environment}. Give somebody else the role first."
        )
    promotion.require_promoted(environment, wish.revision.commit, spec=spec)
    ops = User.objects.with_role(Role.OPS, instance=environment.instance_id, environment=environment.pk)
    if not ops.exists() and not spec.notify.get("rollback_failed"):
        raise CannotBegin(
            f"Nobody would hear of a failed rollback of {environment}: give somebody the role Ops, or add "
            "`rollback_failed` to `notify` in the pipeline file."
        )


# --- the rows --------------------------------------------------------------------------------------------------------


def _create(environment: Environment, spec: PipelineSpec, wish: Wish, now: datetime) -> Deployment:
    from deploynaut.deployments.models import Deployment

    environment.last_number += 1
    environment.save(update_fields=["last_number"])
    deployment = Deployment(
        environment=environment,
        number=environment.last_number,
        commit=wish.revision.commit,
        chosen_by=wish.revision.by,
        chosen_name=wish.revision.name,
        initiator=wish.by,
        begun_at=now,
        scheduled_for=wish.scheduled_for,
        override=wish.override,
        break_glass=wish.break_glass,
    )
    deployment.run = _run(deployment, spec, now)
    freeze(deployment, spec)
    Run.objects.filter(pk=deployment.run_id).update(subject_id=deployment.pk)
    _record(deployment, wish, now)
    if environment.production or wish.scheduled_for is not None:
        begin_keep(deployment, now=now)
    if environment.production:
        comparison.begin(deployment, now=now)
    if wish.break_glass:
        _without_approval(deployment, now=now)
    return deployment


def _run(deployment: Deployment, spec: PipelineSpec, now: datetime) -> Run:
    from deploynaut.deployments.models import Deployment

    where = deployment.environment
    return Run.objects.begin(
        kind="deployment",
        subject_id=0,
        title=str(deployment),
        lock_key=where.lock,
        steps=spec.kinds,
        now=now,
        # On production the planned time opens the confirm gate instead; approval is asked for at once.
        not_before=None if where.production else deployment.scheduled_for,
        undoable=True,
        first=Deployment.objects.known_good(where) is None,
        screen_was_up=Deployment.objects.left_in_maintenance(where),
    )


def freeze(deployment: Deployment, spec: PipelineSpec) -> None:
    """Write into the deployment what it would do as its environment stands now: pipeline, recipe, targets, plan."""
    from deploynaut.deployments.models import Deployment

    where = deployment.environment
    came_from = promotion.promoted(where, deployment.commit, spec=spec) if where.production else None
    deployment.pipeline = where.pipeline
    deployment.recipe, deployment.recipe_options = where.recipe, where.recipe_options
    deployment.back_to = Deployment.objects.known_good(where)
    deployment.promoted_from = came_from
    # People know it by the branch or tag that went to UAT.
    deployment.chosen_name = deployment.chosen_name or (came_from.chosen_name if came_from else "")
    deployment.digest = came_from.digest if came_from else deployment.digest
    deployment.save()
    deployment.targets.set(where.ready_targets())
    found = plans.frozen(deployment, spec)
    deployment.stored_plan, deployment.plan_hash = found.as_json(), found.hash
    deployment.save(update_fields=["stored_plan", "plan_hash"])


def _record(deployment: Deployment, wish: Wish, now: datetime) -> None:
    after = {
        "commit": deployment.commit,
        "chosen by": f"{wish.revision.by} {wish.revision.name}".strip(),
        "plan": deployment.plan_hash,
        "planned for": str(wish.scheduled_for or ""),
        "override": wish.override,
    }
    audit.record("release begun", actor=wish.by, subject=deployment.as_subject(), after=after, now=now)


def _without_approval(deployment: Deployment, *, now: datetime) -> None:
    """Break glass replaces the approval alone: its tile is skipped, and everybody who could have approved is told."""
    from deploynaut.deployments.messages import tell

    reason = deployment.break_glass
    words = f"Break glass by {deployment.initiator.name}: {reason}"[:300]
    deployment.run.steps.filter(kind="approval").update(status=StepStatus.SKIPPED, summary=words)
    audit.record("glass broken", actor=deployment.initiator, subject=deployment.as_subject(),
                 after={"reason": reason}, now=now)  # fmt: skip
    tell(deployment, Notice("break glass", (To.MANAGERS,)), now=now)
