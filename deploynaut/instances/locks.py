"""Locks that a person sets on an environment: nobody releases to it until the lock is lifted or has run out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import NotAllowed, Rights, require
from deploynaut.accounts.roles import Right

if TYPE_CHECKING:
    from deploynaut.instances.models import Environment


class LockQuerySet(models.QuerySet["EnvironmentLock"]):
    """Many locks."""

    def in_force(self, now: datetime) -> LockQuerySet:
        """Those that keep people from releasing now, with their owners."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), lifted_at=None).select_related("owner")


class LockManager(models.Manager["EnvironmentLock"]):
    """Sets locks."""

    def get_queryset(self) -> LockQuerySet:
        """All locks."""
        return LockQuerySet(self.model, using=self._db)

    def in_force(self, now: datetime) -> LockQuerySet:
        """Those that keep people from releasing now, with their owners."""
        return self.get_queryset().in_force(now)

    @transaction.atomic
    def set(
        self, environment: Environment, *, by: User, reason: str, now: datetime, expires_at: datetime | None = None
    ) -> EnvironmentLock:
        """Lock it. Raises NotAllowed, ValidationError (`reason`, `expires_at`; this person's lock is there already)."""
        require_set(by, environment)
        words = reason_of(reason)
        if expires_at is not None and expires_at <= now:
            raise ValidationError({"expires_at": "That is in the past. Give a time that is to come, or none."})
        own = self.get_queryset().filter(environment=environment, owner=by, lifted_at=None)
        if own.in_force(now).exists():
            raise ValidationError("You have locked this environment already. Lift that lock first.")
        # Written down as lifted when it ran out, so that the constraint lets the next one in.
        own.update(lifted_at=models.F("expires_at"))
        lock = self.create(environment=environment, owner=by, reason=words, at=now, expires_at=expires_at)
        lock.record("environment locked", by=by, now=now, reason=words)
        return lock


class EnvironmentLock(models.Model):
    """One lock: whose, why, until when (`expires_at` None: until somebody lifts it). Lifted ones are kept."""

    environment = models.ForeignKey("instances.Environment", on_delete=models.PROTECT, related_name="locks")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    lifted_because = models.TextField(blank=True)

    objects = LockManager()

    class Meta:
        ordering: ClassVar = ["-at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "owner"], condition=Q(lifted_at=None), name="one_lock_an_owner"
            )
        ]

    def __str__(self) -> str:
        return f"lock of {self.environment} by {self.owner}"

    @transaction.atomic
    def lift(self, *, by: User, reason: str, now: datetime) -> None:
        """Open the environment again. Raises NotAllowed, ValidationError (`reason`; lifted already, by whom)."""
        require_lift(by, self)
        words = reason_of(reason)
        gone = {"lifted_at": now, "lifted_by": by, "lifted_because": words}
        if not EnvironmentLock.objects.in_force(now).filter(pk=self.pk).update(**gone):
            raise ValidationError(self._gone())
        self.lifted_at, self.lifted_by, self.lifted_because = now, by, words
        self.record("environment lock lifted", by=by, now=now, reason=words)

    def _gone(self) -> str:
        lock = EnvironmentLock.objects.select_related("lifted_by").get(pk=self.pk)
        if lock.lifted_by is None or lock.lifted_at is None:
            return "This lock has run out. The environment is open."
        return f"{lock.lifted_by.name} lifted this lock on {lock.lifted_at:%-d %B %Y, %H:%M} UTC."

    def record(self, action: str, *, by: User, now: datetime, reason: str) -> None:
        """A row of the audit trail."""
        until = self.expires_at.isoformat() if self.expires_at else ""
        after = {"owner": self.owner.name, "until": until, "reason": reason}
        subject = audit.Subject("environment", self.environment_id, str(self.environment))
        audit.record(action, actor=by, subject=subject, now=now, after=after)


def require_set(user: User, environment: Environment) -> None:
    """Who may release there may lock it, and Ops may, who stop releases. Raises NotAllowed."""
    instance, key = environment.instance_id, environment.pk
    right = Right.BEGIN_PRODUCTION if environment.production else Right.RELEASE_TEST
    held = Rights.of(user)
    if not any(held.may(one, instance=instance, environment=key) for one in (right, Right.ABORT)):
        hidden = not held.may(Right.SEE, instance=instance, environment=key)
        raise NotAllowed(user, right, instance=instance, environment=key, place=environment.place, hidden=hidden)


def require_lift(user: User, lock: EnvironmentLock) -> None:
    """Its owner, while they may see the place; Instance Managers and Ops. Raises NotAllowed."""
    environment = lock.environment
    instance, key = environment.instance_id, environment.pk
    own = lock.owner_id == user.pk and Rights.of(user).may(Right.SEE, instance=instance, environment=key)
    if not own:
        require(user, Right.LIFT_LOCK, instance=instance, environment=key, place=environment.place)
