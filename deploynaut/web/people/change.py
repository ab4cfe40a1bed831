"""The one place where the pages give and take a role of an instance."""

from __future__ import annotations

from django.db import transaction

from deploynaut.accounts.clock import now
from deploynaut.accounts.members import check_giving, check_taking
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.roles import Role
from deploynaut.instances.models import Environment, Instance, Kind


@transaction.atomic
def change(*, instance: Instance, environment: Environment | None, by: User, to: User, role: Role, give: bool) -> str:
    """Give or take the role; what happened, in words. Raises NotAllowed, ValidationError, AlreadyGiven, NotGiven."""
    place = environment.place if environment else instance.name
    where = {"instance": instance.pk, "environment": environment.pk if environment else None}
    if give:
        check_giving(by=by, to=to, role=role)
        Grant.objects.give(by=by, to=to, role=role, now=now(), place=place, **where)
        return f"{to.name} is {role.label} of {place} now."
    production = instance.environments.filter(kind=Kind.PRODUCTION).values_list("pk", flat=True)
    check_taking(to=to, role=role, production=frozenset(production), **where)  # type: ignore[arg-type]
    Grant.objects.take(by=by, to=to, role=role, now=now(), place=place, **where)
    return f"{to.name} is not {role.label} of {place} any more, and logged out everywhere."
