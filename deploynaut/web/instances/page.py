"""The page of one instance: its environments, its repository and key, its revisions."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from deploynaut.instances.models import Instance, Ref
from deploynaut.web import abilities, overview, scope
from deploynaut.web.instances import keys, revisions
from deploynaut.web.instances.repository import repository

TABS = (("branches", "Branches"), ("tags", "Tags"), ("deployed", "Deployed"))


@require_safe
def instance(request: HttpRequest, instance: str) -> HttpResponse:
    """Environments, Repository, Public key, revisions."""
    rights = scope.rights_of(request)
    user = scope.person(request)
    found = scope.instance(rights, instance)
    rows = overview.rows(scope.environments(rights).filter(instance=found))
    context = {
        "instance": found,
        "rows": [(row, row.deploy(user, rights)) for row in rows],
        "add": abilities.add_environment(user, rights, found),
        "repository": repository(request, rights, found),
        "key": keys.of_instance(found),
        "forges": keys.FORGES,
        "tagged": Ref.objects.filter(instance=found, kind=Ref.Kind.TAG).exists(),
        "tabs": TABS,
        **_shown(request, found, rows),
    }
    return render(request, "web/instances/page.html", context)


def _shown(request: HttpRequest, instance: Instance, rows: list[overview.Row]) -> dict[str, Any]:
    on = revisions.currently_on(row.live for row in rows if row.live is not None)
    match request.GET.get("show"):
        case "tags":
            return {"show": "tags", **revisions.tags(request, instance, on)}
        case "deployed":
            return {"show": "deployed", **revisions.deployed(request, instance, [row.environment.pk for row in rows])}
        case _:
            return {"show": "branches", **revisions.branches(request, instance, on)}
