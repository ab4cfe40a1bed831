"""What an approval page shows: one request for approval, as one viewer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments import comparison
from deploynaut.deployments.comparison import Comparison
from deploynaut.deployments.models import Answer, Deployment
from deploynaut.engine.pipeline import GATES, Status
from deploynaut.instances.models import Commit
from deploynaut.notify.models import Message
from deploynaut.web import abilities, looks
from deploynaut.web.abilities import Ability
from deploynaut.web.deployments.tiles import usual_seconds
from deploynaut.web.production.gates import Gate, gate
from deploynaut.web.production.words import on

ANSWERED = ("approved", "rejected")


@dataclass(frozen=True, slots=True)
class Request:
    """`void`: answers that do not count any more, the newest last. `told`: who heard of the answer."""

    deployment: Deployment
    commit: Commit | None
    changes: Comparison
    uat: Deployment | None
    tests: str
    gate: Gate | None
    may: Ability
    answer: Answer | None
    void: tuple[Answer, ...]
    told: tuple[str, ...]
    steps: tuple[tuple[str, str, int | None], ...]
    way_back: tuple[str, ...]
    now: datetime

    @property
    def open(self) -> bool:
        """It waits for an answer."""
        return self.gate is not None and self.gate.kind == "approval"

    @property
    def look(self) -> looks.Look:
        """Where the release stands, in a word."""
        return looks.of_status(self.deployment.run.status)

    @property
    def afterwards(self) -> str:
        """What happens next, after the answer."""
        one = self.deployment
        if one.status is Status.WAITING and self.gate is not None and self.gate.kind == "confirm":
            until = (
                f" until {on(self.gate.until, now=self.now).removeprefix('at ').removeprefix('on ')}"
                if (self.gate.until)
                else ""
            )
            return f"{one.attendant.name} has{until} to press Deploy. Then it begins at once."
        if one.status.ended:
            return one.outcome.removeprefix(f"{self.look.word}. ")
        return f"{one.attendant.name} was told and presses Deploy next." if self.answer else "It goes on."


def request_for(deployment: Deployment, user: User, rights: UserRights, *, now: datetime) -> Request:
    """The request as this person sees it now."""
    where = deployment.environment
    told = Message.objects.filter(run=deployment.run, event__in=ANSWERED).select_related("user").order_by("pk")
    return Request(
        deployment=deployment,
        commit=Commit.objects.filter(instance=where.instance_id, hex=deployment.commit).first(),
        changes=comparison.of(deployment),
        uat=_uat(deployment),
        tests=_tests(deployment.promoted_from),
        gate=gate(deployment, user, rights, now=now),
        may=abilities.answer(user, deployment, now=now),
        answer=deployment.answer,
        void=tuple(deployment.answers.filter(void_at__isnull=False).select_related("by").order_by("pk")),
        told=tuple(dict.fromkeys(one.user.name if one.user else one.address for one in told)),
        steps=_steps(deployment),
        way_back=tuple(_way_back(deployment)),
        now=now,
    )


def _uat(deployment: Deployment) -> Deployment | None:
    if deployment.promoted_from_id is None:
        return None
    return Deployment.objects.get_queryset().for_page().get(pk=deployment.promoted_from_id)


def _tests(uat: Deployment | None) -> str:
    """What its tests said, in the words of the tile."""
    if uat is None:
        return ""
    step = uat.run.steps.filter(kind="smoke_tests", back=False).first()
    return step.summary if step is not None else ""


def _steps(deployment: Deployment) -> tuple[tuple[str, str, int | None], ...]:
    """What will be done after Deploy was pressed: name, purpose, usual seconds."""
    usual = usual_seconds(deployment.environment_id)
    kinds = [kind for kind in deployment.readable_spec().kinds if kind not in ("approval", "confirm")]
    return tuple((looks.label(kind), looks.PURPOSES.get(kind, ""), _usual(kind, usual)) for kind in kinds)


def _usual(kind: str, usual: Mapping[str, int]) -> int | None:
    """How long people take is nobody's measure."""
    return None if kind in GATES else usual.get(kind)


def _way_back(deployment: Deployment) -> list[str]:
    """What a failure, or a Rollback in the window, would do."""
    back = deployment.back_to
    if back is None:
        return ["Nothing has been released here before: a failure leaves the maintenance screen up."]
    said = [f"Release {back.number} ({back.revision}) is put back and tested."]
    if deployment.stored_plan.get("data", {}).get("database"):
        said.append("The database is put back as the backup saved it: what people enter after that moment is lost.")
    else:
        said.append("This site has no database that is saved.")
    lasts = deployment.readable_spec().settings("rollback_window").lasts
    minutes = int(lasts.total_seconds() // 60)
    said.append(f"For {minutes} minutes after the release one click does this; nobody has to approve it again.")
    return said
