"""What an Administrator does to an account. Each act is one form post after a fresh log-in."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from deploynaut.accounts import password_links
from deploynaut.accounts.clock import now
from deploynaut.accounts.fresh import needs_fresh_login
from deploynaut.accounts.grants import AlreadyGiven, BadGrant, NotGiven
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.people import LastAdministrator
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right, Role
from deploynaut.web import scope
from deploynaut.web.fragments import problems
from deploynaut.web.people.links import link_page
from deploynaut.web.people.users import one, user_page

Act = Callable[[HttpRequest, User, User], HttpResponse | str]


def _act(act: Act) -> Callable[..., HttpResponseBase]:
    """A route of an act: right first, then the person; a refusal is said on the page, which stays where it was."""

    @require_POST
    @never_cache
    @needs_fresh_login
    def door(request: HttpRequest, pk: int) -> HttpResponseBase:
        by = scope.person(request)
        require(by, Right.EDIT_USERS)
        found = one(pk)
        try:
            answer = act(request, by, found)
        except ValidationError as error:
            return user_page(request, one(pk), problems(error), status=400)
        except (LastAdministrator, AlreadyGiven, NotGiven, BadGrant) as error:
            return user_page(request, one(pk), {"general": [str(error)]}, status=409)
        if isinstance(answer, str):
            messages.success(request, answer)
            return redirect("user", pk)
        return answer

    return door


@_act
def disable(request: HttpRequest, by: User, found: User) -> str:
    """No more log-in."""
    found.disable(by=by, reason=request.POST.get("reason", ""), now=now())
    return f"{found.name} is disabled and logged out everywhere."


@_act
def enable(request: HttpRequest, by: User, found: User) -> str:
    """May log in again."""
    found.enable(by=by, reason=request.POST.get("reason", ""), now=now())
    return f"{found.name} may log in again, with the roles there were."


@_act
def end_sessions(request: HttpRequest, by: User, found: User) -> str:
    """Logged out everywhere."""
    found.log_out_everywhere(by=by, now=now())
    return f"{found.name} is logged out everywhere."


@_act
def give_administrator(request: HttpRequest, by: User, found: User) -> str:
    """One more Administrator."""
    Grant.objects.give(by=by, to=found, role=Role.ADMINISTRATOR, now=now())
    return f"{found.name} is Administrator now."


@_act
def take_administrator(request: HttpRequest, by: User, found: User) -> str:
    """One Administrator less; never the last."""
    Grant.objects.take(by=by, to=found, role=Role.ADMINISTRATOR, now=now())
    return f"{found.name} is not Administrator any more, and logged out everywhere."


@_act
def make_link(request: HttpRequest, by: User, found: User) -> HttpResponse:
    """A link by which this person sets a new password."""
    return link_page(request, found, password_links.make(found, by=by, now=now()))
