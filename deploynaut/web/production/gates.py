"""A deployment that waits: who is awaited since when, what this viewer may choose, what comes by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments.approval import asked_next
from deploynaut.deployments.models import Answer, Deployment
from deploynaut.engine.pipeline import SpecError, StepStatus
from deploynaut.runs.models import StepRun
from deploynaut.web import abilities
from deploynaut.web.abilities import Ability
from deploynaut.web.production.words import names, on


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to press. `opens`: it leads to a page that asks, and does nothing by itself."""

    name: str
    word: str
    url: str
    ability: Ability
    look: str = ""
    icon: str = ""
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate shows one viewer. `choices`: theirs alone. `lines`: name and words, for everybody. `awaits`: names.

    `lapses`: what comes about when nobody does anything; `until`: when. `counts`: a countdown belongs there.
    """

    kind: str
    step: StepRun
    awaits: str
    sentence: str
    choices: tuple[Choice, ...]
    lines: tuple[tuple[str, str], ...]
    lapses: str
    until: datetime | None
    counts: bool = False

    @property
    def heading(self) -> str:
        """What the panel is called."""
        return {"approval": "Waiting for approval", "confirm": "Waiting for Deploy"}.get(self.kind, "Rollback window")


def gate(deployment: Deployment, user: User, rights: UserRights, *, now: datetime) -> Gate | None:
    """The gate at which the deployment waits; None when it does not."""
    step = deployment.run.steps.filter(status=StepStatus.WAITING).first()
    make = None if step is None else _GATES.get(step.kind)
    if step is None or make is None:
        return None
    return make(deployment, step, user, rights, now)


def url(name: str, deployment: Deployment) -> str:
    """The address of an act or page of this deployment."""
    where = deployment.environment
    return reverse(name, args=[where.instance.name, where.name, deployment.number])


# --- approval --------------------------------------------------------------------------------------------------------


def _approval(deployment: Deployment, step: StepRun, user: User, rights: UserRights, now: datetime) -> Gate:
    asked, newest = deployment.asked(), deployment.asked_now()
    may = abilities.answer(user, deployment, now=now)
    look = Choice("approval", "Approve or reject", url("approval", deployment), may, "main", "check", opens=True)
    read = Choice("approval", "See what is asked", url("approval", deployment), Ability(), opens=True)
    return Gate(
        kind=step.kind,
        step=step,
        awaits=names(asked),
        sentence=f"Waiting for approval by {names(asked, last='or') or 'somebody who may approve'}.",
        choices=(look if may.yes else read,),
        lines=tuple(filter(None, _asking(deployment, asked, newest, step, may, now))),
        lapses=f"{_day(step.deadline, now)}The release expires, and the site stays as it is.",
        until=step.deadline,
    )


def _asking(
    deployment: Deployment, asked: list[User], newest: list[User], step: StepRun, may: Ability, now: datetime
) -> list[tuple[str, str] | None]:
    yours = None if may.yes else ("You", may.reason)
    earlier = [one for one in asked if one not in newest]
    return [
        ("Asked", names(newest) + (f"; before them {names(earlier)}" if earlier else "")),
        _next(deployment, step, now),
        ("Then", f"{deployment.attendant.name} presses Deploy. Nothing is done to the site before."),
        yours,
    ]


def _next(deployment: Deployment, step: StepRun, now: datetime) -> tuple[str, str] | None:
    if step.escalates_at is None or (step.deadline and step.escalates_at >= step.deadline):
        return None
    try:
        people = asked_next(deployment, now=now)
    except SpecError:
        return None
    return ("Asked next", f"{names(people)} {on(step.escalates_at, now=now)}, if nobody has answered by then")


def _day(moment: datetime | None, now: datetime) -> str:
    """`On 8 July, 12:00 UTC: `, as the beginning of what happens then."""
    if moment is None:
        return ""
    said = on(moment, now=now)
    return f"{said[:1].upper()}{said[1:]}: "


# --- Deploy ----------------------------------------------------------------------------------------------------------


def _confirm(deployment: Deployment, step: StepRun, user: User, rights: UserRights, now: datetime) -> Gate:
    attends = deployment.attendant
    return Gate(
        kind=step.kind,
        step=step,
        awaits=attends.name,
        sentence=f"Waiting for {attends.name} to press Deploy.",
        choices=_to_press(deployment, user, rights, now),
        lines=tuple(_pressing(deployment, now)),
        lapses=f"{_day(step.deadline, now)}The release expires, and the site stays as it is.",
        until=step.deadline,
    )


def _to_press(deployment: Deployment, user: User, rights: UserRights, now: datetime) -> tuple[Choice, ...]:
    where = deployment.environment
    if deployment.attendant.pk == user.pk:
        press = abilities.start(user, rights, deployment, now=now)
        return (Choice("start", f"Deploy to {where.name}", url("start", deployment), press, "main", "play"),)
    over = abilities.take_over(user, rights, deployment)
    take = Choice("attend", "Take over attendance", url("attend", deployment), over)
    return (take,) if over.yes else ()


def _pressing(deployment: Deployment, now: datetime) -> list[tuple[str, str]]:
    answer = deployment.answer
    found = [("Approved", _approved(answer, now))] if answer is not None else []
    if deployment.break_glass:
        found = [("Break glass", f"{deployment.initiator.name}: {deployment.break_glass}")]
    if deployment.scheduled_for:
        found.append(("Planned", f"{on(deployment.scheduled_for, now=now)}. Deploy may be pressed from then on."))
    attends = deployment.attendant
    who = f"{attends.name} says by pressing Deploy that they attend the release. It begins at once."
    if deployment.attended_by:
        who = f"{attends.name} took over from {deployment.initiator.name}. {who}"
    return [*found, ("Attended", who)]


def _approved(answer: Answer, now: datetime) -> str:
    return f"by {answer.by.name} {on(answer.at, now=now)}" + (f": {answer.reason}" if answer.reason else "")


# --- the rollback window ---------------------------------------------------------------------------------------------


def _window(deployment: Deployment, step: StepRun, user: User, rights: UserRights, now: datetime) -> Gate:
    may = abilities.roll_back(user, rights, deployment)
    who = f"{deployment.attendant.name} looks at the site"
    return Gate(
        kind=step.kind,
        step=step,
        awaits=deployment.attendant.name,
        sentence=f"Waiting in its rollback window: {deployment.revision} is live and was tested.",
        choices=_window_choices(deployment, user, rights, may),
        lines=tuple(filter(None, (
            ("Now", f"{who}. Rollback puts code and database back, without another approval."),
            ("You", may.reason) if not may.yes else None,
            ("Extended", "once: that is all there is") if deployment.run.extended else None,
        ))),
        lapses=f"{_day(step.deadline, now)}The window closes by itself, and the release stays.",
        until=step.deadline,
        counts=True,
    )  # fmt: skip


def _window_choices(deployment: Deployment, user: User, rights: UserRights, may: Ability) -> tuple[Choice, ...]:
    if not may.yes:
        return ()
    longer = abilities.extend(user, rights, deployment)
    return (
        Choice("rollback", "Rollback", url("rollback", deployment), may, "stop", "undo", opens=True),
        Choice("dismiss", "Dismiss", url("dismiss", deployment), may, "", "check"),
        Choice("extend", "Extend once", url("extend", deployment), longer, "quiet", "", opens=True),
    )


_GATES = {"approval": _approval, "confirm": _confirm, "rollback_window": _window}
