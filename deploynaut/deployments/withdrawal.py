"""Withdraw: a revision that passed UAT is taken out of promotion, and UAT goes back to the release before."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.deployments.beginning import CannotBegin
from deploynaut.engine.pipeline import NotAllowed, Notice, To
from deploynaut.instances.revisions import By, Revision, RevisionNotFound
from deploynaut.runs.models import LogChunk

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment


def withdraw(deployment: Deployment, *, by: User, reason: str, now: datetime) -> Deployment | None:
    """Take the deployment's revision out of promotion and of known good, on its environment.

    When it is live and nothing keeps it, the release before is deployed again: that deployment is returned. What
    kept it stands in the log.
    Raises NotAllowed (no right, production, not there to be withdrawn); ValidationError (`reason`).
    """
    where = deployment.environment
    require(by, Right.RELEASE_TEST, instance=where.instance_id, environment=where.pk, place=where.place)
    said = reason_of(reason)
    with transaction.atomic():
        fresh = type(deployment).objects.locked(deployment.pk)
        _can_be(fresh)
        was_live = type(fresh).objects.live_on([where]).get(where.pk)
        same = type(fresh).objects.get_queryset().filter(environment=where, commit=fresh.commit).good()
        same.update(withdrawn_at=now, withdrawn_by=by, withdrawn_reason=said)
        audit.record("withdrawn", actor=by, subject=fresh.as_subject(), after={"reason": said}, now=now)
        _tell(fresh, now=now)
        _wake_those_that_wait(fresh)
        back = _back(fresh, was_live, by=by, now=now)
    deployment.refresh_from_db()
    return back


def _can_be(deployment: Deployment) -> None:
    if deployment.environment.production:
        raise NotAllowed("A release of production is rolled back in its window; it cannot be withdrawn.")
    if deployment.withdrawn_at is not None and deployment.withdrawn_by is not None:
        raise NotAllowed(f"{deployment.withdrawn_by.name} withdrew it already: {deployment.withdrawn_reason}")
    if deployment.status != "succeeded":
        raise NotAllowed(f"{deployment} ended as {deployment.status}: only what succeeded can be withdrawn.")


def _tell(deployment: Deployment, *, now: datetime) -> None:
    from deploynaut.deployments.messages import tell

    tell(deployment, Notice("withdrawn", (To.INITIATOR,)), now=now)


def _wake_those_that_wait(deployment: Deployment) -> None:
    """Releases to production that came from here look at once, and are refused."""
    waiting = (
        type(deployment)
        .objects.get_queryset()
        .filter(active=True, commit=deployment.commit, environment__instance=deployment.environment.instance_id)
    )
    for other in waiting.select_related("run"):
        other.run.wake()


def _back(deployment: Deployment, was_live: Deployment | None, *, by: User, now: datetime) -> Deployment | None:
    """The release before, deployed again; None when there is none, or another release is live or being made."""
    deployments = type(deployment).objects
    if was_live is None or was_live.commit != deployment.commit:
        return None
    before = deployments.known_good(deployment.environment)
    if before is None:
        return None
    revision = Revision(before.commit, By.RELEASE, before.chosen_name)
    try:
        return deployments.begin(environment=deployment.environment, by=by, revision=revision, now=now)
    except (CannotBegin, RevisionNotFound) as reason:
        # Another release, a lock, a freeze: uat stays as it is for now, and yet nothing of this goes to production.
        LogChunk.objects.note(deployment.run, f"withdrawn; {before} was not released again: {reason}", now=now)
        return None
