"""Making an environment, and its settings: address, hosts, recipe. Read for all, changed by who may.

Its pipeline has a page of its own once the environment is there (web/pipelines).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from deploynaut.accounts.clock import now
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.engine.recipes import known
from deploynaut.instances.checks import require_edit
from deploynaut.instances.models import Environment, Instance, Kind
from deploynaut.web import abilities, scope
from deploynaut.web.environments.options import BadOptions, read_options
from deploynaut.web.fragments import problems, refuse_control, typed
from deploynaut.web.guards.proposed import proposed

FIELDS = ("url", "hosts", "recipe", "recipe_options")
SETTINGS = (*FIELDS, "reason")
EXAMPLE = """description: What this environment is for.
# The pages that are asked after each release; take the marks away and put your own address in.
# smoke_tests:
#   home: {url: "https://www.example.org/", status: 200, contains: "Welcome", within: 5s}
"""


class Create(View):
    """A new environment of an instance."""

    def get(self, request: HttpRequest, instance: str) -> HttpResponse:
        """The empty form."""
        found = scope.instance(scope.rights_of(request), instance)
        require(scope.person(request), Right.EDIT_ENVIRONMENT, instance=found.pk, place=found.name)
        return _form(request, found, {"kind": "uat", "recipe": "plain", "pipeline": EXAMPLE}, {})

    def post(self, request: HttpRequest, instance: str) -> HttpResponse:
        """Make it."""
        found = scope.instance(scope.rights_of(request), instance)
        values = typed(request, ("name", "kind", "pipeline", *FIELDS))
        wrong = refuse_control(values, multiline=("hosts", "pipeline", "recipe_options"))
        require(scope.person(request), Right.EDIT_ENVIRONMENT, instance=found.pk, place=found.name)
        options = _options(values["recipe_options"], wrong)
        if wrong:
            return _form(request, found, values, wrong, status=400)
        try:
            fields: dict[str, Any] = {**values, "hosts": values["hosts"].split(), "recipe_options": options}
            environment = Environment.objects.add(instance=found, by=scope.person(request), now=now(), **fields)
        except ValidationError as error:
            return _form(request, found, values, problems(error), status=400)
        return redirect(f"{environment.get_absolute_url()}#targets")


def _form(
    request: HttpRequest,
    instance: Instance,
    values: Mapping[str, str],
    wrong: Mapping[str, list[str]],
    *,
    status: int = 200,
) -> HttpResponse:
    context = {"instance": instance, "values": values, "problems": wrong, "kinds": Kind.choices, "recipes": _recipes()}
    return render(request, "web/environments/create.html", context, status=status)


class Settings(View):
    """The settings of an environment."""

    def get(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """As they are."""
        rights = scope.rights_of(request)
        found = scope.environment(rights, instance, environment)
        return self._page(request, found, abilities.edit(scope.person(request), rights, found), _stored(found), {})

    def post(self, request: HttpRequest, instance: str, environment: str) -> HttpResponse:
        """Change them; they apply to the next deployment."""
        rights = scope.rights_of(request)
        found = scope.environment(rights, instance, environment)
        require_edit(scope.person(request), found)
        values = typed(request, SETTINGS)
        wrong = refuse_control(values, multiline=("hosts", "recipe_options", "reason"))
        options = _options(values["recipe_options"], wrong)
        if not wrong:
            try:
                fields: dict[str, Any] = {**values, "recipe_options": options, "hosts": values["hosts"].split()}
                made = Environment.objects.change(found, by=scope.person(request), now=now(), **fields)
                if made is not None:
                    return proposed(request, made)
            except ValidationError as error:
                wrong = problems(error)
        if wrong:
            return self._page(request, found, abilities.Ability(), values, wrong, status=400)
        messages.success(request, "Saved. It applies to the next deployment.")
        return redirect("environment-settings", instance, environment)

    def _page(
        self,
        request: HttpRequest,
        environment: Environment,
        edit: abilities.Ability,
        values: Mapping[str, str],
        wrong: Mapping[str, list[str]],
        *,
        status: int = 200,
    ) -> HttpResponse:
        context = {
            "environment": environment,
            "edit": edit,
            "values": values,
            "problems": wrong,
            "recipes": _recipes(),
        }
        return render(request, "web/environments/settings.html", context, status=status)


WORDS = {"plain": "plain: files as they are in the repository, maintenance by a flag file"}


def _recipes() -> list[tuple[str, str]]:
    """The kinds of site there are, with a few words on those of the house."""
    return [(name, WORDS.get(name, name)) for name in sorted(known())]


def _stored(environment: Environment) -> dict[str, str]:
    options = json.dumps(environment.recipe_options, indent=2) if environment.recipe_options else ""
    return {
        "url": environment.url,
        "recipe": environment.recipe,
        "recipe_options": options,
        "hosts": "\n".join(environment.hosts),
    }


def _options(text: str, wrong: dict[str, list[str]]) -> dict[str, Any]:
    """The recipe's options as typed. What is wrong with them is added to `wrong`."""
    try:
        return read_options(text)
    except BadOptions as error:
        wrong["recipe_options"] = [str(error)]
        return {}
