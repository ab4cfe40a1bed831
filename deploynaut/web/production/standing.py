"""Where open deployments stand, in a few words each, and which of them wait for this very person. One query each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, QuerySet

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.accounts.roles import Right
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import GATES, Status, StepStatus
from deploynaut.runs.models import StepRun
from deploynaut.web.production.gates import url
from deploynaut.web.production.words import on


@dataclass(frozen=True, slots=True)
class Standing:
    """An open deployment with its state in words. `until`: when its window closes by itself."""

    deployment: Deployment
    words: str
    until: datetime | None = None


def standing(deployments: Iterable[Deployment], *, now: datetime) -> list[Standing]:
    """Where each of them stands."""
    found = list(deployments)
    gates = {step.run_id: step for step in _waiting().filter(run__in=[one.run_id for one in found])}
    return [_stands(one, gates.get(one.run_id), now) for one in found]


def _stands(one: Deployment, gate: StepRun | None, now: datetime) -> Standing:
    if gate is None:
        later = one.status is Status.QUEUED and one.run.not_before is not None and one.run.not_before > now
        return Standing(one, f"planned {on(one.run.not_before, now=now)}" if later and one.run.not_before else "")
    if gate.kind == "rollback_window":
        return Standing(one, "in its rollback window", gate.deadline)
    planned = f", planned {on(one.scheduled_for, now=now)}" if one.scheduled_for and one.scheduled_for > now else ""
    return Standing(one, f"{'for approval' if gate.kind == 'approval' else 'for Deploy'}{planned}")


def mine(user: User, rights: UserRights) -> list[tuple[str, str]]:
    """What this person is asked to do: words and address, the oldest first."""
    deployment = "run__deployment"
    asked = Q(**{f"{deployment}__requests__user": user, f"{deployment}__requests__round": F(f"{deployment}__round")})
    took = Q(**{f"{deployment}__attended_by": user})
    took |= Q(**{f"{deployment}__attended_by": None, f"{deployment}__initiator": user})
    found = _waiting().filter(Q(kind="approval") & asked | Q(kind__in=("confirm", "rollback_window")) & took)
    related = (f"{deployment}__environment__instance", f"{deployment}__initiator")
    steps = found.select_related(*related).distinct().order_by("begun_at", "pk")
    return [words for step in steps if (words := _to_do(step, rights)) is not None]


def _to_do(step: StepRun, rights: UserRights) -> tuple[str, str] | None:
    one = step.run.deployment
    where = one.environment
    if step.kind == "approval":
        may = rights.may(Right.APPROVE, instance=where.instance_id, environment=where.pk)
        return (f"{one.initiator.name} asks you to approve {one}", url("approval", one)) if may else None
    if not rights.may(Right.SEE, instance=where.instance_id, environment=where.pk):
        return None
    words = f"Press Deploy for {one}" if step.kind == "confirm" else f"Look at the site: {one} may be rolled back"
    return words, one.get_absolute_url()


def _waiting() -> QuerySet[StepRun]:
    return StepRun.objects.filter(status=StepStatus.WAITING, kind__in=GATES, run__kind="deployment")
