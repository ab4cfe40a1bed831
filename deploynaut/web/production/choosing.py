"""What may be chosen for an environment now: promotable revisions, what is refused, who will be asked, what is in the
way. All from rows; git is never asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments import promotion
from deploynaut.deployments.approval import able_to_answer, groups
from deploynaut.deployments.models import Bar, Deployment
from deploynaut.engine.pipeline import PipelineSpec, SpecError, Status, StepStatus
from deploynaut.instances import closures
from deploynaut.instances.closures import Closure
from deploynaut.instances.models import Environment
from deploynaut.web import abilities
from deploynaut.web.abilities import Ability
from deploynaut.web.production.words import names
from deploynaut.web.templatetags.shown import span

CHOICES = 20
"""Promotable revisions that are listed; an older one is chosen by its commit id."""
WITHDRAWN = 5


@dataclass(frozen=True, slots=True)
class Promotable:
    """One revision that passed UAT. `live`: it is what runs now. `bar`: it was rolled back here."""

    passed: Deployment
    live: bool
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class Group:
    """Who is asked together, and how long after the one before."""

    people: str
    after: str


@dataclass(frozen=True, slots=True)
class Choosing:
    """What stands around the choice. `why_none`: why nothing can be chosen. `rule`: what promotion demands."""

    source: Environment | None
    listed: tuple[Promotable, ...]
    more: int
    why_none: str
    withdrawn: tuple[Deployment, ...]
    bars: tuple[Bar, ...]
    groups: tuple[Group, ...]
    lift: Ability
    closed: Closure | None
    override: bool
    glass: Ability | None
    instead: Ability | None

    @property
    def first(self) -> str:
        """The commit that is offered first: the newest that is neither live nor refused."""
        return next((one.passed.commit for one in self.listed if not one.live and one.bar is None), "")


def choosing(
    environment: Environment,
    user: User,
    rights: UserRights,
    *,
    live: Deployment | None,
    other: Deployment | None,
    now: datetime,
) -> Choosing:
    """Everything around a choice here. `other`: the open deployment that is in the way."""
    bars = tuple(
        Bar.objects.filter(environment=environment, lifted_at__isnull=True)
        .select_related("deployment__environment__instance", "deployment__run")
        .order_by("-pk")[:CHOICES]
    )
    spec, production = _spec(environment), environment.production
    source = promotion.source(environment, spec) if production and spec else None
    passed = promotion.promotable(environment) if source is not None else []
    closed = closures.why_closed(environment, now=now)
    return Choosing(
        source=source,
        listed=tuple(_listed(passed[:CHOICES], live, bars)),
        more=max(0, len(passed) - CHOICES),
        why_none="" if passed or not production else _why_none(environment, source, spec),
        withdrawn=_withdrawn(source, {one.commit for one in passed}),
        bars=bars,
        groups=_groups(environment, spec, user, now=now) if production and spec else (),
        lift=abilities.lift(user, rights, environment),
        closed=closed,
        override=closed is not None and abilities.may_override(rights, environment, closed),
        glass=abilities.break_glass(user, rights, environment, now=now) if production else None,
        instead=_instead(other, user, rights) if other is not None else None,
    )


def _spec(environment: Environment) -> PipelineSpec | None:
    try:
        return environment.spec()
    except SpecError:
        return None


def _listed(passed: Iterable[Deployment], live: Deployment | None, bars: Iterable[Bar]) -> Iterable[Promotable]:
    barred = {bar.commit: bar for bar in bars}
    for one in passed:
        yield Promotable(one, live is not None and live.commit == one.commit, barred.get(one.commit))


def _why_none(environment: Environment, source: Environment | None, spec: PipelineSpec | None) -> str:
    if spec is None:
        return "The pipeline of this environment cannot be read."
    if source is None:
        return f"Releases come here from {spec.promote_from}, and there is no such UAT environment."
    return f"Nothing has passed {source.name} yet. Release it to {source.name} first."


def _withdrawn(source: Environment | None, passed: set[str]) -> tuple[Deployment, ...]:
    """What passed UAT and was taken back since, newest first."""
    if source is None:
        return ()
    found = Deployment.objects.get_queryset().for_page().filter(environment=source, withdrawn_at__isnull=False)
    newest = found.exclude(commit__in=passed).select_related("withdrawn_by").order_by("-withdrawn_at")
    return tuple({one.commit: one for one in newest[:WITHDRAWN]}.values())


def _groups(environment: Environment, spec: PipelineSpec, user: User, *, now: datetime) -> tuple[Group, ...]:
    """Who would be asked to approve what this person begins, group after group."""
    gate = spec.settings("approval")
    able = able_to_answer(environment, owners=[user], now=now)
    filled = [people for people in groups(environment, gate.ask, able) if people]
    later = span(int(gate.escalate_after.total_seconds()))
    return tuple(Group(names(people), later if number else "") for number, people in enumerate(filled))


def _instead(other: Deployment, user: User, rights: UserRights) -> Ability:
    """Abort the open deployment and begin this one, in one act: only while nothing has been done yet."""
    may = abilities.abort(user, rights, other)
    if may.reason:
        return may
    if other.status is Status.QUEUED and other.run.begun_at is None:
        return Ability()
    waits = other.run.steps.filter(kind__in=("approval", "confirm"), status=StepStatus.WAITING)
    if other.status is Status.WAITING and waits.exists():
        return Ability()
    return Ability(f"#{other.number} is at work. Wait until it has ended, or abort it on its page.")
