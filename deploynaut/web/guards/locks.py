"""The locks of an environment: who set one, why, until when; to set one and to lift it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View
from django.views.decorators.http import require_POST

from deploynaut.accounts.clock import now
from deploynaut.accounts.rights import NotAllowed
from deploynaut.instances import closures
from deploynaut.instances.locks import require_lift, require_set
from deploynaut.instances.models import Environment, EnvironmentLock
from deploynaut.web import scope
from deploynaut.web.abilities import Ability
from deploynaut.web.fragments import page, problems, typed


@dataclass(frozen=True, slots=True)
class Row:
    """A lock in force, and whether who looks may lift it."""

    lock: EnvironmentLock
    lift: Ability


class Locks(View):
    """The locks of one environment."""

    def get(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """Those in force, those of the past, and the form to set one."""
        rights = scope.rights_of(request)
        return _page(request, scope.environment(rights, instance, environment))

    def post(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """Set one."""
        found = scope.environment(scope.rights_of(request), instance, environment)
        user = scope.person(request)
        require_set(user, found)
        values = typed(request, ("reason", "until"))
        try:
            until = _moment(values["until"])
            EnvironmentLock.objects.set(found, by=user, reason=values["reason"], expires_at=until, now=now())
        except ValidationError as error:
            wrong = problems(error)
            wrong["until"] = wrong.pop("expires_at", wrong.get("until", []))
            return _page(request, found, values, {name: said for name, said in wrong.items() if said}, status=400)
        messages.success(request, f"{found.name} is locked. Nobody releases to it.")
        return redirect("locks", instance, environment)


@require_POST
def lift(request: HttpRequest, instance: str, environment: str, pk: int) -> HttpResponse:
    """Open the environment again."""
    found = scope.environment(scope.rights_of(request), instance, environment)
    row = EnvironmentLock.objects.filter(environment=found, pk=pk).select_related("environment__instance").first()
    if row is None:
        raise Http404
    reason = request.POST.get("reason", "")[:2000]
    try:
        row.lift(by=scope.person(request), reason=reason, now=now())
    except ValidationError as error:
        wrong = problems(error)
        kept = {"why": reason, "lock": row.pk}
        told = {"lift": [words for said in wrong.values() for words in said]}
        return _page(request, found, kept, told, status=400 if "reason" in wrong else 409)
    messages.success(request, "The lock is lifted.")
    return redirect("locks", instance, environment)


def _page(
    request: HttpRequest,
    environment: Environment,
    values: Mapping[str, Any] | None = None,
    wrong: dict[str, list[str]] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    user, moment = scope.person(request), now()
    locks = EnvironmentLock.objects.filter(environment=environment).select_related("owner", "lifted_by")
    current = EnvironmentLock.objects.in_force(moment).filter(environment=environment)
    in_force = list(current.select_related("owner", "environment__instance"))
    past = page(request, locks.exclude(pk__in=[one.pk for one in in_force]))
    context = {
        "environment": environment,
        "instance": environment.instance,
        "rows": [Row(one, _may(partial(require_lift, user, one))) for one in in_force],
        "past": past,
        "closure": closures.why_closed(environment, now=moment),
        "set": _may(partial(require_set, user, environment)),
        "values": values or {},
        "problems": wrong or {},
    }
    return render(request, "web/guards/locks.html", context, status=status)


def _may(ask: Callable[[], None]) -> Ability:
    """Whether the right is there; the refusal's words when it is not."""
    try:
        ask()
    except NotAllowed as error:
        return Ability(str(error))
    return Ability()


def _moment(text: str) -> datetime | None:
    """What was typed into the field, a time of UTC; None for nothing. Raises ValidationError at `until`."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValidationError({"until": "Write a date and a time, as in 2026-07-03T15:00."}) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
