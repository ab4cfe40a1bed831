"""The proposals of an instance: what waits, what was answered, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from deploynaut.accounts.clock import now
from deploynaut.accounts.fresh import needs_fresh_login
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import NotAllowed, UserRights
from deploynaut.accounts.roles import Right
from deploynaut.instances import proposals as verbs
from deploynaut.instances.models import Instance, Proposal
from deploynaut.web import scope
from deploynaut.web.abilities import Ability
from deploynaut.web.fragments import page, problems
from deploynaut.web.guards.shown import Shown


@require_safe
def proposals(request: HttpRequest, instance: str) -> HttpResponse:
    """Those that wait, and those that were answered."""
    rights = scope.rights_of(request)
    found = scope.instance(rights, instance)
    seen = _seen(rights, found)
    answered = page(request, seen.exclude(status=Proposal.Status.OPEN).order_by("-answered_at", "-pk"))
    mine = set(verbs.waiting(scope.person(request), rights).values_list("pk", flat=True))
    waiting = [(Shown(one), one.pk in mine) for one in seen.filter(status=Proposal.Status.OPEN)]
    context = {
        "instance": found,
        "waiting": waiting,
        "answered": answered,
        "shown": [Shown(one) for one in answered],
        "guarded": [one for one in scope.environments(rights).filter(instance=found) if one.guarded],
    }
    return render(request, "web/guards/proposals.html", context)


@require_safe
def proposal(request: HttpRequest, instance: str, pk: int) -> HttpResponse:
    """One proposal: old beside new, and the answers there are."""
    rights = scope.rights_of(request)
    found = _one(rights, scope.instance(rights, instance), pk)
    return _page(request, rights, found)


@require_POST
@needs_fresh_login
def confirm(request: HttpRequest, instance: str, pk: int) -> HttpResponseBase:
    """Let it be done."""
    return _answer(request, instance, pk, verbs.confirm)


@require_POST
def refuse(request: HttpRequest, instance: str, pk: int) -> HttpResponseBase:
    """It is not to be done."""
    return _answer(request, instance, pk, verbs.refuse)


@require_POST
def withdraw(request: HttpRequest, instance: str, pk: int) -> HttpResponseBase:
    """Who proposed it thinks better of it."""
    return _answer(request, instance, pk, verbs.withdraw)


_DONE = {
    Proposal.Status.CONFIRMED: "Confirmed. It applies from now on, to the next deployment.",
    Proposal.Status.REFUSED: "Refused. Everything stays as it was.",
    Proposal.Status.WITHDRAWN: "Withdrawn. Everything stays as it was.",
}


def _answer(request: HttpRequest, instance: str, key: int, verb: Callable[..., Proposal]) -> HttpResponse:
    rights = scope.rights_of(request)
    found = _one(rights, scope.instance(rights, instance), key)
    reason = request.POST.get("reason", "")[:2000]
    try:
        done = verb(found, by=scope.person(request), reason=reason, now=now())
    except verbs.AlreadyAnswered as error:
        return _page(request, rights, error.proposal, {"general": [str(error)]}, status=409)
    except verbs.NotByYou as error:
        return _page(request, rights, found, {"general": [str(error)]}, status=403)
    except ValidationError as error:
        return _page(request, rights, found, _told(problems(error)), {"reason": reason}, status=400)
    if done.status == Proposal.Status.OVERTAKEN:
        messages.error(request, f"Nothing was changed. {done.answer}")
    else:
        messages.success(request, _DONE[Proposal.Status(done.status)])
    return redirect(done)


def _told(wrong: dict[str, list[str]]) -> dict[str, list[str]]:
    """Problems of the reason at its field; those of the values have no field on this page."""
    general = [words for field, said in wrong.items() if field != "reason" for words in said]
    return {**({"general": general} if general else {}), **{k: v for k, v in wrong.items() if k == "reason"}}


def _page(
    request: HttpRequest,
    rights: UserRights,
    proposal: Proposal,
    wrong: dict[str, list[str]] | None = None,
    values: dict[str, str] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    user = scope.person(request)
    context: dict[str, Any] = {
        "instance": proposal.instance,
        "proposal": proposal,
        "shown": Shown(proposal),
        "answer": _may_answer(user, rights, proposal),
        "own": proposal.by_id == user.pk,
        "problems": wrong or {},
        "values": values or {},
    }
    return render(request, "web/guards/proposal.html", context, status=status)


def _may_answer(user: User, rights: UserRights, proposal: Proposal) -> Ability:
    where = {"instance": proposal.instance_id, "environment": proposal.environment_id}
    right = Right.CONFIRM_PROPOSAL
    if not rights.may(right, instance=where["instance"], environment=where["environment"]):
        return Ability(
            str(NotAllowed(user, right, instance=where["instance"], environment=where["environment"],
                           place=proposal.place))
        )  # fmt: skip
    return Ability(verbs.why_not(proposal, by=user, now=now()))


def _seen(rights: UserRights, instance: Instance) -> QuerySet[Proposal]:
    """Those of environments that this person sees, and those about the instance's own roles."""
    environments = rights.environments(Right.SEE, instance="instance_id", environment="environment_id")
    rows = Proposal.objects.filter(instance=instance).filter(environments | Q(environment=None))
    return rows.select_related("instance", "environment__instance", "by", "answered_by")


def _one(rights: UserRights, instance: Instance, key: int) -> Proposal:
    found = _seen(rights, instance).filter(pk=key).first()
    if found is None:
        raise Http404
    return found
