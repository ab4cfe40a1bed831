"""The page of one environment: what runs there, the one next action, its targets, its history."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments.models import Bar, Deployment
from deploynaut.instances.models import Environment
from deploynaut.web import abilities, overview, scope
from deploynaut.web.deployments.tiles import Tiles, tiles, usual_seconds
from deploynaut.web.environments import targets
from deploynaut.web.fragments import page
from deploynaut.web.instances import keys
from deploynaut.web.production.gates import Gate, gate

BARS = 5


@dataclass(frozen=True, slots=True)
class Open:
    """The open deployment with its tiles, and the gate at which it waits."""

    deployment: Deployment
    tiles: Tiles
    gate: Gate | None


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
        "open": _open(row.open, user, rights),
        "bars": _bars(found),
        "lift": abilities.lift(user, rights, found),
        "edit": abilities.edit(user, rights, found),
        "key": keys.of_environment(found.pk),
        "history": history,
        "subjects": overview.commit_subjects(history),
        **targets.part_context(found),
        **targets.form_context({}, {}),
    }
    return render(request, "web/environments/page.html", context)


def _open(deployment: Deployment | None, user: User, rights: UserRights) -> Open | None:
    if deployment is None:
        return None
    usual, moment = usual_seconds(deployment.environment_id), now()
    found = tiles(deployment.run, usual=usual, now=moment)
    return Open(deployment, found, gate(deployment, user, rights, now=moment))


def _bars(environment: Environment) -> list[Bar]:
    """Revisions that are refused here since a rollback."""
    standing = Bar.objects.filter(environment=environment, lifted_at__isnull=True)
    return list(standing.select_related("deployment__environment__instance", "deployment__run").order_by("-pk")[:BARS])
