"""Which role somebody has where, in words, for lists of people and of roles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deploynaut.accounts.models import Grant
from deploynaut.accounts.roles import Role
from deploynaut.instances.models import Environment, Instance


@dataclass(frozen=True, slots=True)
class Held:
    """A role that was given: `instance` is None for the whole system, `environment` None for the whole instance."""

    grant: Grant
    instance: Instance | None
    environment: Environment | None

    @property
    def role(self) -> str:
        """As people read it."""
        return Role(self.grant.role).label

    @property
    def place(self) -> str:
        """Where it holds."""
        if self.environment is not None:
            return str(self.environment)
        return self.instance.name if self.instance is not None else "the whole system"


def held(grants: Iterable[Grant]) -> list[Held]:
    """The grants with their places, by place and role. Two queries; a grant whose place is gone is left out."""
    rows = list(grants)
    instances = Instance.objects.in_bulk({row.instance_id for row in rows if row.instance_id})
    environments = Environment.objects.select_related("instance").in_bulk(
        {row.environment_id for row in rows if row.environment_id}
    )
    found = [
        Held(row, instances.get(row.instance_id or 0), environments.get(row.environment_id or 0))
        for row in rows
        if (not row.instance_id or row.instance_id in instances)
        and (not row.environment_id or row.environment_id in environments)
    ]
    return sorted(found, key=lambda one: (one.instance is not None, one.place, _ORDER[one.grant.role], one.grant.pk))


_ORDER = {role.value: number for number, role in enumerate(Role)}
