"""What is pressed at the gates. Each act is one form post; what comes too late is answered 409 in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views import View
from django.views.decorators.http import require_POST

from deploynaut.accounts.clock import now
from deploynaut.accounts.fresh import fresh_login
from deploynaut.accounts.models import User
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.web import scope
from deploynaut.web.fragments import problems
from deploynaut.web.production.late import late

Act = Callable[[HttpRequest, Deployment, User], str]


def require_fresh(request: HttpRequest) -> None:
    """Ask for a fresh proof of who this is; what was posted goes on afterwards. Raises ReauthenticationRequired."""
    if not fresh_login(request, now=now()):
        raise ReauthenticationRequired


def act(do: Act) -> Callable[..., HttpResponseBase]:
    """The door of an act: only by POST, only on what this person sees; afterwards the page of the deployment."""

    @require_POST
    def door(request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        found = scope.deployment(scope.rights_of(request), instance, environment, number)
        try:
            words = do(request, found, scope.person(request))
        except NotNow as error:
            return late(request, found, error)
        messages.success(request, words)
        return redirect(found)

    return door


@act
def start(request: HttpRequest, found: Deployment, by: User) -> str:
    """The final Deploy."""
    require_fresh(request)
    found.start(by=by, plan_hash=request.POST.get("plan", "")[:64], now=now())
    return f"{found} begins. You attend it: stay until its rollback window has closed."


@act
def attend(request: HttpRequest, found: Deployment, by: User) -> str:
    """Take over attendance."""
    found.take_over(by=by, now=now())
    return f"You attend {found} now. Everybody concerned was told."


@act
def dismiss(request: HttpRequest, found: Deployment, by: User) -> str:
    """Close the window: the release stays."""
    found.dismiss(by=by, now=now())
    return f"The rollback window of {found} is closed. The release stays."


class Reasoned(View):
    """An act that needs a reason: a page that says what it does and asks, then the act."""

    title = ""
    button = ""
    look = "main"

    def get(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """What it would do; nothing is done by looking."""
        found = scope.deployment(scope.rights_of(request), instance, environment, number)
        return self.page(request, found)

    def post(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """Do it."""
        found = scope.deployment(scope.rights_of(request), instance, environment, number)
        reason = request.POST.get("reason", "")
        try:
            done, words = self.do(found, by=scope.person(request), reason=reason)
        except ValidationError as error:
            return self.page(request, found, {"problems": problems(error), "reason": reason[:2000]}, status=400)
        except NotNow as error:
            return late(request, found, error)
        messages.success(request, words)
        return redirect(done)

    def page(
        self, request: HttpRequest, found: Deployment, more: Mapping[str, Any] | None = None, *, status: int = 200
    ) -> HttpResponse:
        """The page that asks."""
        context = {"deployment": found, "title": self.title, "button": self.button, "look": self.look}
        told = {"ability": self.ability(request, found), "does": self.does(found), "back": found.get_absolute_url()}
        return render(request, "web/production/reason.html", {**context, **told, **(more or {})}, status=status)

    def ability(self, request: HttpRequest, found: Deployment) -> Any:
        """May this person?"""
        raise NotImplementedError

    def does(self, found: Deployment) -> str:
        """What it leads to."""
        raise NotImplementedError

    def do(self, found: Deployment, *, by: User, reason: str) -> tuple[Deployment, str]:
        """The act; the deployment to show afterwards, and what to say."""
        raise NotImplementedError
