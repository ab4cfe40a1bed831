"""Deploy a new release: choose, see what will happen, begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.accounts.roles import Right
from deploynaut.deployments import dry_runs
from deploynaut.deployments.dry_runs import CannotRehearse
from deploynaut.deployments.managers import AlreadyOpen, CannotBegin
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.promotion import NotPromoted
from deploynaut.engine.pipeline import GATES, SpecError, Status
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.engine.repository import BadRevision
from deploynaut.instances.models import Environment, Ref
from deploynaut.instances.revisions import RevisionNotFound, choose
from deploynaut.web import looks, overview, scope
from deploynaut.web.deployments.tiles import usual_seconds
from deploynaut.web.fragments import problems
from deploynaut.web.production import wishes
from deploynaut.web.production.choosing import Choosing, choosing

WAYS = ("branch", "tag", "release", "commit")
CHOICES = 200
"""Names that a list to choose from holds at most; an older one is chosen by its commit id."""
TYPED = (*WAYS, *wishes.FIELDS)


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
        """Begin the release process, or a dry run of it."""
        rights = scope.rights_of(request)
        found = scope.environment(rights, instance, environment)
        try:
            return _begin(request, found, scope.person(request))
        except ValidationError as error:
            return self._again(request, rights, found, {"problems": problems(error)}, status=400)
        except (BadRevision, RevisionNotFound) as error:
            return self._again(request, rights, found, {"problem": str(error)}, status=400)
        except AlreadyOpen as error:
            return self._again(request, rights, found, {"problem": str(error), "other": error.deployment}, status=409)
        except (CannotBegin, NotPromoted, NotNow, CannotRehearse) as error:
            may = rights.may(Right.OVERRIDE_FREEZE, instance=found.instance_id, environment=found.pk)
            # A freeze at the planned time is met only here.
            offered = may and bool(request.POST.get("scheduled_for"))
            return self._again(request, rights, found, {"problem": str(error), "override": offered}, status=409)

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
        chosen = {"by": by if by in WAYS else "branch", **{name: request.POST.get(name, "")[:1000] for name in TYPED}}
        context = {**_context(request, rights, environment, chosen), **more}
        return render(request, "web/environments/release.html", context, status=status)


def _begin(request: HttpRequest, environment: Environment, user: User) -> HttpResponse:
    by = request.POST.get("by", "")
    text = request.POST.get(by, "") if by in WAYS else ""
    revision = choose(environment.instance, by=by, text=text)
    if request.POST.get("act") == "dry-run":
        run = dry_runs.begin_dry_run(environment, revision=revision, by=user, now=now())
        messages.success(request, "The dry run has begun: everything but the touching. Its log names each skipped act.")
        return redirect("run-log", run.pk)
    wish = wishes.wish_of(request, environment)
    return redirect(Deployment.objects.begin(environment=environment, by=user, revision=revision, now=now(), **wish))


def _context(
    request: HttpRequest, rights: UserRights, environment: Environment, chosen: Mapping[str, str]
) -> dict[str, Any]:
    (row,) = overview.rows([environment])
    user: User = scope.person(request)
    around = choosing(environment, user, rights, live=row.live, other=row.open, now=now())
    shown = {} if environment.production else _ways(rights, environment)
    passed = [one.passed for one in around.listed]
    refused = [bar.deployment for bar in around.bars]
    return {
        "environment": environment,
        "row": row,
        "deploy": row.deploy(user, rights),
        "chosen": chosen,
        "choosing": around,
        "picked": _picked(chosen, around),
        "subjects": overview.commit_subjects([*shown.get("earlier", ()), *passed, *refused, *around.withdrawn]),
        "steps": _steps(environment),
        "rehearsed": dry_runs.newest(environment),
        **shown,
    }


def _picked(chosen: Mapping[str, str], around: Choosing) -> str:
    """The promotable revision that is marked: the one a link or form brings along, else the newest that may be."""
    wanted = chosen.get("release") or chosen.get("commit", "")
    return wanted if any(one.passed.commit == wanted for one in around.listed) else around.first


def _ways(rights: UserRights, environment: Environment) -> dict[str, Any]:
    """The guide's four ways of choosing, for test and UAT."""
    refs = Ref.objects.filter(instance=environment.instance)
    return {
        "branches": list(refs.filter(kind=Ref.Kind.BRANCH)[:CHOICES]),
        "tags": list(refs.filter(kind=Ref.Kind.TAG)[:CHOICES]),
        "earlier": _earlier(rights, environment),
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
    return [(looks.label(kind), looks.PURPOSES.get(kind, ""), _usual(kind, usual)) for kind in kinds]


def _usual(kind: str, usual: Mapping[str, int]) -> int | None:
    """How long people take is nobody's measure."""
    return None if kind in GATES else usual.get(kind)
