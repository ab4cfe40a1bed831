"""Dry runs: all of a deployment but the touching, for a revision that nobody has begun to release."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.deployments.beginning import CannotBegin, known, ready
from deploynaut.instances.models import Environment
from deploynaut.instances.revisions import Revision
from deploynaut.runs.models import Hold, Run

KIND = "dry_run"


class CannotRehearse(Exception):
    """A dry run may not begin now; the text says why and what to do."""


def begin_dry_run(environment: Environment, *, revision: Revision, by: User, now: datetime) -> Run:
    """Have the worker do all but the touching. It takes what beginning a release there takes, and no promotion.

    Raises NotAllowed, RevisionNotFound, CannotRehearse.
    """
    right = Right.BEGIN_PRODUCTION if environment.production else Right.RELEASE_TEST
    require(by, right, instance=environment.instance_id, environment=environment.pk, place=environment.place)
    _ready(environment, revision)
    with transaction.atomic():
        Environment.objects.select_for_update().get(pk=environment.pk)
        _free(environment)
        run = Run.objects.begin(
            kind=KIND,
            subject_id=environment.pk,
            title=f"dry run of {environment}",
            lock_key=environment.lock,
            steps=["dry_run"],
            now=now,
        )
        chosen = {"commit": revision.commit, "chosen_by": str(revision.by), "name": revision.name, "asked_by": by.name}
        run.steps.update(facts=chosen)
        subject = audit.Subject("environment", environment.pk, str(environment))
        audit.record("dry run begun", actor=by, subject=subject, after={"commit": revision.commit}, now=now)
    return run


def newest(environment: Environment) -> Run | None:
    """The newest dry run there, going on or ended."""
    return Run.objects.newest(KIND, environment.pk)


def told(run: Run) -> dict[str, Any]:
    """What a dry run left: `commit`, `name`, `asked_by`; after a success also `skipped`, `baseline`, `live`, `size`."""
    return run.facts().get("dry_run", {})


def _ready(environment: Environment, revision: Revision) -> None:
    try:
        ready(environment)
    except CannotBegin as error:
        raise CannotRehearse(str(error)) from None
    known(environment, revision)


def _free(environment: Environment) -> None:
    """It looks at the hosts as they are between two deployments; in the middle of one it would tell nothing."""
    going_on = newest(environment)
    if going_on is not None and not going_on.ended:
        raise CannotRehearse(f"A {going_on} goes on already. Wait until it has ended.")
    hold = Hold.objects.filter(key=environment.lock).select_related("run").first()
    if hold is not None and hold.run is not None and not hold.run.ended:
        raise CannotRehearse(f"{hold.run} is at work on the hosts of {environment}. Wait until it has ended.")
