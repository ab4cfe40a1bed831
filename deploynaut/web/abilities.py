"""May this person do that here, and if not, why not: the words next to a button that cannot be pressed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import NotAllowed, UserRights
from deploynaut.accounts.roles import Right
from deploynaut.deployments.approval import may_answer, require_settled
from deploynaut.deployments.bars import lifting
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import Status
from deploynaut.instances import closures
from deploynaut.instances.closures import Closure
from deploynaut.instances.models import Environment, Instance


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether; `reason` says why not, and whom to ask or what to do."""

    reason: str = ""

    @property
    def yes(self) -> bool:
        """It may be pressed."""
        return not self.reason


def deploy(
    user: User, rights: UserRights, environment: Environment, *, ready: bool, closed: Closure | None = None
) -> Ability:
    """Begin a release here. `ready`: the environment has a target that is set up. `closed`: by a lock or a freeze."""
    right = Right.BEGIN_PRODUCTION if environment.production else Right.RELEASE_TEST
    refused = _refused(user, rights, right, environment)
    if refused.reason:
        return refused
    if not ready:
        return Ability("No target is set up yet.")
    if closed is not None and not may_override(rights, environment, closed):
        return Ability(closed.words)
    return Ability()


def may_override(rights: UserRights, environment: Environment, closed: Closure) -> bool:
    """This freeze does not count for this person, when they give a reason. A lock counts for everybody."""
    freeze = closed.by is closures.By.FREEZE
    return freeze and rights.may(Right.OVERRIDE_FREEZE, instance=environment.instance_id, environment=environment.pk)


def break_glass(user: User, rights: UserRights, environment: Environment, *, now: datetime) -> Ability:
    """Begin a production release that nobody approves."""
    refused = _refused(user, rights, Right.BREAK_GLASS, environment)
    if refused.reason:
        return refused
    try:
        require_settled(user, Right.BREAK_GLASS, environment, now=now)
    except NotAllowed as refusal:
        return _words(refusal)
    return Ability()


def abort(user: User, rights: UserRights, deployment: Deployment) -> Ability:
    """Abort Pipeline."""
    if deployment.status.ended:
        return Ability("This deployment has ended.")
    refused = _refused(user, rights, Right.ABORT, deployment.environment, own=deployment.is_own(user))
    if refused.reason:
        return refused
    if deployment.status is Status.ROLLING_BACK:
        return Ability("The site is already going back. That is always finished.")
    if deployment.run.abort_by:
        return Ability(f"{deployment.run.abort_by} asked to abort. The step in hand is being stopped.")
    return Ability()


def answer(user: User, deployment: Deployment, *, now: datetime) -> Ability:
    """Approve or reject."""
    return Ability(may_answer(user, deployment, now=now))


def start(user: User, rights: UserRights, deployment: Deployment, *, now: datetime) -> Ability:
    """The final Deploy."""
    own = deployment.is_own(user)
    right = Right.BREAK_GLASS if own and deployment.break_glass else Right.TAKE_OVER_ATTENDANCE
    refused = _refused(user, rights, right, deployment.environment, own=own)
    if refused.reason:
        return refused
    if deployment.attendant.pk != user.pk:
        return Ability(f"{deployment.attendant.name} attends this release. Take over attendance first.")
    if deployment.scheduled_for and deployment.scheduled_for > now:
        return Ability(f"Planned for {deployment.scheduled_for:%-d %B %Y, %H:%M} UTC.")
    closed = closures.why_closed(deployment.environment, now=now)
    if closed is None or (closed.by is closures.By.FREEZE and deployment.override):
        return Ability()
    return Ability(closed.words)


def take_over(user: User, rights: UserRights, deployment: Deployment) -> Ability:
    """Attend the release in place of whoever does."""
    if deployment.attendant.pk == user.pk:
        return Ability("You attend this release already.")
    return _refused(user, rights, Right.TAKE_OVER_ATTENDANCE, deployment.environment)


def roll_back(user: User, rights: UserRights, deployment: Deployment) -> Ability:
    """Rollback, Dismiss and the extension of the window."""
    return _refused(user, rights, Right.ROLL_BACK, deployment.environment, own=deployment.is_own(user))


def extend(user: User, rights: UserRights, deployment: Deployment) -> Ability:
    """Keep the window open once more."""
    if deployment.run.extended:
        return Ability("The window has been extended once; that is all there is.")
    return roll_back(user, rights, deployment)


def withdraw(user: User, rights: UserRights, deployment: Deployment) -> Ability:
    """Take what passed UAT out of promotion."""
    if deployment.environment.production:
        return Ability("A release of production is rolled back in its window; it cannot be withdrawn.")
    if deployment.withdrawn_at is not None:
        return Ability("It has been withdrawn already.")
    if deployment.status is not Status.SUCCEEDED:
        return Ability("Only what succeeded can be withdrawn.")
    return _refused(user, rights, Right.RELEASE_TEST, deployment.environment)


def lift(user: User, rights: UserRights, environment: Environment) -> Ability:
    """Let a revision in again that was rolled back here."""
    return _refused(user, rights, lifting(environment), environment)


def resolve(user: User, rights: UserRights, environment: Environment) -> Ability:
    """Say which release is live after a failed rollback."""
    right = Right.MAINTENANCE if environment.production else Right.MAINTENANCE_TEST
    if rights.may(Right.MAINTENANCE, instance=environment.instance_id, environment=environment.pk):
        return Ability()
    return _refused(user, rights, right, environment)


def edit(user: User, rights: UserRights, environment: Environment) -> Ability:
    """Change the environment's settings and targets."""
    return _refused(user, rights, Right.EDIT_ENVIRONMENT, environment)


def fetch(user: User, rights: UserRights, instance: Instance, *, unknown: bool) -> Ability:
    """Fetch latest changes. `unknown`: the host key of the repository's server waits for a person."""
    if rights.may(Right.FETCH, instance=instance.pk):
        return Ability("The repository's server must be confirmed first." if unknown else "")
    return _words(NotAllowed(user, Right.FETCH, instance=instance.pk, environment=None, place=instance.name))


def add_environment(user: User, rights: UserRights, instance: Instance) -> Ability:
    """Add an environment to the instance, and confirm the host key of its repository."""
    right = Right.EDIT_ENVIRONMENT
    if rights.may(right, instance=instance.pk):
        return Ability()
    return _words(NotAllowed(user, right, instance=instance.pk, environment=None, place=instance.name))


def create_instance(user: User, rights: UserRights) -> Ability:
    """Create an instance."""
    if rights.may(Right.CREATE_INSTANCE):
        return Ability()
    return _words(NotAllowed(user, Right.CREATE_INSTANCE, instance=None, environment=None))


def _refused(user: User, rights: UserRights, right: Right, environment: Environment, *, own: bool = False) -> Ability:
    instance, key = environment.instance_id, environment.pk
    if rights.may(right, instance=instance, environment=key, own=own):
        return Ability()
    return _words(NotAllowed(user, right, instance=instance, environment=key, place=environment.place))


def _words(refusal: NotAllowed) -> Ability:
    return Ability(str(refusal))
