"""All instances, and the form that makes one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View
from django.views.decorators.http import require_safe

from deploynaut.accounts.clock import now
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.instances.models import Instance
from deploynaut.web import abilities, overview, scope
from deploynaut.web.fragments import page, problems, refuse_control, typed

PAGE = 50


@require_safe
def instances(request: HttpRequest) -> HttpResponse:
    """Instances × environments: build, age, state."""
    rights = scope.rights_of(request)
    found = page(request, scope.instances(rights), size=PAGE)
    environments = scope.environments(rights).filter(instance__in=[one.pk for one in found])
    grouped = {
        key: list(rows) for key, rows in groupby(overview.rows(environments), lambda r: r.environment.instance_id)
    }
    context = {
        "page": found,
        "table": [(instance, grouped.get(instance.pk, [])) for instance in found],
        "create": abilities.create_instance(scope.person(request), rights),
    }
    return render(request, "web/instances/list.html", context)


class CreateInstance(View):
    """A new instance: name, title, repository."""

    fields = ("name", "title", "repository")

    def get(self, request: HttpRequest) -> HttpResponse:
        """The empty form."""
        require(scope.person(request), Right.CREATE_INSTANCE)
        return self._form(request, {}, {})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make it."""
        values = typed(request, self.fields)
        wrong = refuse_control(values)
        if wrong:
            return self._form(request, values, wrong, status=400)
        try:
            instance = Instance.objects.add(**values, by=scope.person(request), now=now())
        except ValidationError as error:
            return self._form(request, values, problems(error), status=400)
        return redirect(instance)

    def _form(
        self, request: HttpRequest, values: Mapping[str, str], wrong: Mapping[str, list[str]], *, status: int = 200
    ) -> HttpResponse:
        return render(request, "web/instances/create.html", {"values": values, "problems": wrong}, status=status)
