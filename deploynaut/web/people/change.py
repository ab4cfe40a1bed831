"""Giving and taking a role of an instance, and how it went in words."""

from __future__ import annotations

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.accounts.roles import Role
from deploynaut.instances import proposals
from deploynaut.instances.models import Environment, Instance


def change(*, instance: Instance, environment: Environment | None, by: User, to: User, role: Role, give: bool) -> str:
    """What happened. Raises NotAllowed, ValidationError, AlreadyGiven, NotGiven, BadGrant."""
    proposal = proposals.change_role(
        instance=instance, environment=environment, by=by, to=to, role=role, give=give, now=now()
    )
    place = environment.place if environment else instance.name
    if proposal is not None:
        return (
            f"Proposed: {proposal.title}. It waits until another Instance Manager, Deployment Manager or Administrator "
            "confirms it; nothing has changed yet."
        )
    if give:
        return f"{to.name} is {role.label} of {place} now."
    return f"{to.name} is not {role.label} of {place} any more, and logged out everywhere."
