"""Giving and taking the roles of an instance, with what must hold afterwards."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from deploynaut.accounts.grants import AlreadyGiven, BadGrant, NotGiven
from deploynaut.accounts.members import check_giving, check_taking
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.roles import RIGHTS, Right, Role
from deploynaut.instances.models import Environment, Instance, Kind
from deploynaut.instances.proposal import ProposalKind, Wish
from deploynaut.runs.models import Run


def change(
    *,
    instance: Instance,
    environment: Environment | None,
    by: User | None,
    to: User,
    role: Role,
    give: bool,
    now: datetime,
) -> None:
    """Give or take it, now. Call it in a transaction. Raises NotAllowed, ValidationError, and what grants raise."""
    check(instance=instance, environment=environment, by=by, to=to, role=role, give=give)
    act = Grant.objects.give if give else Grant.objects.take
    act(
        by=by,
        to=to,
        role=role,
        now=now,
        instance=instance.pk,
        environment=environment.pk if environment else None,
        place=environment.place if environment else instance.name,
    )
    # Whoever has approved a release that waits for Deploy may have lost the right to.
    for where in [environment] if environment else instance.environments.all():
        Run.objects.wake_waiting(where.lock)


def check(
    *, instance: Instance, environment: Environment | None, by: User | None, to: User, role: Role, give: bool
) -> None:
    """Raise ValidationError at the field (`role`, `person`), AlreadyGiven, NotGiven or BadGrant."""
    where = Q(instance_id=instance.pk, environment_id=environment.pk if environment else None)
    given = Grant.objects.filter(where, user=to, role=role).exists()
    if role is Role.ADMINISTRATOR or (environment is not None and environment.instance_id != instance.pk):
        raise BadGrant(f"{role.label} cannot be given there.")
    if give and not to.is_active:
        raise BadGrant(f"{to.name} is disabled. Enable them first.")
    if give and given:
        raise AlreadyGiven(f"{to.name} is {role.label} there already.")
    if not give and not given:
        raise NotGiven(f"{to.name} is not {role.label} there.")
    if give:
        check_giving(by=by, to=to, role=role)
        return
    guarded = instance.environments.filter(kind=Kind.PRODUCTION, released_at__isnull=False)
    production = list(guarded.values_list("pk", flat=True))
    narrowed = environment.pk if environment else None
    check_taking(to=to, role=role, instance=instance.pk, environment=narrowed, production=production)


def guarded(instance: Instance, environment: Environment | None, role: Role) -> bool:
    """Whether two people change this: a role that may approve, where production has been released to."""
    if Right.APPROVE not in RIGHTS[role]:
        return False
    places = instance.environments.filter(kind=Kind.PRODUCTION, released_at__isnull=False)
    return (places if environment is None else places.filter(pk=environment.pk)).exists()


def wish(*, to: User, role: Role, environment: Environment | None, give: bool, place: str) -> Wish:
    """The change as a proposal has it."""
    what = {"person": to.pk, "name": to.name, "address": to.email, "role": role.value}
    title = f"Make {to.name} {role.label} of {place}" if give else f"Take {role.label} of {place} from {to.name}"
    about = f"{to.pk}:{role.value}:{environment.pk if environment else ''}"
    return Wish(ProposalKind.ROLE, title, {**what, "given": not give}, {**what, "given": give}, about)
