"""The people who may log in: a list, and one person's page. For Administrators alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from deploynaut.accounts import password_links
from deploynaut.accounts.clock import now
from deploynaut.accounts.fresh import needs_fresh_login
from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right, Role
from deploynaut.web import scope
from deploynaut.web.fragments import page, problems, refuse_control, typed
from deploynaut.web.people import words
from deploynaut.web.people.links import link_page

SHOWN = (("active", "Active"), ("disabled", "Disabled"), ("all", "All"))
NEWEST = 10


@require_safe
def users(request: HttpRequest) -> HttpResponse:
    """All people, by name; `?q=` and `?show=` narrow the list."""
    require(scope.person(request), Right.EDIT_USERS)
    query, show = request.GET.get("q", "")[:200].strip(), request.GET.get("show", "active")
    found = page(request, _matching(query, show))
    grants = Grant.objects.filter(user__in=[user.pk for user in found])
    roles: dict[int, list[words.Held]] = defaultdict(list)
    for one in words.held(grants):
        roles[one.grant.user_id].append(one)
    context = {
        "page": found,
        "rows": [(user, roles[user.pk]) for user in found],
        "query": query,
        "show": show if show in dict(SHOWN) else "active",
        "tabs": SHOWN,
        "more": _more(query, show),
    }
    return render(request, "web/people/users.html", context)


def _matching(query: str, show: str) -> QuerySet[User]:
    people = User.objects.order_by("name", "pk")
    if show != "all":
        people = people.filter(is_active=show != "disabled")
    return people.filter(Q(name__icontains=query) | Q(email__icontains=query)) if query else people


def _more(query: str, show: str) -> str:
    kept = QueryDict(mutable=True)
    kept.update({name: value for name, value in (("q", query), ("show", show)) if value})
    return f"{kept.urlencode()}&" if kept else ""


@require_safe
def user(request: HttpRequest, pk: int) -> HttpResponse:
    """One person: state, last log-in, roles everywhere, what was done to the account."""
    require(scope.person(request), Right.EDIT_USERS)
    return user_page(request, one(pk), {})


def one(pk: int) -> User:
    """The person of that key. Raises Http404. Ask for the right first."""
    found = User.objects.filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def user_page(request: HttpRequest, found: User, wrong: Mapping[str, list[str]], *, status: int = 200) -> HttpResponse:
    """The page of a person, with what was wrong with the form that was sent."""
    held = words.held(found.grants.select_related("given_by"))
    me = scope.person(request)
    context: dict[str, Any] = {
        "found": found,
        "roles": held,
        "administrator": any(row.grant.role == Role.ADMINISTRATOR for row in held),
        "myself": me.pk == found.pk,
        "trail": AuditEntry.objects.about("user", found.pk)[:NEWEST],
        "problems": wrong,
        "reason": request.POST.get("reason", "")[:1000],
    }
    return render(request, "web/people/user.html", context, status=status)


@method_decorator([never_cache, needs_fresh_login], name="dispatch")
class CreateUser(View):
    """A new person: name and address. They set their own password by a link."""

    fields = ("name", "email")

    def get(self, request: HttpRequest) -> HttpResponse:
        """The empty form."""
        require(scope.person(request), Right.EDIT_USERS)
        return self._form(request, {}, {})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make the account, and the link that goes with it."""
        by = scope.person(request)
        require(by, Right.EDIT_USERS)
        values = typed(request, self.fields)
        wrong = refuse_control(values)
        if wrong:
            return self._form(request, values, wrong, status=400)
        try:
            made = User.objects.create_person(**values, password=None, by=by, now=now())
        except ValidationError as error:
            return self._form(request, values, problems(error), status=400)
        return link_page(request, made, password_links.make(made, by=by, now=now()), new=True)

    def _form(
        self, request: HttpRequest, values: Mapping[str, str], wrong: Mapping[str, list[str]], *, status: int = 200
    ) -> HttpResponse:
        return render(request, "web/people/create.html", {"values": values, "problems": wrong}, status=status)
