"""What a deployment's page says about it beside its tiles: commit, plan, snapshots, targets, messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments.models import Answer, Deployment
from deploynaut.deployments.resolution import Resolution
from deploynaut.engine.pipeline import Status
from deploynaut.instances.models import Commit, Target
from deploynaut.notify.models import Message
from deploynaut.runs.models import StepRun
from deploynaut.snapshots.models import Snapshot
from deploynaut.web import abilities, looks
from deploynaut.web.abilities import Ability
from deploynaut.web.deployments.tiles import Tiles, tiles, usual_seconds
from deploynaut.web.production.gates import Gate, gate
from deploynaut.web.production.words import on


@dataclass(frozen=True, slots=True)
class Told:
    """What one person was told once, by each way: e-mail, text."""

    who: str
    event: str
    ways: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that the live part of the page shows, as of one moment."""

    deployment: Deployment
    commit: Commit | None
    tiles: Tiles
    abort: Ability
    targets: tuple[Target, ...]
    snapshots: tuple[Snapshot, ...]
    messages: tuple[Told, ...]
    gate: Gate | None
    answer: Answer | None
    uat: Deployment | None
    withdraw: Ability
    resolve: Ability | None
    resolved: Resolution | None
    now: datetime

    @property
    def look(self) -> looks.Look:
        """The state in a word."""
        return looks.of_status(self.deployment.run.status)

    @property
    def ended(self) -> bool:
        """Nothing moves any more."""
        return self.deployment.status.ended

    @property
    def seconds(self) -> int:
        """How long it has taken."""
        run = self.deployment.run
        return max(0, int(((run.ended_at or self.now) - self.deployment.begun_at).total_seconds()))

    @property
    def percent(self) -> int:
        """For the title."""
        return 100 if self.ended else self.tiles.percent

    @property
    def sentence(self) -> str:
        """What is going on, or how it ended, for people and screen readers."""
        if self.ended:
            return self.deployment.outcome or f"{self.look.word}."
        if self.deployment.run.abort_by and self.deployment.status is not Status.ROLLING_BACK:
            return f"{self.deployment.run.abort_by} asked to abort. The step in hand is being stopped."
        if self.gate is not None:
            return self.gate.sentence
        current = self.tiles.current
        if self.deployment.status is Status.ROLLING_BACK:
            cause = self.deployment.run.cause.rstrip(".")
            return f"{cause}. The site is being put back." if cause else "The site is being put back."
        later = self.deployment.run.not_before
        if later is not None and later > self.now and self.deployment.status is Status.QUEUED:
            return f"Planned: it begins by itself {on(later, now=self.now)}."
        if current is None:
            return "Waiting for a worker to take it." if self.deployment.status is Status.QUEUED else "Going on."
        return f"{current.label}: {current.look.word.lower()}."

    @property
    def rest(self) -> str:
        """The sentence as it is read next to the badge, which has said its first word already."""
        current = self.tiles.current
        if current is not None and self.sentence.startswith(f"{current.label}:"):
            return f"{current.label},"
        return self.sentence.removeprefix(f"{self.look.word}. ").removeprefix(f"{self.look.word} ")


def shown(deployment: Deployment, user: User, rights: UserRights, *, now: datetime) -> Shown:
    """What this person sees of the deployment now. A few queries, however long its history."""
    run = deployment.run
    instance = deployment.environment.instance_id
    answer = deployment.answer if deployment.environment.production else None
    return Shown(
        deployment=deployment,
        commit=Commit.objects.filter(instance=instance, hex=deployment.commit).first(),
        tiles=tiles(run, usual=usual_seconds(deployment.environment_id), now=now, who=_who(deployment, answer)),
        abort=abilities.abort(user, rights, deployment),
        targets=tuple(deployment.targets.order_by("pk")),
        snapshots=tuple(run.snapshots.all()),
        messages=_told(run.messages.select_related("user").order_by("pk")),
        gate=gate(deployment, user, rights, now=now),
        answer=answer,
        uat=_uat(deployment),
        withdraw=abilities.withdraw(user, rights, deployment),
        resolve=abilities.resolve(user, rights, deployment.environment) if _left_behind(deployment) else None,
        resolved=deployment.resolutions.filter(done_at__isnull=False).select_related("by", "release").first(),
        now=now,
    )


def _told(messages: Iterable[Message]) -> tuple[Told, ...]:
    """In the order in which they were queued; what one person was told by several ways is one line."""
    found: dict[tuple[object, ...], list[Message]] = {}
    for one in messages:
        # A group that is asked again is told again: that is another line.
        found.setdefault((one.user_id or one.address, one.event, one.created_at), []).append(one)
    return tuple(
        Told(rows[0].user.name if rows[0].user else rows[0].place, rows[0].event, tuple(rows))
        for rows in found.values()
    )


def _uat(deployment: Deployment) -> Deployment | None:
    """The release to UAT that it comes from."""
    if deployment.promoted_from_id is None:
        return None
    return Deployment.objects.get_queryset().for_page().get(pk=deployment.promoted_from_id)


def _left_behind(deployment: Deployment) -> bool:
    """Its failed rollback keeps the site behind its screen still."""
    if deployment.status is not Status.ROLLBACK_FAILED:
        return False
    left = Deployment.objects.left_behind(deployment.environment)
    return left is not None and left.pk == deployment.pk


def _who(deployment: Deployment, answer: Answer | None) -> dict[str, str]:
    """Whose part a gate was, by its kind."""
    if not deployment.environment.production:
        return {}
    return {
        "approval": f"{answer.by.name}{f': {answer.reason}' if answer.reason else ''}" if answer else "",
        "confirm": f"{deployment.attendant.name} attends",
    }


def logs(deployment: Deployment) -> list[StepRun]:
    """The steps that have a log: those that have begun."""
    return list(deployment.run.steps.filter(begun_at__isnull=False).order_by("position"))
