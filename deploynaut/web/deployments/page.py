"""The page of one deployment, Abort Pipeline, and the logs."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views import View
from django.views.decorators.http import require_safe

from deploynaut.accounts.clock import now
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.runs.models import Run, StepRun
from deploynaut.web import looks, scope
from deploynaut.web.deployments import logs
from deploynaut.web.deployments.facts import Shown, shown
from deploynaut.web.production.late import late


@require_safe
def deployment(request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
    """Tiles, log of the step in hand, facts."""
    rights = scope.rights_of(request)
    found = scope.deployment(rights, instance, environment, number)
    # The log's position comes before the rest: what the stream sends from there on is never older than the page.
    after = logs.last_id(found.run)
    seen = shown(found, scope.person(request), rights, now=now())
    reading = seen.tiles.worth_reading
    text = logs.newest(found.run, reading.step if reading else None, upto=after)
    context = {"shown": seen, "reading": reading, "log": text}
    return render(request, "web/deployments/page.html", context)


class Abort(View):
    """Abort Pipeline: what it would do, then doing it."""

    def get(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """What it leads to now; nothing is done by looking."""
        rights = scope.rights_of(request)
        found = scope.deployment(rights, instance, environment, number)
        seen = shown(found, scope.person(request), rights, now=now())
        context = {"shown": seen, "ability": seen.abort, "consequence": _consequence(seen)}
        return render(request, "web/deployments/abort.html", context)

    def post(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """Ask for it; the page shows what comes of it."""
        found = scope.deployment(scope.rights_of(request), instance, environment, number)
        try:
            found.abort(by=scope.person(request), now=now())
        except NotNow as error:
            return late(request, found, error)
        return redirect(found)


_CONSEQUENCES = {
    "prepare": "The site has not been touched. What was laid out beside it is removed, and the site stays as it is.",
    "backup": "The site has not been changed. The maintenance screen is taken down, and the site stays as it is.",
    "release": "The release is stopped at its next safe point, and the site is put back as it was: code and database.",
    "smoke_tests": "The new release is live. The site is put back as it was before: code and database.",
    "rollback_window": "The new release is live. The site is put back as it was before: code and database.",
}


def _consequence(seen: Shown) -> str:
    """What Abort leads to at this moment."""
    if seen.ended:
        return f"It has ended: {seen.sentence}"
    current = seen.tiles.current
    if current is None or current.step.back:
        return "The site stays as it is." if current is None else "The site is already going back; it will be finished."
    return _CONSEQUENCES.get(current.step.kind, "The site has not been touched, and stays as it is.")


@require_safe
def log(request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponseBase:
    """The pipeline log, or a step's (`?step=`); all of it as plain text with `?raw=1`."""
    found = scope.deployment(scope.rights_of(request), instance, environment, number)
    step = _step(found.run, request.GET.get("step", ""))
    title = looks.label(step.kind, back=step.back) if step else "Pipeline"
    if request.GET.get("raw"):
        return _raw(found.run, step)
    context = {
        "deployment": found,
        "steps": found.run.steps.filter(begun_at__isnull=False).order_by("position"),
        "step": step,
        "title": title,
        "log": logs.newest(found.run, step),
    }
    return render(request, "web/deployments/log.html", context)


@require_safe
def run_log(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The log of a fetch, a check or another run that is no deployment."""
    run = scope.run(scope.rights_of(request), pk)
    if run.kind == "deployment":
        return redirect(Deployment.objects.get_queryset().for_page().get(run=run))
    step = run.steps.order_by("position").first()
    if request.GET.get("raw"):
        return _raw(run, step)
    context = {"run": run, "log": logs.newest(run, step), "look": looks.of_status(run.status)}
    return render(request, "web/run_log.html", context)


def _step(run: Run, text: str) -> StepRun | None:
    """The step whose id was asked for, of this run. Raises Http404."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Http404
    step = run.steps.filter(pk=int(text)).first()
    if step is None:
        raise Http404
    return step


def _raw(run: Run, step: StepRun | None) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(logs.whole(run, step), content_type="text/plain; charset=utf-8")
    # A fixed name: nothing from outside becomes part of what the browser writes to a disk.
    answer["Content-Disposition"] = 'inline; filename="log.txt"'
    return answer
