"""The approval page: what is asked, for whoever may answer, on a phone first. Looking at it does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.web import scope
from deploynaut.web.fragments import problems
from deploynaut.web.production.acts import require_fresh
from deploynaut.web.production.late import late
from deploynaut.web.production.request import request_for

ANSWERS = ("approve", "reject")


class Approval(View):
    """What is asked for, and the two answers. After an answer: what happens next, and who was told."""

    def get(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """The request as it stands."""
        return self._page(request, _found(request, instance, environment, number))

    def post(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """Approve or reject the plan whose hash the form brings along."""
        found = _found(request, instance, environment, number)
        answer, reason = request.POST.get("answer", ""), request.POST.get("reason", "")
        if answer not in ANSWERS:
            wrong = {"general": ["Press Approve or Reject."]}
            return self._page(request, found, {"problems": wrong, "reason": reason[:2000]}, status=400)
        try:
            _answer(request, found, scope.person(request), approved=answer == "approve", reason=reason)
        except ValidationError as error:
            return self._page(request, found, {"problems": problems(error), "reason": reason[:2000]}, status=400)
        except NotNow as error:
            return late(request, found, error)
        words = "You approved it." if answer == "approve" else "You rejected it."
        messages.success(request, words)
        return redirect("approval", instance, environment, number)

    def _page(
        self, request: HttpRequest, found: Deployment, more: Mapping[str, Any] | None = None, *, status: int = 200
    ) -> HttpResponse:
        asked = request_for(found, scope.person(request), scope.rights_of(request), now=now())
        return render(request, "web/production/approval.html", {"asked": asked, **(more or {})}, status=status)


def _found(request: HttpRequest, instance: str, environment: str, number: int) -> Deployment:
    """Of a production environment. Raises Http404."""
    found = scope.deployment(scope.rights_of(request), instance, environment, number)
    if not found.environment.production:
        raise Http404
    return found


def _answer(request: HttpRequest, found: Deployment, by: User, *, approved: bool, reason: str) -> None:
    plan = request.POST.get("plan", "")[:64]
    if not approved:
        found.reject(by=by, plan_hash=plan, reason=reason, now=now())
        return
    require_fresh(request)
    found.approve(by=by, plan_hash=plan, now=now())
