"""Resolved: after a failed rollback somebody says which release is live; the worker asks the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View
from django.views.decorators.http import require_safe

from deploynaut.accounts.clock import now
from deploynaut.accounts.roles import Right
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.resolution import Resolution, resolve
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.web import abilities, overview, scope
from deploynaut.web.fragments import problems
from deploynaut.web.production.late import late

CHOICES = 20
LATELY = 20


@require_safe
def maintenance(request: HttpRequest) -> HttpResponse:
    """Every site that this person sees and that a failed rollback left behind its screen; how such states ended."""
    rights, user = scope.rights_of(request), scope.person(request)
    stuck = overview.stuck_for(rights)
    going = {one.deployment_id: one for one in _of(stuck) if not one.run.ended}
    seen = rights.environments(Right.SEE, instance="environment__instance_id", environment="environment_id")
    ended = Resolution.objects.filter(seen).select_related(*_RELATED).order_by("-pk")[:LATELY]
    rows = [(one, abilities.resolve(user, rights, one.environment), going.get(one.pk)) for one in stuck]
    context = {"rows": rows, "ended": ended, "subjects": overview.commit_subjects(stuck)}
    return render(request, "web/production/maintenance.html", context)


_RELATED = ("environment__instance", "deployment__environment__instance", "release", "by", "run")


def _of(deployments: list[Deployment]) -> list[Resolution]:
    return list(Resolution.objects.filter(deployment__in=deployments).select_related(*_RELATED).order_by("pk"))


class Resolve(View):
    """Which release is live, and why that is known."""

    def get(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """What there is to say; nothing is done by looking."""
        found = scope.deployment(scope.rights_of(request), instance, environment, number)
        return self._page(request, found)

    def post(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """Say it; the hosts are asked, and the page shows what they answer."""
        found = scope.deployment(scope.rights_of(request), instance, environment, number)
        live, reason = request.POST.get("live", "")[:18], request.POST.get("reason", "")
        typed = {"reason": reason[:2000], "picked": live}
        try:
            resolve(found, live_number=_number(live), reason=reason, by=scope.person(request), now=now())
        except ValidationError as error:
            return self._page(request, found, {"problems": problems(error), **typed}, status=400)
        except NotNow as error:
            return late(request, found, error)
        messages.success(request, "The hosts are being asked. The state ends when they say the same.")
        return redirect("resolve", instance, environment, number)

    def _page(
        self, request: HttpRequest, found: Deployment, more: Mapping[str, Any] | None = None, *, status: int = 200
    ) -> HttpResponse:
        rights, user = scope.rights_of(request), scope.person(request)
        # Read before the state, so that a try shown as ended is shown with what it has ended.
        tries = _of([found])
        left = Deployment.objects.left_behind(found.environment)
        stuck = left is not None and left.pk == found.pk
        ability = abilities.resolve(user, rights, found.environment)
        if not stuck:
            ability = abilities.Ability(f"{found.environment} is not left in maintenance by {found} any more.")
        context = {
            "deployment": found,
            "stuck": stuck,
            "ability": ability,
            "releases": _releases(found),
            "picked": str(found.back_to.number) if found.back_to else "",
            "last": tries[-1] if tries else None,
        }
        return render(request, "web/production/resolve.html", {**context, **(more or {})}, status=status)


def _releases(found: Deployment) -> list[Deployment]:
    """What may be live: this release, and those that stood before it, newest first."""
    before = Deployment.objects.get_queryset().for_page().filter(environment=found.environment).stood()
    return [found, *before.filter(number__lt=found.number).order_by("-number")[:CHOICES]]


def _number(text: str) -> int:
    """Raises ValidationError (`live_number`)."""
    if not (text.isascii() and text.isdigit()):
        raise ValidationError({"live_number": "Choose the release that is live."})
    return int(text)
