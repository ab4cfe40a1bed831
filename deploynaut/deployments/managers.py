"""How deployments begin, and what the environments run. One door: every way of beginning one goes through `begin`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require, who_may
from deploynaut.accounts.roles import Right
from deploynaut.engine.pipeline import PipelineSpec, SpecError, Status
from deploynaut.instances.models import Commit, Environment
from deploynaut.instances.revisions import By, Revision, RevisionNotFound
from deploynaut.runs.models import Run

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

NO_APPROVAL_YET = "Production releases need approval, which this version does not have yet"


class CannotBegin(Exception):
    """A deployment may not begin now; the text says why and what to do."""


class AlreadyOpen(CannotBegin):
    """The environment has an open deployment; `deployment` is the one."""

    def __init__(self, deployment: Deployment, *, now: datetime) -> None:
        self.deployment = deployment
        minutes = int((now - deployment.begun_at).total_seconds() // 60)
        since = "just now" if minutes < 1 else f"{minutes} min ago"
        super().__init__(
            f"{deployment.initiator.name} began {deployment} ({deployment.revision}) {since}. "
            f"Wait until it has ended, or ask {_managers(deployment.environment)} to abort it."
        )


def _managers(environment: Environment) -> str:
    people = who_may(Right.ABORT, instance=environment.instance_id, environment=environment.pk)
    return " or ".join(user.name for user in people[:3]) or "an Instance Manager"


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    """Many deployments."""

    def for_page(self) -> DeploymentQuerySet:
        """With what a list shows, in one query."""
        return self.select_related("environment__instance", "run", "initiator", "back_to")

    def good(self) -> DeploymentQuerySet:
        """Those that passed everything and were not rolled back."""
        return self.filter(run__status=Status.SUCCEEDED)

    def live(self) -> DeploymentQuerySet:
        """The newest good one of each environment: what runs there."""
        newest = self.good().order_by().values("environment").annotate(newest=models.Max("number"))
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
        found = self.get_queryset().filter(environment__in=list(environments)).live().for_page()
        return {deployment.environment_id: deployment for deployment in found}

    def known_good(self, environment: Environment) -> Deployment | None:
        """The last one that passed everything: what a failing release goes back to."""
        return self.get_queryset().filter(environment=environment).good().order_by("-number").first()

    def open_on(self, environment: Environment) -> Deployment | None:
        """The open deployment, if there is one."""
        return self.get_queryset().for_page().filter(environment=environment, active=True).first()

    def begin(self, *, environment: Environment, by: User, revision: Revision, now: datetime) -> Deployment:
        """Begin the release process. One transaction: deployment, run, steps, audit; then a worker is woken.

        Raises NotAllowed (no right), CannotBegin (production; not ready), AlreadyOpen, RevisionNotFound.
        """
        right = Right.BEGIN_PRODUCTION if environment.production else Right.RELEASE_TEST
        require(by, right, instance=environment.instance_id, environment=environment.pk, place=environment.place)
        if environment.production:
            raise CannotBegin(f"{NO_APPROVAL_YET}.")
        with transaction.atomic():
            # The row lock makes two clicks stand in line; the constraint is what guarantees it.
            environment = Environment.objects.select_for_update().select_related("instance").get(pk=environment.pk)
            if (other := self.open_on(environment)) is not None:
                raise AlreadyOpen(other, now=now)
            spec = _ready(environment)
            _known(environment, revision, self)
            return self._create(environment, spec, by, revision, now)

    def _create(
        self, environment: Environment, spec: PipelineSpec, by: User, revision: Revision, now: datetime
    ) -> Deployment:
        environment.last_number += 1
        environment.save(update_fields=["last_number"])
        good = self.known_good(environment)
        deployment = self.model(
            environment=environment,
            number=environment.last_number,
            commit=revision.commit,
            chosen_by=revision.by,
            chosen_name=revision.name,
            initiator=by,
            begun_at=now,
            pipeline=environment.pipeline,
            recipe=environment.recipe,
            recipe_options=environment.recipe_options,
            back_to=good,
        )
        deployment.run = self._run(deployment, spec, now)
        deployment.save()
        Run.objects.filter(pk=deployment.run_id).update(subject_id=deployment.pk)
        deployment.targets.set(environment.ready_targets())
        audit.record(
            "release begun",
            actor=by,
            subject=audit.Subject("deployment", deployment.pk, str(deployment)),
            after={"commit": revision.commit, "chosen by": f"{revision.by} {revision.name}".strip()},
            now=now,
        )
        return deployment

    def _run(self, deployment: Deployment, spec: PipelineSpec, now: datetime) -> Run:
        return Run.objects.begin(
            kind="deployment",
            subject_id=0,
            title=str(deployment),
            lock_key=deployment.environment.lock,
            steps=spec.kinds,
            now=now,
            undoable=True,
            first=deployment.back_to is None,
            screen_was_up=self.left_in_maintenance(deployment.environment),
        )

    def left_in_maintenance(self, environment: Environment) -> bool:
        """The last deployment could not be put back: the maintenance screen is up until somebody sees to it."""
        settled = (Status.SUCCEEDED, Status.ROLLED_BACK, Status.ROLLBACK_FAILED)
        last = self.get_queryset().filter(environment=environment, run__status__in=settled).order_by("-number")
        return last.values_list("run__status", flat=True).first() == Status.ROLLBACK_FAILED


def _ready(environment: Environment) -> PipelineSpec:
    """What must be there before anything begins. Raises CannotBegin with the first thing that is missing."""
    if not environment.ready_targets().filter(web=True).exists():
        raise CannotBegin(
            f"{environment} has no target that is set up and serves pages. Add one, or check its connection."
        )
    try:
        environment.make_recipe()
        return environment.spec()
    except (SpecError, ValueError) as error:
        raise CannotBegin(f"The settings of {environment} cannot be used: {error}") from None


def _known(environment: Environment, revision: Revision, deployments: DeploymentManager) -> None:
    """The revision is one of this instance; an earlier release really was one."""
    if not Commit.objects.filter(instance=environment.instance_id, hex=revision.commit).exists():
        raise RevisionNotFound(f"Commit {revision.commit} is not in {environment.instance}. Fetch the latest changes.")
    if revision.by is By.RELEASE:
        earlier = deployments.get_queryset().filter(
            environment__instance=environment.instance_id, commit=revision.commit
        )
        if not earlier.exists():
            raise RevisionNotFound(f"{revision.commit[:7]} has not been released in {environment.instance} before.")
