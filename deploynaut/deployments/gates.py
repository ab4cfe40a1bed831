"""The verbs of a production release at its gates: approve, reject, Deploy, take over, Rollback, Dismiss, extend.

Each looks at the rows anew under a lock, so that of many clicks one counts. What the clock has brought about by then
counts before any click; what has changed since the plan was made voids the approval instead of passing the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.accounts.same_person import same_person
from deploynaut.deployments.approval import Answer, require_answer
from deploynaut.deployments.objections import closed_now, objection
from deploynaut.engine.pipeline import (
    AttendanceTaken,
    Event,
    GateOpened,
    GateRefused,
    NotAllowed,
    PlanChanged,
    RollbackAsked,
    WindowExtended,
)

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment


class StalePlan(NotAllowed):
    """The answer is for another plan than the one that stands; nothing was changed."""


class Voided(NotAllowed):
    """What was asked about has changed meanwhile: the approval is void, and the same people are asked again."""


class TooEarly(NotAllowed):
    """Deploy may not be pressed yet: a planned time, a freeze or a lock; the text says until when."""


def answer(
    deployment: Deployment, *, approved: bool, by: User, plan_hash: str, reason: str = "", now: datetime
) -> None:
    """Approve or reject. Raises NotAllowed, OnesOwn, TooNew, StalePlan, Voided, ValidationError (`reason`)."""
    require_answer(by, deployment, now=now)
    said = reason_of(reason) if not approved else ""

    def event(fresh: Deployment) -> Event:
        require_answer(by, fresh, now=now)
        _same_plan(fresh, plan_hash)
        Answer.objects.create(
            deployment=fresh, by=by, approved=approved, plan_hash=fresh.plan_hash, reason=said, at=now
        )
        return GateOpened("approval", by.name) if approved else GateRefused("approval", by.name, said)

    action = "approved" if approved else "rejected"
    pass_gate(deployment, "approval", event, action=action, by=by, now=now, after={"reason": said, "plan": plan_hash})


def start(deployment: Deployment, *, by: User, plan_hash: str, now: datetime) -> None:
    """The final Deploy: whoever attends says that they do. Raises NotAllowed, StalePlan, Voided, TooEarly."""
    _require_attendance(by, deployment)

    def event(fresh: Deployment) -> Event:
        _require_attendance(by, fresh)
        if by.pk != fresh.attendant.pk:
            raise NotAllowed(f"{fresh.attendant.name} attends this release. Take over attendance first.")
        _same_plan(fresh, plan_hash)
        _open_now(fresh, now=now)
        return GateOpened("confirm", by.name)

    pass_gate(deployment, "confirm", event, action="deploy pressed", by=by, now=now, after={"plan": plan_hash})


def take_over(deployment: Deployment, *, by: User, now: datetime) -> None:
    """Attend the release in place of its initiator; everybody concerned is told. Raises NotAllowed."""
    where = deployment.environment
    require(by, Right.TAKE_OVER_ATTENDANCE, instance=where.instance_id, environment=where.pk, place=where.place)

    def event(fresh: Deployment) -> Event:
        if fresh.attendant.pk == by.pk:
            raise NotAllowed("You attend this release already.")
        if fresh.round > 1 and fresh.approver is not None and same_person(by, fresh.approver):
            raise NotAllowed("You approved a plan that has changed since it was asked for: somebody else attends it.")
        fresh.attended_by = by
        fresh.save(update_fields=["attended_by"])
        return AttendanceTaken(by.name)

    pass_gate(deployment, "confirm", event, action="attendance taken over", by=by, now=now)


def roll_back(deployment: Deployment, *, by: User, now: datetime, code_only: bool = False) -> None:
    """Rollback in the window: code and database, or the code alone where no migration ran. Raises NotAllowed."""
    _require_window(by, deployment)

    def event(fresh: Deployment) -> Event:
        if code_only and fresh.migrated:
            raise NotAllowed("The release ran a migration, so its database has to go back with the code.")
        return RollbackAsked(by.name, code_only)

    after = {"code only": code_only}
    pass_gate(deployment, "rollback_window", event, action="rollback asked for", by=by, now=now, after=after)


def dismiss(deployment: Deployment, *, by: User, now: datetime) -> None:
    """Close the rollback window before its time: the release stays. Raises NotAllowed."""
    _require_window(by, deployment)
    opened = GateOpened("rollback_window", by.name)
    pass_gate(deployment, "rollback_window", lambda _: opened, action="window dismissed", by=by, now=now)


def extend(deployment: Deployment, *, by: User, reason: str, now: datetime) -> None:
    """Keep the rollback window open once more as long. Raises NotAllowed; ValidationError (`reason`)."""
    _require_window(by, deployment)
    said = reason_of(reason)

    def event(fresh: Deployment) -> Event:
        if fresh.run.extended:
            raise NotAllowed("The window has been extended once; that is all there is.")
        return WindowExtended("rollback_window", by.name, said)

    after = {"reason": said}
    pass_gate(deployment, "rollback_window", event, action="window extended", by=by, now=now, after=after)


# --- what they share -------------------------------------------------------------------------------------------------


def pass_gate(
    deployment: Deployment,
    gate: str,
    event: Callable[[Deployment], Event],
    *,
    action: str,
    by: User,
    now: datetime,
    after: dict[str, Any] | None = None,
) -> None:
    """Take a person's event at this gate, unless it is behind, its time is over, or what it is about has changed."""
    with transaction.atomic():
        fresh = type(deployment).objects.locked(deployment.pk)
        overtaken = _overtaken(fresh, gate, now=now)
        if overtaken is None:
            taken = event(fresh)
            fresh.actors.add(by)
            fresh.run.apply(taken, now=now)
            _record(fresh, action, by, after or {}, now)
        fresh.run.wake()
    deployment.refresh_from_db()
    deployment.run.refresh_from_db()
    if overtaken is not None:
        raise overtaken


