"""The targets of an environment: add one, compare and confirm its host key, check its connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View
from django.views.decorators.http import require_POST, require_safe

from deploynaut.accounts.clock import now
from deploynaut.engine.pipeline import Status
from deploynaut.instances.checks import require_edit
from deploynaut.instances.models import Environment, Proposal, Target
from deploynaut.instances.target_manager import check_removal
from deploynaut.instances.tasks import begin_target_run
from deploynaut.runs.models import LogChunk, Run
from deploynaut.web import abilities, looks, scope
from deploynaut.web.fragments import problems, refuse_control, typed
from deploynaut.web.guards.proposed import proposed
from deploynaut.web.instances import keys

FIELDS = ("reach", "address", "port", "user", "base", "page")
KINDS = ("target_scan", "target_set_up", "target_check")


@dataclass(frozen=True, slots=True)
class Shown:
    """One target: its newest run (look-up, set-up or check), and the keys that wait for a person."""

    target: Target
    run: Run | None
    host_keys: tuple[keys.HostKey, ...]
    lines: tuple[str, ...]

    @property
    def busy(self) -> bool:
        """A run has not ended."""
        return self.run is not None and not self.run.ended

    @property
    def look(self) -> looks.Look:
        """Where it stands."""
        if self.run is not None and self.busy:
            return looks.Look(_DOING[self.run.kind], "play", "busy")
        if self.host_keys:
            return looks.Look("Compare the host key", "key", "warn")
        if self.target.set_up_at is None:
            return looks.Look("Not set up", "cross", "warn")
        if self.run is not None and self.run.kind == "target_check":
            return _CHECKED[self.run.status == Status.SUCCEEDED]
        return looks.Look("Set up", "check", "good")

    @property
    def error(self) -> str:
        """Why the last run did not succeed."""
        return self.run.cause if self.run is not None and self.run.status == Status.FAILED else ""


_DOING = {"target_scan": "Looking up its host key", "target_set_up": "Being set up", "target_check": "Being checked"}
_CHECKED = {True: looks.Look("Connection checked", "check", "good"), False: looks.Look("Check failed", "cross", "warn")}


def shown(environment: Environment) -> list[Shown]:
    """All targets of an environment. Three queries."""
    targets = list(environment.current_targets().order_by("pk"))
    newest: dict[int, Run] = {}
    for run in Run.objects.filter(kind__in=KINDS, subject_id__in=[one.pk for one in targets]).order_by("pk"):
        newest[run.subject_id] = run
    for target in targets:
        target.environment = environment
    lines = _lines(newest.values())
    return [_shown(target, newest.get(target.pk), lines) for target in targets]


def _shown(target: Target, run: Run | None, lines: Mapping[int, list[str]]) -> Shown:
    said = tuple(lines.get(run.pk, ())) if run is not None else ()
    return Shown(target=target, run=run, host_keys=tuple(keys.shown_by(target)), lines=said)


def _lines(runs: Any) -> dict[int, list[str]]:
    """What the checks said, line by line; the last lines of a long one."""
    wanted = [run.pk for run in runs if run.kind == "target_check" or not run.ended]
    found: dict[int, list[str]] = {}
    for chunk in LogChunk.objects.filter(run__in=wanted, step__isnull=False).order_by("id"):
        found.setdefault(chunk.run_id, []).extend(chunk.text.splitlines())
    return {key: lines[-20:] for key, lines in found.items()}


def form_context(values: Mapping[str, str], wrong: Mapping[str, list[str]]) -> dict[str, Any]:
    """What the form to add a target needs."""
    return {"values": {"reach": "ssh", "port": "22", "web": "on", **values}, "problems": wrong}


@require_POST
def add(request: HttpRequest, instance: str, environment: str) -> HttpResponse:
    """A new target."""
    found = scope.environment(scope.rights_of(request), instance, environment)
    values = typed(request, FIELDS)
    roles = {role: role in request.POST for role in ("web", "db")}
    wrong = refuse_control(values)
    port = values["port"] or "22"
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        wrong["port"] = ["A port is a number from 1 to 65535."]
    require_edit(scope.person(request), found)
    if not wrong:
        try:
            fields: dict[str, Any] = {**values, "port": int(port), **roles}
            made = Target.objects.add(environment=found, by=scope.person(request), now=now(), **fields)
            if isinstance(made, Proposal):
                return proposed(request, made)
            return redirect(f"{found.get_absolute_url()}#target-{made.pk}")
        except ValidationError as error:
            wrong = problems(error)
    kept = {**values, **{role: "on" if has else "" for role, has in roles.items()}}
    context = {"environment": found, "key": keys.of_environment(found.pk), **form_context(kept, wrong)}
    return render(request, "web/environments/add_target.html", context, status=400)


@require_POST
def confirm(request: HttpRequest, instance: str, environment: str, pk: int) -> HttpResponse:
    """A person says that this is the host's key."""
    found = scope.environment(scope.rights_of(request), instance, environment)
    target = scope.target(found, pk)
    fingerprint = request.POST.get("fingerprint", "")[:200]
    try:
        made = Target.objects.confirm(target, fingerprint=fingerprint, by=scope.person(request), now=now())
        if made is not None:
            return proposed(request, made)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect(f"{found.get_absolute_url()}#target-{target.pk}")


