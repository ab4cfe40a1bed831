"""Whom the entries of a pipeline's `ask` stand for on one environment: a role's people, or the user of an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import who_are, who_may
from deploynaut.accounts.roles import Right, Role
from deploynaut.accounts.same_person import persons, same_person

if TYPE_CHECKING:
    from deploynaut.instances.models import Environment

ROLES = {"deployment-managers": Role.DEPLOYMENT_MANAGER, "instance-managers": Role.INSTANCE_MANAGER}
"""The words that stand for everybody with a role."""


def people(environment: Environment, entry: str) -> list[User]:
    """Those who may approve there now, of the ones an entry names."""
    where = {"instance": environment.instance_id, "environment": environment.pk}
    if entry in ROLES:
        return list(who_are(ROLES[entry], **where))
    return list(who_may(Right.APPROVE, **where).filter(email=entry.strip().lower()))


def may(environment: Environment, entry: str) -> bool:
    """Whether an entry may approve. A role may, even while nobody has it."""
    return entry in ROLES or bool(people(environment, entry))


def persons_of(environment: Environment, entry: str) -> frozenset[int]:
    """The people an entry stands for, by the id of one account of each: two accounts of one person count once."""
    each = persons(who_may(Right.APPROVE, instance=environment.instance_id, environment=environment.pk))
    named = people(environment, entry)
    return frozenset(one.pk for one in each if any(same_person(one, user) for user in named))
