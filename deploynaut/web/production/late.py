"""A click that came too late, twice or about something else: 409, with who did what when, and what to do next."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from deploynaut.deployments.gates import StalePlan, TooEarly, Voided
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import NotAllowed
from deploynaut.web import looks, scope

_HEADINGS: tuple[tuple[type[Exception], str, str], ...] = (
    (StalePlan, "The plan has changed", "Look at the request as it is now, and answer again."),
    (Voided, "The approval is void", "The page of the release says what is asked now."),
    (TooEarly, "Not yet", "Come back then: the page of the release keeps waiting."),
)


def late(request: HttpRequest, deployment: Deployment, error: NotAllowed) -> HttpResponse:
    """Nothing was done; why, and how it stands now."""
    fresh = scope.deployments(scope.rights_of(request)).get(pk=deployment.pk)
    found = (words for kind, *words in _HEADINGS if isinstance(error, kind))
    title, then = next(found, ["That came too late", ""])
    context = {
        "deployment": fresh,
        "title": title,
        "words": str(error),
        "then": then,
        "look": looks.of_status(fresh.run.status),
        "stale": isinstance(error, StalePlan),
    }
    return render(request, "web/production/late.html", context, status=409)
