"""What people are told about a deployment: a row in the outbox for each of them, written with the state change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from deploynaut.accounts.models import User
from deploynaut.accounts.roles import Role
from deploynaut.deployments.approval import approvers
from deploynaut.deployments.wording import words
from deploynaut.engine.pipeline import Notice, SpecError, To
from deploynaut.notify.models import Message

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

ASKED = "approval asked"


def tell(deployment: Deployment, notice: Notice, *, now: datetime) -> None:
    """Queue the notice for everyone it is meant for."""
    to = people(deployment, notice)
    if notice.event == ASKED and To.INITIATOR in notice.to:
        to = [user for user in to if user.pk != deployment.initiator_id]
        _queue(deployment, notice.event, [deployment.initiator], now=now, own=True)
    also = addresses(deployment, notice)
    _queue(deployment, notice.event, to, also=also, instance=deployment.environment.instance_id, now=now)


def _queue(
    deployment: Deployment,
    event: str,
    to: Iterable[User],
    *,
    now: datetime,
    also: Iterable[str] = (),
    instance: int | None = None,
    own: bool = False,
) -> None:
    said = words(deployment, event, own=own)
    Message.objects.queue(
        run=deployment.run,
        event=event,
        to=to,
        also=also,
        subject=said.subject,
        body=said.body,
        text=said.text,
        instance=instance,
        now=now,
    )


def people(deployment: Deployment, notice: Notice) -> list[User]:
    """The addressees of a notice, each once, in its order."""
    found = {user.pk: user for to in notice.to for user in _people(deployment, to, notice.event)}
    return list(found.values())


def addresses(deployment: Deployment, notice: Notice) -> list[str]:
    """E-mail addresses and phone numbers that the pipeline file adds for the event."""
    try:
        return list(deployment.spec().notify.get(notice.event.replace(" ", "_"), ()))
    except SpecError:
        # A file that an upgrade no longer reads must not keep the people of the roles from being told.
        return []


def _people(deployment: Deployment, to: To, event: str) -> Iterable[User]:
    environment = deployment.environment
    match to:
        case To.INITIATOR:
            # Who took over the attendance answers for it now; who began it still wants to know.
            return [deployment.initiator, deployment.attendant]
        case To.OPS:
            return User.objects.with_role(Role.OPS, instance=environment.instance_id, environment=environment.pk)
        case To.ACTOR:
            return deployment.actors.all()
        case To.APPROVER:
            return [deployment.approver] if deployment.approver else []
        case To.APPROVERS:
            return deployment.asked_now() if event == ASKED else deployment.asked()
        case To.MANAGERS:
            place = {"instance": environment.instance_id, "environment": environment.pk}
            managers = User.objects.with_role(Role.INSTANCE_MANAGER, **place)
            return [*approvers(environment, without=deployment.initiator), *managers]
        case _:
            assert_never(to)
