"""Rows per table, when the backup was made and now: what the rollback page shows before somebody presses Rollback.

Edits that keep the number of rows are not counted, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import Status, StepStatus
from deploynaut.instances.models import Environment
from deploynaut.runs.models import Run

KIND = "row_count"


class CannotCount(Exception):
    """The rows of this deployment cannot be counted now; the text says why."""


@dataclass(frozen=True, slots=True)
class TableCount:
    """One table. None: it was not there, or its rows cannot be counted (a virtual table)."""

    name: str
    then: int | None
    now: int | None

    @property
    def differs(self) -> bool:
        """Whether the number of rows is another one."""
        return self.then != self.now


def begin_count(deployment: Deployment, *, by: User, now: datetime) -> Run:
    """Have the rows of the live database counted. One that goes on already is given back instead of a second one.

    Raises NotAllowed (whoever may not roll back), CannotCount.
    """
    where = deployment.environment
    own = deployment.is_own(by)
    require(by, Right.ROLL_BACK, instance=where.instance_id, environment=where.pk, own=own, place=where.place)
    if not in_window(deployment):
        raise CannotCount(f"The rows are counted while the rollback window is open; {deployment} is not in it.")
    if not _then(deployment):
        raise CannotCount(f"{deployment} saved no database with tables in it, so there is nothing to compare.")
    with transaction.atomic():
        Environment.objects.select_for_update().get(pk=where.pk)
        running = newest(deployment)
        if running is not None and not running.ended:
            return running
        return Run.objects.begin(
            kind=KIND,
            subject_id=deployment.pk,
            title=f"row count for {deployment}",
            lock_key=f"row-count:{where.pk}",
            steps=["count"],
            now=now,
        )


def newest(deployment: Deployment) -> Run | None:
    """The newest count of this deployment, going on or ended; its `cause` says why it failed."""
    return Run.objects.newest(KIND, deployment.pk)


def compared(deployment: Deployment) -> tuple[list[TableCount], datetime] | None:
    """Every table of then and now, those that differ first, and when it was counted; None before a count succeeded."""
    done = Run.objects.filter(kind=KIND, subject_id=deployment.pk, status=Status.SUCCEEDED).order_by("-pk").first()
    if done is None:
        return None
    counted = done.facts().get("count", {})
    then, now = _then(deployment), counted.get("tables", {})
    tables = [TableCount(name, _rows(then, name), _rows(now, name)) for name in sorted({*then, *now})]
    return sorted(tables, key=lambda table: not table.differs), datetime.fromisoformat(counted["at"])


def in_window(deployment: Deployment) -> bool:
    """Whether its rollback window is open now."""
    return deployment.run.steps.filter(kind="rollback_window", status=StepStatus.WAITING).exists()


def _then(deployment: Deployment) -> Mapping[str, int]:
    saved: Mapping[str, Any] = deployment.run.facts().get("backup", {}).get("snapshot") or {}
    tables: Mapping[str, int] = (saved.get("objects") or {}).get("tables", {})
    return tables


def _rows(tables: Mapping[str, int], name: str) -> int | None:
    found = tables.get(name)
    return None if found is None or found < 0 else found
