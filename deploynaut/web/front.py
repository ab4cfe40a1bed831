"""The front page: what is going on, what needs a person, what happened lately."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from deploynaut.web import attention, overview, scope

RECENT = 10


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """Running now, needs attention, recent deployments."""
    rights = scope.rights_of(request)
    mine = scope.deployments(rights)
    recent = list(mine.filter(active=False).order_by("-run__ended_at", "-pk")[:RECENT])
    running = list(mine.filter(active=True).order_by("begun_at"))
    waiting = attention.items(rights)
    context = {
        "running": running,
        "attention": waiting,
        "urgent": any(item.bad for item in waiting),
        "recent": recent,
        "subjects": overview.commit_subjects([*running, *recent]),
        "instances": scope.instances(rights).count(),
    }
    return render(request, "web/front.html", context)