class Remove(View):
    """Remove a target: a page of its own, for what it means."""

    def get(self, request: HttpRequest, instance: str, environment: str, pk: int) -> HttpResponse:
        """What removing means, and the button."""
        rights = scope.rights_of(request)
        found = scope.environment(rights, instance, environment)
        ability = abilities.edit(scope.person(request), rights, found)
        return self._page(request, found, scope.target(found, pk), ability)

    def post(self, request: HttpRequest, instance: str, environment: str, pk: int) -> HttpResponse:
        """Remove it, or propose it where that takes two people."""
        found = scope.environment(scope.rights_of(request), instance, environment)
        target = scope.target(found, pk)
        reason = request.POST.get("reason", "")[:2000]
        try:
            made = Target.objects.remove(target, by=scope.person(request), reason=reason, now=now())
        except ValidationError as error:
            wrong = problems(error)
            status = 400 if "reason" in wrong else 409
            return self._page(request, found, target, abilities.Ability(), wrong, reason, status=status)
        if made is not None:
            return proposed(request, made)
        messages.success(request, f"{target} is removed. What lies on the host stays there.")
        return redirect(f"{found.get_absolute_url()}#targets")

    def _page(
        self,
        request: HttpRequest,
        environment: Environment,
        target: Target,
        ability: abilities.Ability,
        wrong: Mapping[str, list[str]] | None = None,
        reason: str = "",
        *,
        status: int = 200,
    ) -> HttpResponse:
        context = {
            "environment": environment,
            "target": target,
            "ability": ability if ability.reason else _removable(target),
            "problems": wrong or {},
            "reason": reason,
        }
        return render(request, "web/environments/remove_target.html", context, status=status)


def _removable(target: Target) -> abilities.Ability:
    try:
        check_removal(target)
    except ValidationError as error:
        return abilities.Ability(" ".join(error.messages))
    return abilities.Ability()


@require_POST
def check(request: HttpRequest, instance: str, environment: str, pk: int) -> HttpResponse:
    """Check connection."""
    found = scope.environment(scope.rights_of(request), instance, environment)
    target = scope.target(found, pk)
    require_edit(scope.person(request), found)
    if not any(one.busy for one in shown(found) if one.target.pk == target.pk):
        begin_target_run("check", target, now=now())
    return redirect(f"{found.get_absolute_url()}#target-{target.pk}")


def part_context(environment: Environment) -> dict[str, Any]:
    """What the list of targets needs."""
    targets = shown(environment)
    return {"targets": targets, "any_busy": any(one.busy for one in targets)}


@require_safe
def part(request: HttpRequest, instance: str, environment: str) -> HttpResponse:
    """The targets alone, asked for each second while one of them is being worked on."""
    rights = scope.rights_of(request)
    found = scope.environment(rights, instance, environment)
    edit = abilities.edit(scope.person(request), rights, found)
    context = {"environment": found, "edit": edit, **part_context(found)}
    return render(request, "web/environments/_targets.html", context)
