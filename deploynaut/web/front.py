"""The front page: what waits for me, what needs a person, what is going on, what happened lately."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from deploynaut.accounts.clock import now
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments.models import Deployment
from deploynaut.web import attention, overview, scope, waiting
from deploynaut.web.production.standing import standing

RECENT = 10
GLASS = timedelta(days=30)
"""How long broken glass is shown to everybody who sees the environment."""


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """What waits for me, needs attention, running now, break glass, recent deployments."""
    rights, user, moment = scope.rights_of(request), scope.person(request), now()
    mine = scope.deployments(rights)
    recent = list(mine.filter(active=False).order_by("-run__ended_at", "-pk")[:RECENT])
    running = list(mine.filter(active=True).order_by("begun_at"))
    needs = attention.items(rights)
    glass = _glass(rights, now=moment)
    context = {
        "running": standing(running, now=moment),
        "mine": waiting.for_me(user, rights, moment),
        "attention": needs,
        "urgent": any(item.bad for item in needs),
        "recent": recent,
        "glass": glass,
        "subjects": overview.commit_subjects([*running, *recent, *glass]),
        "instances": scope.instances(rights).count(),
        "now": moment,
    }
    return render(request, "web/front.html", context)


def _glass(rights: UserRights, *, now: datetime) -> list[Deployment]:
    """Releases that nobody approved, of the last 30 days."""
    found = scope.deployments(rights).exclude(break_glass="").filter(begun_at__gt=now - GLASS)
    return list(found.order_by("-begun_at", "-pk"))
