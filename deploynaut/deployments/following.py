"""What a deployment's own rows keep of each event: who was asked, what is void, how long the window is open."""

from __future__ import annotations

from datetime import datetime

from deploynaut.deployments import comparison
from deploynaut.deployments.approval import ask_next
from deploynaut.deployments.beginning import freeze
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import Decision, Event, Mark, PlanChanged, Reached, WindowExtended
from deploynaut.runs.models import LogChunk


def follow(deployment: Deployment, event: Event, decision: Decision, *, now: datetime) -> None:
    """Write what follows from the event, before anybody is told."""
    match event:
        case PlanChanged(reason) if any(notice.event == "void" for notice in decision.notices):
            _void(deployment, reason, now=now)
        case WindowExtended(gate):
            _extend(deployment, gate)
        case Reached(mark) if mark is Mark.SCREEN:
            deployment.environment.mark_released(now)
    if any(notice.event == "approval asked" for notice in decision.notices):
        _ask(deployment, now=now)


def _ask(deployment: Deployment, *, now: datetime) -> None:
    again_at = ask_next(deployment, now=now)
    deployment.run.steps.filter(kind="approval").update(escalates_at=again_at)
    names = ", ".join(user.name for user in deployment.asked_now())
    LogChunk.objects.note(deployment.run, f"asked to approve: {names or 'nobody may'}", now=now)


def _void(deployment: Deployment, reason: str, *, now: datetime) -> None:
    """The answer is for a plan that is gone; the new one is asked about in a new round."""
    deployment.answers.filter(void_at__isnull=True).update(void_at=now, void_reason=reason)
    freeze(deployment, deployment.environment.spec())
    comparison.begin(deployment, now=now)


def next_round(deployment: Deployment) -> None:
    """Whoever was asked has been told that it is void; from here on the next ones are asked."""
    deployment.round += 1
    deployment.save(update_fields=["round"])


def _extend(deployment: Deployment, gate: str) -> None:
    """Once more as long."""
    step = deployment.run.steps.get(kind=gate)
    assert step.deadline is not None
    step.deadline += deployment.readable_spec().settings(gate).lasts
    step.save(update_fields=["deadline"])
