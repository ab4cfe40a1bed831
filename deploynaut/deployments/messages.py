"""What people are told about a deployment: a row in the outbox for each of them, written with the state change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from django.conf import settings

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import who_may
from deploynaut.accounts.roles import Right, Role
from deploynaut.engine.pipeline import Notice, SpecError, To
from deploynaut.notify.models import Message

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment


def tell(deployment: Deployment, notice: Notice, *, now: datetime) -> None:
    """Queue the notice for everyone it is meant for."""
    subject, body = text(deployment, notice.event)
    Message.objects.queue(
        run=deployment.run,
        event=notice.event,
        to=people(deployment, notice),
        also=addresses(deployment, notice),
        subject=subject,
        body=body,
        now=now,
    )


def people(deployment: Deployment, notice: Notice) -> list[User]:
    """The addressees of a notice, each once, in its order."""
    found = {user.pk: user for to in notice.to for user in _people(deployment, to)}
    return list(found.values())


def addresses(deployment: Deployment, notice: Notice) -> list[str]:
    """E-mail addresses that the pipeline file adds for the event; its phone numbers wait for text messages."""
    try:
        named = deployment.spec().notify.get(notice.event.replace(" ", "_"), ())
    except SpecError:
        # A file that an upgrade no longer reads must not keep the people of the roles from being told.
        return []
    return [to for to in named if "@" in to]


def _people(deployment: Deployment, to: To) -> Iterable[User]:
    environment = deployment.environment
    match to:
        case To.INITIATOR:
            return [deployment.initiator]
        case To.OPS:
            return User.objects.with_role(Role.OPS, instance=environment.instance_id, environment=environment.pk)
        case To.ACTOR:
            return deployment.actors.all()
        case To.APPROVERS:
            return who_may(Right.APPROVE, instance=environment.instance_id, environment=environment.pk)
        case _:
            return []


def text(deployment: Deployment, event: str) -> tuple[str, str]:
    """Subject and body of a message: fixed texts in files, fields filled in, nothing evaluated."""
    file = resources.files("deploynaut.deployments") / "texts" / f"{event.replace(' ', '_')}.txt"
    filled = Template(file.read_text("utf-8")).safe_substitute(_fields(deployment))
    subject, _, body = filled.partition("\n")
    return " ".join(subject.split()), body.strip() + "\n"


def _fields(deployment: Deployment) -> dict[str, str]:
    environment = deployment.environment
    return {
        "deployment": str(deployment),
        "environment": environment.name,
        "project": environment.instance.title,
        "revision": deployment.revision,
        "commitsha": deployment.commit,
        "requester": deployment.initiator.name,
        "outcome": deployment.outcome,
        "site": environment.url,
        "pipelinelink": settings.DEPLOYNAUT_URL + deployment.get_absolute_url(),
    }
