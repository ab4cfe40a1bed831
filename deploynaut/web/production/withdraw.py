"""Withdraw what passed UAT, with a reason: it cannot be chosen for production any more."""

from __future__ import annotations

from django.http import HttpRequest

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.deployments.models import Deployment
from deploynaut.web import abilities, scope
from deploynaut.web.abilities import Ability
from deploynaut.web.production.acts import Reasoned


class Withdraw(Reasoned):
    """The page that asks for the reason, then the act."""

    title = "Withdraw this release"
    button = "Withdraw"
    look = "stop"

    def ability(self, request: HttpRequest, found: Deployment) -> Ability:
        """It succeeded on UAT, and this person may release there."""
        return abilities.withdraw(scope.person(request), scope.rights_of(request), found)

    def does(self, found: Deployment) -> str:
        """What becomes of it."""
        return (
            f"{found.revision} ({found.commit[:7]}) can then not be chosen for production any more, and releases of it "
            f"that wait there are refused. If it is live on {found.environment.name}, the release before is deployed "
            "again."
        )

    def do(self, found: Deployment, *, by: User, reason: str) -> tuple[Deployment, str]:
        """Take it out; where it is live, the page of the deployment that goes back is shown."""
        back = found.withdraw(by=by, reason=reason, now=now())
        words = f"{found.commit[:7]} is withdrawn."
        return (back, f"{words} The release before is being deployed again.") if back else (found, words)
