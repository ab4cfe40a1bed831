"""The pipeline of an environment: read it, try a change without saving it, save it with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from deploynaut.accounts.clock import now
from deploynaut.accounts.reasons import reason_of
from deploynaut.instances.managers import require_edit
from deploynaut.instances.models import Environment, Proposal
from deploynaut.web import abilities, scope
from deploynaut.web.fragments import problems, refuse_control
from deploynaut.web.guards.proposed import proposed
from deploynaut.web.pipelines.checked import Checked, check, problem, typed
from deploynaut.web.pipelines.compare import compare
from deploynaut.web.pipelines.preview import preview


class Pipeline(View):
    """One environment's pipeline file."""

    def get(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """As it is."""
        rights = scope.rights_of(request)
        found = scope.environment(rights, instance, environment)
        return self._page(request, found, check(found, found.pipeline), {})

    def post(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """Show what a text would do, or save it."""
        found = scope.environment(scope.rights_of(request), instance, environment)
        require_edit(scope.person(request), found)
        checked = check(found, typed(request.POST.get("text", "")))
        if request.POST.get("act") != "save":
            return self._page(request, found, checked, {}, tried=True)
        if request.POST.get("based_on") != mark(found.pipeline):
            return self._page(request, found, checked, {"changed": True}, tried=True, status=409)
        if checked.problems:
            return self._page(request, found, checked, {}, tried=True, status=400)
        return self._save(request, found, checked)

    def _save(self, request: HttpRequest, environment: Environment, checked: Checked) -> HttpResponse:
        reason = request.POST.get("reason", "")[:1_000].strip()
        wrong = refuse_control({"reason": reason})
        proposal = None
        if not wrong:
            try:
                reason_of(reason, needed=environment.production)
                proposal = Environment.objects.change(
                    environment, by=scope.person(request), now=now(), reason=reason, pipeline=checked.text
                )
            except ValidationError as error:
                wrong = problems(error)
        if wrong:
            found = scope.environment(scope.rights_of(request), environment.instance.name, environment.name)
            told = tuple(problem(line, checked.text) for line in wrong.pop("pipeline", []))
            checked = Checked(checked.text, None if told else checked.spec, told)
            return self._page(request, found, checked, {"problems": wrong}, tried=True, status=400)
        if proposal is not None:
            return proposed(request, proposal)
        messages.success(request, "Saved. It applies to the next deployment.")
        return redirect("pipeline", environment.instance.name, environment.name)

    def _page(
        self,
        request: HttpRequest,
        environment: Environment,
        checked: Checked,
        more: Mapping[str, Any],
        *,
        tried: bool = False,
        status: int = 200,
    ) -> HttpResponse:
        context = {
            "environment": environment,
            "edit": abilities.edit(scope.person(request), scope.rights_of(request), environment),
            "checked": checked,
            "preview": preview(environment, checked.spec) if checked.spec else None,
            "difference": compare(environment.pipeline, checked.text) if tried else None,
            "tried": tried,
            "rows": min(36, max(14, checked.text.count("\n") + 4)),
            "based_on": mark(environment.pipeline),
            "reason": request.POST.get("reason", "")[:1_000],
            "proposals": _proposals(environment),
            **more,
        }
        return render(request, "web/pipelines/page.html", context, status=status)


def mark(text: str) -> str:
    """What tells one text from another: a form brings it back, so that nobody saves over somebody else's change."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _proposals(environment: Environment) -> list[Proposal]:
    """Changes of this pipeline that wait for somebody."""
    waiting = Proposal.objects.open().filter(environment=environment)
    return [proposal for proposal in waiting if "pipeline" in proposal.after]
