"""What a change of an instance's roles must not do: leave it without a manager, or with nobody to approve."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.core.exceptions import ValidationError

from deploynaut.accounts.grants import Grant
from deploynaut.accounts.people import User
from deploynaut.accounts.roles import RIGHTS, Right, Role, roles_with
from deploynaut.accounts.same_person import persons, same_person

NEEDED = 2
"""So many people must be able to approve on production: nobody approves a release of their own."""


def check_giving(*, by: User | None, to: User, role: Role) -> None:
    """Raise ValidationError (`person`) when somebody would make an approver of themselves, or of a second account."""
    if by is not None and Right.APPROVE in RIGHTS[role] and same_person(by, to):
        raise ValidationError({"person": f"{role.label} may approve releases. Somebody else must give you that role."})


def check_taking(*, to: User, role: Role, instance: int, environment: int | None, production: Collection[int]) -> None:
    """Raise ValidationError (`role`) when the last Instance Manager or an approver who is needed would go.

    `production`: the instance's production environments. Call it inside the transaction that takes the role.
    """
    rest = _others(to, role, instance, environment)
    if role is Role.INSTANCE_MANAGER and environment is None and not _instance_managers(rest):
        words = f"{to.name} is the only Instance Manager. Give the role to somebody else first."
        raise ValidationError({"role": words})
    if Right.APPROVE in RIGHTS[role]:
        for place in production if environment is None else {environment}.intersection(production):
            _check_approvers(to, rest, place, instance)


def _others(to: User, role: Role, instance: int, environment: int | None) -> list[Grant]:
    """The grants that stay, of people who may log in. Locked: two takings at one moment do not both find the other."""
    grants = Grant.objects.select_for_update().filter(instance_id=instance, user__is_active=True).select_related("user")
    gone = (to.pk, role.value, environment)
    return [one for one in grants if (one.user_id, one.role, one.environment_id) != gone]


def _instance_managers(grants: Iterable[Grant]) -> list[Grant]:
    return [one for one in grants if one.role == Role.INSTANCE_MANAGER and one.environment_id is None]


def _check_approvers(to: User, rest: Iterable[Grant], place: int, instance: int) -> None:
    left = [one.user for one in rest if one.role in roles_with(Right.APPROVE) and one.environment_id in (None, place)]
    people, before = persons(left), persons([*left, to] if to.is_active else left)
    # Who keeps the right by another role, or was there twice, or is disabled, takes nothing away.
    if len(people) >= NEEDED or len(people) == len(before):
        return
    who = " and ".join(one.name for one in people)
    words = f"Then {who} alone could approve a release to production" if who else "Then nobody could approve a release"
    raise ValidationError({"role": f"{words}, and nobody approves their own. Give the role to somebody else first."})
