"""Let a revision in again that was rolled back here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from deploynaut.accounts.clock import now
from deploynaut.deployments.models import Bar
from deploynaut.web import abilities, scope
from deploynaut.web.fragments import problems


class Lift(View):
    """The page that asks for the reason, then the act."""

    def get(self, request: HttpRequest, instance: str, environment: str, pk: int) -> HttpResponse:
        """What it would do."""
        return self._page(request, _bar(request, instance, environment, pk))

    def post(self, request: HttpRequest, instance: str, environment: str, pk: int) -> HttpResponse:
        """Lift it."""
        bar, reason = _bar(request, instance, environment, pk), request.POST.get("reason", "")
        try:
            bar.lift(by=scope.person(request), reason=reason, now=now())
        except ValidationError as error:
            status = 409 if bar.lifted_at else 400
            return self._page(request, bar, {"problems": problems(error), "reason": reason[:2000]}, status=status)
        messages.success(request, f"{bar.commit[:7]} may be released to {bar.environment} again.")
        return redirect("release", instance, environment)

    def _page(
        self, request: HttpRequest, bar: Bar, more: Mapping[str, Any] | None = None, *, status: int = 200
    ) -> HttpResponse:
        rights = scope.rights_of(request)
        ability = abilities.lift(scope.person(request), rights, bar.environment)
        if bar.lifted_at:
            ability = abilities.Ability("Somebody has lifted that already.")
        context = {
            "deployment": bar.deployment,
            "title": f"Let {bar.commit[:7]} in again",
            "button": "Let it in again",
            "look": "main",
            "does": bar.words,
            "ability": ability,
            "back": bar.environment.get_absolute_url(),
        }
        return render(request, "web/production/reason.html", {**context, **(more or {})}, status=status)


def _bar(request: HttpRequest, instance: str, environment: str, pk: int) -> Bar:
    """Of this environment. Raises Http404."""
    where = scope.environment(scope.rights_of(request), instance, environment)
    bar = Bar.objects.filter(environment=where, pk=pk).select_related("deployment__environment__instance").first()
    if bar is None:
        raise Http404
    bar.environment = where
    return bar
