"""The freezes of an instance: when nobody releases, and the form to add one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View
from django.views.decorators.http import require_POST

from deploynaut.accounts.clock import now
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.instances.models import Freeze, Instance
from deploynaut.web import abilities, scope
from deploynaut.web.fragments import problems, typed
from deploynaut.web.guards import freeze_form

EMPTY = {"zone": "UTC", "repeats": "once", "scope": Freeze.Scope.PRODUCTION.value}


class Freezes(View):
    """The freezes of one instance."""

    def get(self, request: HttpRequest, instance: str) -> HttpResponse:
        """Those there are with their next windows, and the form."""
        return _page(request, scope.instance(scope.rights_of(request), instance))

    def post(self, request: HttpRequest, instance: str) -> HttpResponse:
        """Add one."""
        rights = scope.rights_of(request)
        found = scope.instance(rights, instance)
        by = scope.person(request)
        require(by, Right.EDIT_ENVIRONMENT, instance=found.pk, place=found.name)
        values, days = typed(request, freeze_form.FIELDS, longest=2000), freeze_form.days_of(request)
        chosen = request.POST.getlist("environments")[:100]
        try:
            fields = freeze_form.fields(values, days)
            if values["scope"] == Freeze.Scope.CHOSEN:
                fields["environments"] = list(scope.environments(rights).filter(instance=found, name__in=chosen))
            Freeze.objects.add(instance=found, by=by, now=now(), **fields)
        except ValidationError as error:
            wrong = problems(error)
            if "lasts" in wrong:
                wrong[_LASTS.get(values["repeats"], "general")] = wrong.pop("lasts")
            return _page(request, found, {**values, "days": days, "environments": chosen}, wrong, status=400)
        messages.success(request, "The freeze is set.")
        return redirect("freezes", instance)


_LASTS = {"once": "ends", "weekly": "week_lasts", "rule": "rule_lasts"}


@require_POST
def remove(request: HttpRequest, instance: str, pk: int) -> HttpResponse:
    """Take one away."""
    found = scope.instance(scope.rights_of(request), instance)
    row = Freeze.objects.filter(instance=found, pk=pk).select_related("instance").first()
    if row is None:
        raise Http404
    reason = request.POST.get("reason", "")[:2000]
    try:
        row.remove(by=scope.person(request), reason=reason, now=now())
    except ValidationError as error:
        wrong = problems(error)
        told = {"removal": [words for said in wrong.values() for words in said]}
        status = 400 if "reason" in wrong else 409
        return _page(request, found, {"freeze": row.pk, "removal": reason}, told, status=status)
    messages.success(request, "The freeze is removed.")
    return redirect("freezes", instance)


def _page(
    request: HttpRequest,
    instance: Instance,
    values: dict[str, Any] | None = None,
    wrong: dict[str, list[str]] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    rights, moment = scope.rights_of(request), now()
    rows = Freeze.objects.filter(instance=instance).select_related("by", "removed_by").prefetch_related("environments")
    context = {
        "instance": instance,
        "freezes": [freeze_form.shown(one, now=moment) for one in rows.filter(removed_at=None)],
        "removed": rows.exclude(removed_at=None).order_by("-removed_at")[:25],
        "edit": abilities.add_environment(scope.person(request), rights, instance),
        "environments": list(scope.environments(rights).filter(instance=instance)),
        "zones": freeze_form.zones(),
        "days": freeze_form.DAYS.items(),
        "values": {**EMPTY, **(values or {})},
        "problems": wrong or {},
    }
    return render(request, "web/guards/freezes.html", context, status=status)
