"""What environments run, what is being done to them, and which need a person: a few queries for a whole page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.resolution import Resolution
from deploynaut.engine.pipeline import Status
from deploynaut.instances import closures
from deploynaut.instances.closures import Closure
from deploynaut.instances.models import Commit, Environment, Target
from deploynaut.web import abilities, looks, scope
from deploynaut.web.abilities import Ability

SETTLED = (Status.SUCCEEDED, Status.ROLLED_BACK, Status.ROLLBACK_FAILED)


@dataclass(frozen=True, slots=True)
class Row:
    """One environment as a table shows it. `live`: what runs there; `open`: what is being done to it."""

    environment: Environment
    live: Deployment | None
    subject: str
    open: Deployment | None
    stuck: Deployment | None
    ready: int
    closed: Closure | None = None

    @property
    def look(self) -> looks.Look:
        """The state in a word."""
        if self.open is not None:
            return looks.of_status(self.open.run.status)
        if self.stuck is not None:
            return looks.MAINTENANCE
        return looks.LIVE if self.live is not None else looks.NOTHING

    def deploy(self, user: User, rights: UserRights) -> Ability:
        """Can you deploy?"""
        return abilities.deploy(user, rights, self.environment, ready=self.ready > 0, closed=self.closed)


def rows(environments: Iterable[Environment]) -> list[Row]:
    """A row for each of the environments, in their order. Seven queries, however many there are."""
    found = sorted(environments, key=lambda one: (one.instance.name, _ORDER.get(one.kind, 9), one.name))
    keys = [environment.pk for environment in found]
    live = Deployment.objects.live_on(found)
    closed = closures.of(found, now=now())
    busy = {one.environment_id: one for one in open_deployments(keys)}
    stuck = {one.environment_id: one for one in in_maintenance(keys)}
    subjects = commit_subjects(live.values())
    ready = dict(
        Target.objects.filter(environment__in=keys, set_up_at__isnull=False)
        .order_by()
        .values_list("environment")
        .annotate(count=Count("pk"))
    )
    return [
        Row(
            environment=one,
            live=live.get(one.pk),
            subject=_subject(subjects, live.get(one.pk)),
            open=busy.get(one.pk),
            stuck=stuck.get(one.pk),
            ready=ready.get(one.pk, 0),
            closed=closed.get(one.pk),
        )
        for one in found
    ]


_ORDER = {"test": 0, "uat": 1, "production": 2}
"""The way of a release."""


def _subject(subjects: dict[tuple[int, str], str], live: Deployment | None) -> str:
    return subjects.get((live.environment.instance_id, live.commit), "") if live else ""


def open_deployments(environments: Iterable[int]) -> Iterable[Deployment]:
    """Those that have not ended."""
    return Deployment.objects.get_queryset().for_page().filter(environment__in=environments, active=True)


def in_maintenance(environments: Iterable[int]) -> Iterable[Deployment]:
    """The deployments that left an environment behind its maintenance screen: nothing good has followed,
    and nobody has resolved it."""
    later = Deployment.objects.filter(
        environment=OuterRef("environment"), number__gt=OuterRef("number"), run__status__in=SETTLED
    )
    resolved = Resolution.objects.filter(deployment=OuterRef("pk"), done_at__isnull=False)
    failed = Deployment.objects.get_queryset().for_page().filter(run__status=Status.ROLLBACK_FAILED)
    return failed.filter(~Exists(later), ~Exists(resolved), environment__in=environments)


def commit_subjects(deployments: Iterable[Deployment]) -> dict[tuple[int, str], str]:
    """Subjects of the deployed commits, by instance and commit id."""
    wanted = {(one.environment.instance_id, one.commit) for one in deployments}
    if not wanted:
        return {}
    where = Q(instance__in={key for key, _ in wanted}, hex__in={commit for _, commit in wanted})
    return {(row.instance_id, row.hex): row.subject for row in Commit.objects.filter(where).defer("body")}


def stuck_for(rights: UserRights) -> list[Deployment]:
    """The deployments whose rollback failed on environments this person sees, newest first."""
    return list(in_maintenance(scope.environments(rights).values("pk")))  # type: ignore[arg-type]
