"""Resolved: after a failed rollback Ops say which release is live; the targets are asked, and the state ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import Rights, require
from deploynaut.accounts.roles import Right
from deploynaut.engine.pipeline import Decision, Event, NotAllowed, Status
from deploynaut.instances.models import Environment
from deploynaut.runs import subjects
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

KIND = "resolution"


class Resolution(models.Model):
    """Who ended the state that a failed rollback left, and which release is live. `done_at`: proven on the targets."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="resolutions")
    deployment = models.ForeignKey("deployments.Deployment", on_delete=models.PROTECT, related_name="resolutions")
    release = models.ForeignKey("deployments.Deployment", on_delete=models.PROTECT, related_name="named_live")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="resolution")
    begun_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"{self.by} resolved {self.deployment}"


def resolve(deployment: Deployment, *, live_number: int, reason: str, by: User, now: datetime) -> Resolution:
    """Say that release `live_number` is live; a worker proves it on the targets and takes the screen down.

    Raises rights.NotAllowed; pipeline.NotAllowed when there is nothing to resolve, or something else is going on;
    ValidationError (`reason`, `live_number`).
    """
    require_resolve(by, deployment.environment)
    said = reason_of(reason)
    with transaction.atomic():
        fresh = type(deployment).objects.locked(deployment.pk)
        _can_be(fresh)
        release = type(fresh).objects.filter(environment=fresh.environment, number=live_number).first()
        if release is None:
            raise ValidationError({"live_number": f"There is no release {live_number} of {fresh.environment}."})
        found = Resolution.objects.create(
            environment=fresh.environment, deployment=fresh, release=release, by=by, reason=said, begun_at=now,
            run=_run(fresh, now=now),
        )  # fmt: skip
        Run.objects.filter(pk=found.run_id).update(subject_id=found.pk)
        after = {"release": release.number, "reason": said}
        audit.record("resolved", actor=by, subject=fresh.as_subject(), after=after, now=now)
    return found


def require_resolve(by: User, where: Environment) -> None:
    """The right to end the state there. Raises NotAllowed."""
    held = Rights.of(by)
    lesser = held.may(Right.MAINTENANCE_TEST, instance=where.instance_id, environment=where.pk)
    if where.production or not lesser:
        require(by, Right.MAINTENANCE, instance=where.instance_id, environment=where.pk, place=where.place)


def _can_be(deployment: Deployment) -> None:
    deployments = type(deployment).objects
    left = deployments.left_behind(deployment.environment)
    if left is None or left.pk != deployment.pk:
        raise NotAllowed(f"{deployment.environment} is not left in maintenance by {deployment} any more.")
    if (other := deployments.open_on(deployment.environment)) is not None:
        raise NotAllowed(f"{other.initiator.name} has begun {other}: its success ends the state. Abort it first.")
    if deployment.resolutions.filter(run__ended_at=None).exists():
        raise NotAllowed("Somebody has said which release is live; the targets are being asked now.")


def _run(deployment: Deployment, *, now: datetime) -> Run:
    title = f"resolving {deployment}"
    lock = deployment.environment.lock
    return Run.objects.begin(kind=KIND, subject_id=0, title=title, lock_key=lock, steps=["resolve"], now=now)


class ResolutionSubject(subjects.Simple):
    """The run that asks the targets."""

    def __init__(self) -> None:
        super().__init__("deploynaut.deployments.resolving.prove", limit=timedelta(minutes=15))

    def heard(self, run: Run, event: Event, decision: Decision, *, now: datetime) -> None:
        """What was said is true from the moment that it is proven."""
        if decision.state.status is Status.SUCCEEDED:
            Resolution.objects.filter(run=run).update(done_at=now)
