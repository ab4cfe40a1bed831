"""Every text that a pipeline has had: who, when, why, and what was different."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from deploynaut.instances.models import PipelineVersion
from deploynaut.web import scope
from deploynaut.web.fragments import page
from deploynaut.web.pipelines.compare import Comparison, compare

SIZE = 10


@dataclass(frozen=True, slots=True)
class Change:
    """One version, and what it changed of the one before; `first` has none before it."""

    version: PipelineVersion
    difference: Comparison
    first: bool


@require_safe
def pipeline_history(request: HttpRequest, instance: str, environment: str) -> HttpResponse:
    """The versions, newest first."""
    found = scope.environment(scope.rights_of(request), instance, environment)
    shown = page(request, found.pipeline_versions.select_related("by", "proposal__answered_by"), size=SIZE)
    context = {"environment": found, "page": shown, "changes": _changes(list(shown))}
    return render(request, "web/pipelines/history.html", context)


def _changes(versions: list[PipelineVersion]) -> list[Change]:
    if not versions:
        return []
    last = versions[-1]
    older = PipelineVersion.objects.filter(environment=last.environment_id, pk__lt=last.pk).order_by("-pk").first()
    befores = [*versions[1:], older]
    return [
        Change(version, compare(before.text if before else "", version.text), first=before is None)
        for version, before in zip(versions, befores, strict=True)
    ]
