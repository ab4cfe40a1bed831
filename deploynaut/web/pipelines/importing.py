"""A template of the original, pasted: our form of it with a report, and on into the editor. Nothing is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import View

from deploynaut.engine.pipeline import SpecError
from deploynaut.engine.pipeline.importing import Fate, Imported, NotATemplate, translate
from deploynaut.instances.managers import require_edit
from deploynaut.web import looks, scope
from deploynaut.web.pipelines.checked import check, problem, typed

NAME = "template.yml"
LOOKS = {
    Fate.TRANSLATED: looks.Look("Translated", "check", "good"),
    Fate.LOOK: looks.Look("Look at it", "alert", "warn"),
    Fate.DROPPED: looks.Look("Dropped", "skip", "calm"),
    Fate.NOTHING_LIKE_IT: looks.Look("No equivalent", "cross", "warn"),
}


class Import(View):
    """Paste, look, go on in the editor."""

    def get(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """An empty field."""
        return self._page(request, instance, environment, {})

    def post(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """The template in our form."""
        found = scope.environment(scope.rights_of(request), instance, environment)
        require_edit(scope.person(request), found)
        text = typed(request.POST.get("template", ""))
        try:
            imported = translate(text, production=found.production, name=NAME)
        except NotATemplate as error:
            return self._page(request, instance, environment, {"template": text, "refusal": str(error)}, status=400)
        except SpecError as error:
            wrong = [problem(line, text) for line in error.problems]
            return self._page(request, instance, environment, {"template": text, "wrong": wrong}, status=400)
        return self._page(request, instance, environment, {"template": text, **_shown(imported)})

    def _page(
        self, request: HttpRequest, instance: str, environment: str, more: Mapping[str, Any], *, status: int = 200
    ) -> HttpResponse:
        found = scope.environment(scope.rights_of(request), instance, environment)
        require_edit(scope.person(request), found)
        checked = check(found, more["imported"].text) if "imported" in more else None
        context = {"environment": found, "checked": checked, **more}
        return render(request, "web/pipelines/import.html", context, status=status)


def _shown(imported: Imported) -> dict[str, Any]:
    lines = [(LOOKS[line.fate], *_place(line.place), line.words) for line in imported.report]
    counts = [(look, sum(line.fate is fate for line in imported.report)) for fate, look in LOOKS.items()]
    return {"imported": imported, "lines": lines, "counts": [(look, count) for look, count in counts if count]}


def _place(place: str) -> tuple[str, str]:
    """Line and column, and the path of the key."""
    where, _, path = place.removeprefix(f"{NAME}:").partition(": ")
    return where, path
