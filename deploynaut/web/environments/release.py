"""Deploy a new release: choose, see what will happen, begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments.managers import AlreadyOpen, CannotBegin
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.promotion import NotPromoted
from deploynaut.engine.pipeline import SpecError, Status
from deploynaut.engine.repository import BadRevision
from deploynaut.instances.models import Environment, Ref
from deploynaut.instances.revisions import RevisionNotFound, choose
from deploynaut.web import looks, overview, scope
from deploynaut.web.deployments.tiles import usual_seconds

WAYS = ("branch", "tag", "release", "commit")
CHOICES = 200
"""Names that a list to choose from holds at most; an older one is chosen by its commit id."""


class Release(View):
    """The choosing page of an environment. A refusal shows the page again, with what was typed."""

    def get(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """Choose; a link may bring a choice along (`?commit=…`)."""
        rights = scope.rights_of(request)
        found = scope.environment(rights, instance, environment)
        by = next((way for way in WAYS if request.GET.get(way)), request.GET.get("by", ""))
        chosen = {"by": by if by in WAYS else "branch", **{way: request.GET.get(way, "")[:300] for way in WAYS}}
        return render(request, "web/environments/release.html", _context(request, rights, found, chosen))

    def post(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """Begin the release process."""
        rights = scope.rights_of(request)
        found = scope.environment(rights, instance, environment)
        user = scope.person(request)
        by = request.POST.get("by", "")
        text = request.POST.get(by, "") if by in WAYS else ""
        try:
            revision = choose(found.instance, by=by, text=text)
            deployment = Deployment.objects.begin(environment=found, by=user, revision=revision, now=now())
        except (BadRevision, RevisionNotFound) as error:
            return self._again(request, rights, found, {"problem": str(error)}, status=400)
        except AlreadyOpen as error:
            return self._again(request, rights, found, {"problem": str(error), "other": error.deployment}, status=409)
        except (CannotBegin, NotPromoted) as error:
            return self._again(request, rights, found, {"problem": str(error)}, status=409)
        return redirect(deployment)

    def _again(
        self,
        request: HttpRequest,
        rights: UserRights,
        environment: Environment,
        more: Mapping[str, Any],
        *,
        status: int,
    ) -> HttpResponse:
        by = request.POST.get("by", "")
        chosen = {"by": by if by in WAYS else "branch", **{way: request.POST.get(way, "")[:300] for way in WAYS}}
        context = {**_context(request, rights, environment, chosen), **more}
        return render(request, "web/environments/release.html", context, status=status)


def _context(
    request: HttpRequest, rights: UserRights, environment: Environment, chosen: Mapping[str, str]
) -> dict[str, Any]:
    (row,) = overview.rows([environment])
    user: User = scope.person(request)
    refs = Ref.objects.filter(instance=environment.instance)
    earlier = _earlier(rights, environment)
    return {
        "environment": environment,
        "row": row,
        "deploy": row.deploy(user, rights),
        "chosen": chosen,
        "branches": list(refs.filter(kind=Ref.Kind.BRANCH)[:CHOICES]),
        "tags": list(refs.filter(kind=Ref.Kind.TAG)[:CHOICES]),
        "earlier": earlier,
        "subjects": overview.commit_subjects(earlier),
        "steps": _steps(environment),
    }


def _earlier(rights: UserRights, environment: Environment) -> list[Deployment]:
    """What has been released in this instance and stood, each commit once, newest first."""
    found = scope.deployments(rights).filter(
        environment__instance=environment.instance, run__status__in=(Status.SUCCEEDED, Status.ROLLED_BACK)
    )
    once: dict[str, Deployment] = {}
    for deployment in found.order_by("-begun_at", "-pk")[:CHOICES]:
        once.setdefault(deployment.commit, deployment)
    return list(once.values())


def _steps(environment: Environment) -> list[tuple[str, str, int | None]]:
    """What will happen: name, what it does, and the seconds it took lately. Empty when the pipeline cannot be read."""
    try:
        kinds = environment.spec().kinds
    except SpecError:
        return []
    usual = usual_seconds(environment.pk)
    return [(looks.label(kind), looks.PURPOSES.get(kind, ""), usual.get(kind)) for kind in kinds]
