"""The page of one environment: what runs there, the one next action, its targets, its history."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from deploynaut.accounts.clock import now
from deploynaut.deployments.models import Deployment
from deploynaut.web import abilities, overview, scope
from deploynaut.web.deployments.tiles import Tiles, tiles, usual_seconds
from deploynaut.web.environments import targets
from deploynaut.web.fragments import page
from deploynaut.web.instances import keys


@dataclass(frozen=True, slots=True)
class Open:
    """The open deployment with its tiles."""

    deployment: Deployment
    tiles: Tiles


@require_safe
def environment(request: HttpRequest, instance: str, environment: str) -> HttpResponse:
    """Current build, open deployment, targets, Deploy history."""
    rights = scope.rights_of(request)
    user = scope.person(request)
    found = scope.environment(rights, instance, environment)
    (row,) = overview.rows([found])
    history = page(request, Deployment.objects.get_queryset().for_page().filter(environment=found).order_by("-number"))
    context = {
        "environment": found,
        "row": row,
        "deploy": row.deploy(user, rights),
        "open": _open(row.open),
        "edit": abilities.edit(user, rights, found),
        "key": keys.of_environment(found.pk),
        "history": history,
        "subjects": overview.commit_subjects(history),
        **targets.part_context(found),
        **targets.form_context({}, {}),
    }
    return render(request, "web/environments/page.html", context)


def _open(deployment: Deployment | None) -> Open | None:
    if deployment is None:
        return None
    usual = usual_seconds(deployment.environment_id)
    return Open(deployment, tiles(deployment.run, usual=usual, now=now()))
