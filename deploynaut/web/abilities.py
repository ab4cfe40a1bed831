"""May this person do that here, and if not, why not: the words next to a button that cannot be pressed."""

from __future__ import annotations

from dataclasses import dataclass

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import NotAllowed, UserRights
from deploynaut.accounts.roles import Right
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import Status
from deploynaut.instances.models import Environment, Instance


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether; `reason` says why not, and whom to ask or what to do."""

    reason: str = ""

    @property
    def yes(self) -> bool:
        """It may be pressed."""
        return not self.reason


def deploy(user: User, rights: UserRights, environment: Environment, *, ready: bool) -> Ability:
    """Begin a release here. `ready`: the environment has a target that is set up."""
    right = Right.BEGIN_PRODUCTION if environment.production else Right.RELEASE_TEST
    refused = _refused(user, rights, right, environment)
    if refused.reason:
        return refused
    if not ready:
        return Ability("No target is set up yet.")
    return Ability()


def abort(user: User, rights: UserRights, deployment: Deployment) -> Ability:
    """Abort Pipeline."""
    if deployment.status.ended:
        return Ability("This deployment has ended.")
    own = deployment.initiator_id == user.pk
    refused = _refused(user, rights, Right.ABORT, deployment.environment, own=own)
    if refused.reason:
        return refused
    if deployment.status is Status.ROLLING_BACK:
        return Ability("The site is already going back. That is always finished.")
    if deployment.run.abort_by:
        return Ability(f"{deployment.run.abort_by} asked to abort. The step in hand is being stopped.")
    return Ability()


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
