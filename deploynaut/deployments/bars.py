"""After a rollback an environment refuses the same revision until somebody lifts that, with a reason."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.instances.models import Environment

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment


class BarManager(models.Manager["Bar"]):
    """Sets and finds bars."""

    def standing(self, environment: Environment, commit: str) -> Bar | None:
        """What keeps this revision out of this environment now."""
        found = self.filter(environment=environment, commit=commit, lifted_at__isnull=True)
        return found.select_related("deployment__environment__instance", "deployment__run").first()

    def set(self, deployment: Deployment, *, now: datetime) -> Bar:
        """Keep the revision of a deployment that was rolled back out of its environment."""
        bar, _ = self.get_or_create(
            environment=deployment.environment,
            commit=deployment.commit,
            lifted_at=None,
            defaults={"deployment": deployment, "at": now},
        )
        return bar


class Bar(models.Model):
    """One revision that one environment refuses, and who has lifted that."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="bars")
    commit = models.CharField(max_length=64)
    deployment = models.ForeignKey("deployments.Deployment", on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    lifted_reason = models.TextField(blank=True)

    objects = BarManager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "commit"],
                condition=models.Q(lifted_at__isnull=True),
                name="one_bar_a_revision",
            )
        ]

    def __str__(self) -> str:
        return f"{self.commit[:7]} is refused on {self.environment}"

    @property
    def words(self) -> str:
        """Why the revision is refused, and what to do."""
        return (
            f"{self.deployment} released {self.commit[:7]} and was rolled back, so it is refused here until somebody "
            "who may lift that gives a reason."
        )

    def lift(self, *, by: User, reason: str, now: datetime) -> None:
        """Let the revision in again. Raises NotAllowed; ValidationError (`reason`, or when it has been lifted)."""
        where = self.environment
        right = lifting(where)
        require(by, right, instance=where.instance_id, environment=where.pk, place=where.place)
        said = reason_of(reason)
        with transaction.atomic():
            changed = Bar.objects.filter(pk=self.pk, lifted_at__isnull=True).update(
                lifted_at=now, lifted_by=by, lifted_reason=said
            )
            if not changed:
                raise ValidationError("Somebody has lifted that already.")
            subject = audit.Subject("environment", where.pk, str(where))
            after = {"commit": self.commit, "reason": said}
            audit.record("refused revision let in again", actor=by, subject=subject, after=after, now=now)
        self.refresh_from_db()


def lifting(environment: Environment) -> Right:
    """The right to let a refused revision in again."""
    return Right.APPROVE if environment.production else Right.RELEASE_TEST
