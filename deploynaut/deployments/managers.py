"""How deployments begin, and what the environments run. One door: every way of beginning one goes through `begin`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

from deploynaut.accounts.models import User
from deploynaut.deployments.beginning import AlreadyOpen, CannotBegin, Wish, begin
from deploynaut.engine.pipeline import Status
from deploynaut.instances.models import Environment
from deploynaut.instances.revisions import Revision

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment
__all__ = ["AlreadyOpen", "CannotBegin", "DeploymentManager", "DeploymentQuerySet"]


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    """Many deployments."""

    def for_page(self) -> DeploymentQuerySet:
        """With what a list shows, in one query."""
        return self.select_related("environment__instance", "run", "initiator", "back_to")

    def stood(self) -> DeploymentQuerySet:
        """Those that passed everything and were not rolled back."""
        return self.filter(run__status=Status.SUCCEEDED)

    def good(self) -> DeploymentQuerySet:
        """Those that stood, and that nobody has withdrawn: known good."""
        return self.stood().filter(withdrawn_at__isnull=True)

    def live(self) -> DeploymentQuerySet:
        """The newest of each environment that stood: what runs there, withdrawn or not."""
        newest = self.stood().order_by().values("environment").annotate(newest=models.Max("number"))
        pairs = models.Q(pk__in=[])
        for row in newest:
            pairs |= models.Q(environment=row["environment"], number=row["newest"])
        return self.filter(pairs)


class DeploymentManager(models.Manager["Deployment"]):
    """Begins deployments, and answers what runs where."""

    def get_queryset(self) -> DeploymentQuerySet:
        """All deployments."""
        return DeploymentQuerySet(self.model, using=self._db)

    def live_on(self, environments: Iterable[Environment]) -> dict[int, Deployment]:
        """What runs on each environment, by its id; one that was never released to is not there."""
        keys = [environment.pk for environment in environments]
        found = {one.environment_id: one for one in self.get_queryset().filter(environment__in=keys).live().for_page()}
        return found | self._resolved(keys, found)

    def _resolved(self, keys: list[int], stood: dict[int, Deployment]) -> dict[int, Deployment]:
        """Where somebody has said after a failed rollback what runs, and nothing has stood since."""
        named = self.get_queryset().for_page().filter(environment__in=keys, named_live__done_at__isnull=False)
        # What was resolved, by whose failure: the newest of each environment counts, unless something has stood since.
        failures = named.order_by().annotate(failure=models.Max("named_live__deployment__number"))
        numbers: dict[int, int] = dict(failures.values_list("pk", "failure"))
        latest = {one.environment_id: one for one in sorted(named, key=lambda one: numbers[one.pk])}
        return {key: one for key, one in latest.items() if key not in stood or numbers[one.pk] > stood[key].number}

    def known_good(self, environment: Environment) -> Deployment | None:
        """The last that passed everything and was not withdrawn: what a failing release goes back to.

        It is the live one where that is known good.
        """
        return self.get_queryset().filter(environment=environment).good().order_by("-number").first()

    def open_on(self, environment: Environment) -> Deployment | None:
        """The open deployment, if there is one."""
        return self.get_queryset().for_page().filter(environment=environment, active=True).first()

    def begin(
        self,
        *,
        environment: Environment,
        by: User,
        revision: Revision,
        now: datetime,
        instead_of: Deployment | None = None,
        scheduled_for: datetime | None = None,
        override: str = "",
        break_glass: str = "",
    ) -> Deployment:
        """Begin the release process; see `beginning.begin`, which names what it raises.

        `instead_of`: an open deployment that is aborted first, in the same act. `scheduled_for`: on production Deploy
        may be pressed from then on, elsewhere the work begins then. `override`: why a freeze does not count.
        `break_glass`: why nobody approves it.
        """
        wish = Wish(by, revision, instead_of, scheduled_for, override, break_glass)
        return begin(environment, wish, now=now)

    def locked(self, pk: int) -> Deployment:
        """The deployment with its rows as they are now, which nobody else changes until the transaction ends."""
        self.get_queryset().select_for_update().get(pk=pk)
        return self.get_queryset().for_page().get(pk=pk)

    def left_in_maintenance(self, environment: Environment) -> bool:
        """The maintenance screen of a failed rollback is up until somebody sees to it."""
        return self.left_behind(environment) is not None

    def left_behind(self, environment: Environment) -> Deployment | None:
        """The deployment that could not be put back, while nothing good has followed and nobody has resolved it."""
        settled = (Status.SUCCEEDED, Status.ROLLED_BACK, Status.ROLLBACK_FAILED)
        found = self.get_queryset().for_page().filter(environment=environment, run__status__in=settled)
        last = found.order_by("-number").first()
        if last is None or last.run.status != Status.ROLLBACK_FAILED:
            return None
        return None if last.resolutions.filter(done_at__isnull=False).exists() else last
