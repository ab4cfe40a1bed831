"""The rollback page: what going back costs, then going back. Rows are counted by the worker when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments import counts
from deploynaut.deployments.counts import CannotCount, TableCount
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.runs.models import Run, StepRun
from deploynaut.snapshots.models import Snapshot
from deploynaut.web import abilities, scope
from deploynaut.web.abilities import Ability
from deploynaut.web.production.late import late
from deploynaut.web.templatetags.shown import span

MOST = 40
"""Tables that are shown by name at most; those that differ come first."""


@dataclass(frozen=True, slots=True)
class Price:
    """What going back costs. `tables`: rows then and now; None while nobody has counted."""

    deployment: Deployment
    step: StepRun | None
    snapshot: Snapshot | None
    tables: tuple[TableCount, ...] | None
    more: int
    counted_at: datetime | None
    counting: Run | None
    problem: str
    may: Ability
    now: datetime

    @property
    def differing(self) -> tuple[TableCount, ...]:
        """Tables with another number of rows."""
        return tuple(table for table in self.tables or () if table.differs)

    @property
    def code_only(self) -> bool:
        """The code alone may go back: no migration ran, so the old code knows the database as it is."""
        return not self.deployment.migrated

    @property
    def age(self) -> str:
        """How long ago the snapshot was taken."""
        return span(max(0, int((self.now - self.snapshot.taken_at).total_seconds()))) if self.snapshot else ""

    @property
    def word(self) -> str:
        """The button, with the price on it."""
        if self.snapshot is None:
            return "Rollback: the code goes back"
        return f"Rollback: everything entered in the last {self.age} is lost"


class Rollback(View):
    """What it costs, and the button. Nothing is done by looking."""

    def get(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """The price."""
        return self._page(request, _found(request, instance, environment, number))

    def post(self, request: HttpRequest, instance: str, environment: str, number: int) -> HttpResponse:
        """Count again, or go back."""
        found, by = _found(request, instance, environment, number), scope.person(request)
        try:
            if request.POST.get("act") == "count":
                counts.begin_count(found, by=by, now=now())
                return redirect("rollback", instance, environment, number)
            found.roll_back(by=by, now=now(), code_only=request.POST.get("what") == "code")
        except CannotCount as error:
            return self._page(request, found, {"problem": str(error)}, status=409)
        except NotNow as error:
            return late(request, found, error)
        messages.success(request, f"{found} is going back. You are told how it ended.")
        return redirect(found)

    def _page(
        self, request: HttpRequest, found: Deployment, more: Mapping[str, Any] | None = None, *, status: int = 200
    ) -> HttpResponse:
        price = price_of(found, scope.person(request), scope.rights_of(request), now=now())
        return render(request, "web/production/rollback.html", {"price": price, **(more or {})}, status=status)


def _found(request: HttpRequest, instance: str, environment: str, number: int) -> Deployment:
    """Of a production environment: no other has a window. Raises Http404."""
    found = scope.deployment(scope.rights_of(request), instance, environment, number)
    if not found.environment.production:
        raise Http404
    return found


def price_of(deployment: Deployment, user: User, rights: UserRights, *, now: datetime) -> Price:
    """What this person is told."""
    step = deployment.run.steps.filter(kind="rollback_window", status="waiting").first()
    may = abilities.roll_back(user, rights, deployment) if step else Ability("The rollback window is not open.")
    newest, counted = counts.newest(deployment), counts.compared(deployment)
    tables = counted[0] if counted else None
    return Price(
        deployment=deployment,
        step=step,
        snapshot=deployment.run.snapshots.filter(source=Snapshot.Source.BACKUP).first(),
        tables=tuple(tables[:MOST]) if tables is not None else None,
        more=max(0, len(tables or ()) - MOST),
        counted_at=counted[1] if counted else None,
        counting=newest if newest is not None and not newest.ended else None,
        problem=newest.cause if newest is not None and newest.ended else "",
        may=may,
        now=now,
    )
