"""Deployment: one run of a pipeline for one revision on one environment, numbered per environment (`acme/prod #42`)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models, transaction
from django.urls import reverse

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.deployments.managers import DeploymentManager
from deploynaut.engine.pipeline import AbortAsked, Event, PipelineSpec, Status, parse
from deploynaut.engine.recipes import Recipe, make
from deploynaut.instances.models import Environment, Target
from deploynaut.runs.models import Run


class Deployment(models.Model):
    """What was released where, by whom, and how it went.

    `commit` is what is deployed, whatever its branch or tag (`chosen_by`, `chosen_name`) does later. `pipeline`,
    `recipe`, `recipe_options` and `targets` are frozen when it begins: edits apply to the next one. `back_to`: the
    known good release it would go back to. `digest`: of the content laid out. `outcome`: one sentence for people.
    `actors`: who aborted it or asked for the way back.
    """

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="deployments")
    number = models.PositiveIntegerField()
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="deployment")
    commit = models.CharField(max_length=64)
    chosen_by = models.CharField(max_length=20)
    chosen_name = models.CharField(max_length=255, blank=True)
    initiator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="deployments")
    begun_at = models.DateTimeField()
    active = models.BooleanField(default=True)
    pipeline = models.TextField(blank=True)
    recipe = models.CharField(max_length=40)
    recipe_options = models.JSONField(default=dict)
    targets = models.ManyToManyField(Target, related_name="+")
    back_to = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64, blank=True)
    outcome = models.TextField(blank=True)
    actors = models.ManyToManyField(User, related_name="+")

    objects = DeploymentManager()

    class Meta:
        ordering: ClassVar = ["-begun_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["environment", "number"], name="one_number_an_environment"),
            models.UniqueConstraint(
                fields=["environment"], condition=models.Q(active=True), name="one_open_deployment_an_environment"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.environment} #{self.number}"

    def get_absolute_url(self) -> str:
        """Its page."""
        return reverse("deployment", args=[self.environment.instance.name, self.environment.name, self.number])

    # --- questions ---------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """The word it stands at."""
        return Status(self.run.status)

    @property
    def revision(self) -> str:
        """What people call it: the branch or tag it was chosen by, else the short id."""
        return self.chosen_name or self.commit[:7]

    def spec(self) -> PipelineSpec:
        """The frozen pipeline."""
        return parse(self.pipeline, production=self.environment.production, name=f"{self.environment}.yml")

    def make_recipe(self) -> Recipe:
        """The frozen recipe."""
        return make(self.recipe, self.recipe_options)

    # --- verbs -------------------------------------------------------------------------------------------------------

    def abort(self, *, by: User, now: datetime) -> None:
        """Abort Pipeline: what it leads to depends on the moment (docs/reference/statuses.md).

        Raises NotAllowed: no right, or it has ended.
        """
        where = self.environment
        own = by.pk == self.initiator_id
        require(by, Right.ABORT, instance=where.instance_id, environment=where.pk, own=own, place=where.place)
        self._act("aborted", AbortAsked(by=by.name), by=by, now=now)

    def _act(self, action: str, event: Event, *, by: User, now: datetime) -> None:
        """Take the event and write who caused it, in one transaction; then a worker looks."""
        with transaction.atomic():
            before = self.run.status
            self.actors.add(by)
            self.run.apply(event, now=now)
            audit.record(
                action,
                actor=by,
                subject=audit.Subject("deployment", self.pk, str(self)),
                before={"status": before},
                after={"status": self.run.status},
                now=now,
            )
            self.run.wake()
