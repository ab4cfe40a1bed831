"""Extend the rollback window once, with a reason."""

from __future__ import annotations

from django.http import HttpRequest

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.deployments.models import Deployment
from deploynaut.web import abilities, scope
from deploynaut.web.abilities import Ability
from deploynaut.web.production.acts import Reasoned
from deploynaut.web.templatetags.shown import duration


class Extend(Reasoned):
    """The page that asks for the reason, then the act."""

    title = "Extend the rollback window"
    button = "Extend once"

    def ability(self, request: HttpRequest, found: Deployment) -> Ability:
        """Open, not extended yet, and this person's to extend."""
        if not found.run.steps.filter(kind="rollback_window", status="waiting").exists():
            return Ability("The rollback window is not open.")
        return abilities.extend(scope.person(request), scope.rights_of(request), found)

    def does(self, found: Deployment) -> str:
        """How long."""
        lasts = found.readable_spec().settings("rollback_window").lasts
        return (
            f"The window of {found} stays open once more as long ({duration(lasts)}). Meanwhile nothing else is "
            "released to this environment. It can be done once."
        )

    def do(self, found: Deployment, *, by: User, reason: str) -> tuple[Deployment, str]:
        """Once more as long."""
        found.extend(by=by, reason=reason, now=now())
        return found, f"The rollback window of {found} was extended."
