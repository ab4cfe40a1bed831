"""Deployment: one run of a pipeline for one revision on one environment, numbered per environment (`acme/prod #42`)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models, transaction
from django.urls import reverse

from deploynaut.accounts import audit
from deploynaut.accounts.models import AuditEntry, User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.deployments import gates, withdrawal
from deploynaut.deployments.approval import Answer, Asked, asked, asked_now
from deploynaut.deployments.bars import Bar
from deploynaut.deployments.managers import DeploymentManager
from deploynaut.deployments.plan import Plan
from deploynaut.deployments.resolution import Resolution
from deploynaut.engine.pipeline import AbortAsked, NotAllowed, PipelineSpec, SpecError, Status, parse
from deploynaut.engine.recipes import Recipe, make
from deploynaut.instances.models import Environment, Target
from deploynaut.runs.models import Run

__all__ = ["Answer", "Asked", "Bar", "Deployment", "Resolution"]


class Deployment(models.Model):
    """What was released where, by whom, and how it went.

    `commit` is what is deployed, whatever its branch or tag (`chosen_by`, `chosen_name`) does later. `pipeline`,
    `recipe`, `recipe_options` and `targets` are frozen when it begins: edits apply to the next one. `back_to`: the
    known good release it would go back to. `digest`: of the content laid out. `outcome`: one sentence for people.
    `actors`: who aborted it or asked for the way back. `promoted_from`: the deployment to UAT that it comes from.
    `attended_by`: who took over from the initiator. `round`: of asking for approval; a void one begins the next.
    `excused`: a failing test was excused by name. `override`, `break_glass`: reasons, empty when neither was done.
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
    promoted_from = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="promotions")
    stored_plan = models.JSONField(default=dict)
    plan_hash = models.CharField(max_length=64, blank=True)
    round = models.PositiveSmallIntegerField(default=1)
    attended_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    scheduled_for = models.DateTimeField(null=True)
    override = models.TextField(blank=True)
    break_glass = models.TextField(blank=True)
    excused = models.BooleanField(default=False)
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    withdrawn_reason = models.TextField(blank=True)

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

    def readable_spec(self) -> PipelineSpec:
        """For gates and pages: the frozen pipeline, or the defaults where an upgrade can read it no more.

        A gate that cannot be given its times would wait for ever, and hold its lock.
        """
        try:
            return self.spec()
        except SpecError:
            return parse("", production=self.environment.production)

    def make_recipe(self) -> Recipe:
        """The frozen recipe."""
        return make(self.recipe, self.recipe_options)

    @property
    def plan(self) -> Plan:
        """What would be done, and what an approval is for."""
        return Plan.read(self.stored_plan)

    @property
    def answer(self) -> Answer | None:
        """The answer that stands; None when nobody has answered, or it is void."""
        return self.answers.filter(void_at__isnull=True).select_related("by").first()

    @property
    def approver(self) -> User | None:
        """Who approved the plan that stands."""
        found = self.answer
        return found.by if found is not None and found.approved else None

    @property
    def attendant(self) -> User:
        """Who attends it: the initiator, or whoever took over."""
        return self.attended_by or self.initiator

    @property
    def migrated(self) -> bool:
        """The release ran a migration, so its database cannot stay when the code goes back."""
        return bool(self.run.facts().get("prepare", {}).get("migration"))

    def is_own(self, user: User) -> bool:
        """Begun, or attended now, by this person."""
        return user.pk in (self.initiator_id, self.attended_by_id)

    def asked(self) -> list[User]:
        """Everybody asked to approve in this round."""
        return asked(self)

    def asked_now(self) -> list[User]:
        """The group that was asked last."""
        return asked_now(self)

    def as_subject(self) -> audit.Subject:
        """As the audit trail names it."""
        return audit.Subject("deployment", self.pk, str(self))

    def last_deed(self) -> str:
        """Who did what to it last, and when: the answer to a click that came too late."""
        entry = AuditEntry.objects.about("deployment", self.pk).filter(result="ok").first()
        if entry is None:
            return ""
        return f"The last thing done: {entry.actor_name}, {entry.action}, {entry.at:%H:%M} UTC on {entry.at:%-d %B}."

    # --- verbs -------------------------------------------------------------------------------------------------------

    def approve(self, *, by: User, plan_hash: str, now: datetime) -> None:
        """Approve the plan with this hash; see `gates.answer`."""
        gates.answer(self, approved=True, by=by, plan_hash=plan_hash, now=now)

    def reject(self, *, by: User, plan_hash: str, reason: str, now: datetime) -> None:
        """Reject it, with a reason; see `gates.answer`."""
        gates.answer(self, approved=False, by=by, plan_hash=plan_hash, reason=reason, now=now)

    def start(self, *, by: User, plan_hash: str, now: datetime) -> None:
        """The final Deploy; see `gates.start`."""
        gates.start(self, by=by, plan_hash=plan_hash, now=now)

    def take_over(self, *, by: User, now: datetime) -> None:
        """Attend it in the initiator's place; see `gates.take_over`."""
        gates.take_over(self, by=by, now=now)

    def roll_back(self, *, by: User, now: datetime, code_only: bool = False) -> None:
        """Rollback in the window; see `gates.roll_back`."""
        gates.roll_back(self, by=by, now=now, code_only=code_only)

    def dismiss(self, *, by: User, now: datetime) -> None:
        """Close the window; see `gates.dismiss`."""
        gates.dismiss(self, by=by, now=now)

    def extend(self, *, by: User, reason: str, now: datetime) -> None:
        """Keep the window open once more; see `gates.extend`."""
        gates.extend(self, by=by, reason=reason, now=now)

    def withdraw(self, *, by: User, reason: str, now: datetime) -> Deployment | None:
        """Take its revision out of promotion; see `withdrawal.withdraw`."""
        return withdrawal.withdraw(self, by=by, reason=reason, now=now)

    def abort(self, *, by: User, now: datetime) -> None:
        """Abort Pipeline: what it leads to depends on the moment (docs/reference/statuses.md).

        Raises NotAllowed: no right, or it has ended; also by a time that was over before, though nobody had read it.
        """
        where, own = self.environment, self.is_own(by)
        require(by, Right.ABORT, instance=where.instance_id, environment=where.pk, own=own, place=where.place)
        with transaction.atomic():
            fresh = type(self).objects.locked(self.pk)
            if fresh.status.ended:
                raise NotAllowed(f"{fresh} has ended: {fresh.status}. {fresh.last_deed()}")
            late = gates.time_is_over(fresh, now=now)
            if late is None:
                fresh._abort(by=by, now=now)
            fresh.run.wake()
        self.refresh_from_db()
        self.run.refresh_from_db()
        if late is not None:
            raise late

    def _abort(self, *, by: User, now: datetime) -> None:
        before = self.run.status
        self.actors.add(by)
        self.run.apply(AbortAsked(by=by.name), now=now)
        after = {"status": self.run.status}
        # Then it is noted, and leads to nothing (decisions, "Abort, by moment").
        did = "abort asked for while going back" if before == Status.ROLLING_BACK else "aborted"
        audit.record(did, actor=by, subject=self.as_subject(), before={"status": before}, after=after, now=now)
