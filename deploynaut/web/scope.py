"""What a person may look at. What somebody may not see answers as if it were not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from django.db.models import QuerySet
from django.http import Http404, HttpRequest

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import Rights, UserRights
from deploynaut.accounts.roles import Right
from deploynaut.deployments.models import Deployment
from deploynaut.instances.models import Environment, Instance, KeyPair, Target
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.deployments.managers import DeploymentQuerySet


T = TypeVar("T")


def person(request: HttpRequest) -> User:
    """Who asks. The middleware lets nobody else through."""
    assert isinstance(request.user, User)
    return request.user


def instances(rights: UserRights) -> QuerySet[Instance]:
    """The instances this person may see."""
    return Instance.objects.filter(rights.instances(Right.SEE))


def environments(rights: UserRights) -> QuerySet[Environment]:
    """The environments this person may see, with their instances."""
    return Environment.objects.filter(rights.environments(Right.SEE)).select_related("instance")


def deployments(rights: UserRights) -> DeploymentQuerySet:
    """The deployments this person may see, with what a list shows."""
    where = rights.environments(Right.SEE, instance="environment__instance_id", environment="environment_id")
    return Deployment.objects.get_queryset().for_page().filter(where)


def instance(rights: UserRights, name: str) -> Instance:
    """The instance of that name. Raises Http404."""
    return _one(instances(rights).filter(name=name))


def environment(rights: UserRights, instance: str, name: str) -> Environment:
    """The environment of that name. Raises Http404."""
    return _one(environments(rights).filter(instance__name=instance, name=name))


def deployment(rights: UserRights, instance: str, environment: str, number: int) -> Deployment:
    """The deployment of that number. Raises Http404."""
    return _one(
        deployments(rights).filter(
            environment__instance__name=instance, environment__name=environment, number=_number(number)
        )
    )


def target(environment: Environment, pk: int) -> Target:
    """A target of the environment. Raises Http404."""
    return _one(environment.current_targets().filter(pk=_number(pk)))


def run(rights: UserRights, pk: int) -> Run:
    """A run whose subject this person may see. Raises Http404."""
    found = _one(Run.objects.filter(pk=_number(pk)))
    visible = _SEEN.get(found.kind)
    if visible is None or not visible(rights, found.subject_id):
        raise Http404
    return found


def _number(number: int) -> int:
    """SQLite holds 64 bits; an address may hold more. Raises Http404."""
    if number >= 2**63:
        raise Http404
    return number


def _one(found: Iterable[T]) -> T:
    for row in found:
        return row
    raise Http404


def _of_instance(rights: UserRights, pk: int) -> bool:
    return instances(rights).filter(pk=pk).exists()


def _of_target(rights: UserRights, pk: int) -> bool:
    return environments(rights).filter(targets=pk).exists()


def _of_deployment(rights: UserRights, pk: int) -> bool:
    return deployments(rights).filter(pk=pk).exists()


def _of_environment(rights: UserRights, pk: int) -> bool:
    return environments(rights).filter(pk=pk).exists()


def _of_resolution(rights: UserRights, pk: int) -> bool:
    return deployments(rights).filter(resolutions=pk).exists()


def _of_key(rights: UserRights, pk: int) -> bool:
    pair = KeyPair.objects.filter(pk=pk).first()
    if pair is None:
        return False
    owners = instances(rights) if pair.owner == KeyPair.Owner.INSTANCE else environments(rights)
    return owners.filter(pk=pair.owner_id).exists()


_SEEN: dict[str, Callable[[UserRights, int], bool]] = {
    "deployment": _of_deployment,
    "comparison": _of_deployment,
    "fetch": _of_instance,
    "repository_scan": _of_instance,
    "resolution": _of_resolution,
    "key": _of_key,
    "target_scan": _of_target,
    "target_set_up": _of_target,
    "target_check": _of_target,
    "row_count": _of_deployment,
    "keep_commit": _of_deployment,
    "dry_run": _of_environment,
}


def rights_of(request: HttpRequest) -> UserRights:
    """What this person may do, as of now: one query."""
    return Rights.of(person(request))