def _overtaken(fresh: Deployment, gate: str, *, now: datetime) -> NotAllowed | None:
    """What came before this click, written down; None when the gate is there to be passed."""
    step = fresh.run.steps.filter(kind=gate, status="waiting").first()
    if step is None:
        raise NotAllowed(f"{_too_late(fresh, gate)} {fresh.last_deed()}".strip())
    late = time_is_over(fresh, now=now)
    if late is not None:
        return late
    found = objection(fresh, gate=gate, now=now) if gate != "rollback_window" else None
    if found is None:
        return None
    fresh.run.apply(found, now=now)
    if isinstance(found, PlanChanged):
        if fresh.break_glass:
            return Voided(f"What would run has changed: {found.reason}. Look at the page, then press Deploy again.")
        return Voided(f"The approval is void, and the same people are asked again: {found.reason}.")
    assert isinstance(found, GateRefused)
    return NotAllowed(f"This release was refused: {found.reason}.")


def time_is_over(fresh: Deployment, *, now: datetime) -> NotAllowed | None:
    """What the end of the gate in hand has brought about, written down though no worker has read it; None: not yet."""
    step = fresh.run.steps.filter(status="waiting", deadline__lte=now).first()
    due = step.due(now=now) if step is not None else None
    if step is None or due is None:
        return None
    fresh.run.apply(due, now=now)
    return NotAllowed(f"The time to answer ended at {step.deadline:%H:%M} UTC on {step.deadline:%-d %B}.")


_AWAITS = {"approval": "for approval", "confirm": "for Deploy", "rollback_window": "in its rollback window"}


def _too_late(fresh: Deployment, gate: str) -> str:
    return f"{fresh} does not wait {_AWAITS[gate]} {'now' if not fresh.status.ended else 'any more'}."


def _record(fresh: Deployment, action: str, by: User, after: dict[str, Any], now: datetime) -> None:
    told = {"status": fresh.run.status, **after}
    audit.record(action, actor=by, subject=fresh.as_subject(), after=told, now=now)


def _same_plan(fresh: Deployment, plan_hash: str) -> None:
    if plan_hash != fresh.plan_hash:
        raise StalePlan("The plan has changed since this page was shown. Look at the page again; nothing was done.")


def _require_attendance(by: User, deployment: Deployment) -> None:
    where, own = deployment.environment, deployment.is_own(by)
    # Who broke the glass may press Deploy by that right; a manager who took over has one of their own.
    glass = deployment.break_glass and by.pk == deployment.initiator_id
    right = Right.BREAK_GLASS if glass else Right.TAKE_OVER_ATTENDANCE
    require(by, right, instance=where.instance_id, environment=where.pk, own=own, place=where.place)


def _require_window(by: User, deployment: Deployment) -> None:
    where, own = deployment.environment, deployment.is_own(by)
    require(by, Right.ROLL_BACK, instance=where.instance_id, environment=where.pk, own=own, place=where.place)


def _open_now(fresh: Deployment, *, now: datetime) -> None:
    """No planned time, lock or freeze keeps it. Raises TooEarly."""
    if fresh.scheduled_for and fresh.scheduled_for > now:
        raise TooEarly(f"This release is planned for {fresh.scheduled_for:%-d %B %Y, %H:%M} UTC.")
    closure = closed_now(fresh, now=now)
    if closure is not None:
        raise TooEarly(closure.words)
