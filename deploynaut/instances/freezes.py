"""Freeze windows of an instance: times at which nobody releases, once or again and again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.instances.recurrence import BadRule, Recurrence, Span, check_length, check_rule, zone_of

if TYPE_CHECKING:
    from deploynaut.instances.models import Environment, Instance

T = TypeVar("T")
MOST = 50
"""Windows that an instance may have."""


class Scope(models.TextChoices):
    """Which environments a window is for."""

    PRODUCTION = "production", "production environments"
    ALL = "all", "all environments"
    CHOSEN = "chosen", "chosen environments"


class FreezeManager(models.Manager["Freeze"]):
    """Adds and finds freeze windows."""

    @transaction.atomic
    def add(
        self,
        *,
        instance: Instance,
        by: User,
        now: datetime,
        environments: Collection[Environment] = (),
        **fields: Any,
    ) -> Freeze:
        """A new window. `fields`: reason, zone, begins, lasts, rule, scope; `environments` when they are chosen.

        Raises NotAllowed, and ValidationError naming the field.
        """
        require(by, Right.EDIT_ENVIRONMENT, instance=instance.pk, place=instance.name)
        freeze = self.model(instance=instance, by=by, at=now, **fields)
        _check(freeze, environments, now=now)
        if self.filter(instance=instance, removed_at=None).count() >= MOST:
            raise ValidationError(f"{instance} has {MOST} freezes. Remove one that is over first.")
        freeze.full_clean()
        freeze.save()
        freeze.environments.set(environments)
        freeze.record("freeze added", by=by, now=now)
        return freeze


class Freeze(models.Model):
    """A window: `begins` on the clock of `zone`, for `lasts`; `rule` says when again. Removed ones are kept."""

    Scope = Scope

    instance = models.ForeignKey("instances.Instance", on_delete=models.PROTECT, related_name="freezes")
    reason = models.TextField()
    zone = models.CharField(max_length=60)
    begins = models.CharField(max_length=16)
    lasts = models.DurationField()
    rule = models.CharField(max_length=300, blank=True)
    scope = models.CharField(max_length=20, choices=Scope.choices, default=Scope.PRODUCTION)
    environments = models.ManyToManyField("instances.Environment", related_name="+", blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)
    removed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    removal = models.TextField(blank=True)

    objects = FreezeManager()

    class Meta:
        ordering: ClassVar = ["instance", "pk"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(lasts__gt=timedelta(0)), name="a_freeze_lasts")
        ]

    def __str__(self) -> str:
        return f"freeze of {self.instance}: {self.reason}"

    @property
    def recurrence(self) -> Recurrence:
        """Its times. Raises BadRule when the stored ones cannot be read any more."""
        begins = datetime.fromisoformat(self.begins)
        return Recurrence(begins=begins, lasts=self.lasts, zone=self.zone, rule=self.rule)

    def window(self, moment: datetime) -> Span | None:
        """The window that covers this moment."""
        return self.recurrence.at(moment)

    @transaction.atomic
    def remove(self, *, by: User, reason: str, now: datetime) -> None:
        """Take it away; it stays in the history. Raises NotAllowed, ValidationError (`reason`; removed already)."""
        require(by, Right.EDIT_ENVIRONMENT, instance=self.instance_id, place=self.instance.name)
        words = reason_of(reason)
        gone = {"removed_at": now, "removed_by": by, "removal": words}
        if not Freeze.objects.filter(pk=self.pk, removed_at=None).update(**gone):
            raise ValidationError("Somebody has removed this freeze already.")
        self.removed_at, self.removed_by, self.removal = now, by, words
        self.record("freeze removed", by=by, now=now, reason=words)

    def record(self, action: str, *, by: User, now: datetime, reason: str = "") -> None:
        """A row of the audit trail."""
        what = {"begins": self.begins, "zone": self.zone, "lasts": str(self.lasts), "rule": self.rule}
        after = {**what, "scope": self.scope, "freeze": self.pk, "reason": reason or self.reason}
        subject = audit.Subject("instance", self.instance_id, str(self.instance))
        audit.record(action, actor=by, subject=subject, now=now, after=after)


def _check(freeze: Freeze, environments: Collection[Environment], *, now: datetime) -> None:
    """All that can be wrong with a new window. Raises ValidationError naming the field."""
    freeze.reason = reason_of(freeze.reason)
    _at("zone", lambda: zone_of(freeze.zone))
    if freeze.rule:
        _at("rule", lambda: check_rule(freeze.rule))
    _at("lasts", lambda: check_length(freeze.lasts))
    if not _at("begins", lambda: freeze.recurrence.coming(now, count=1)):
        raise ValidationError({"begins": "This is over already. Give a time that is to come."})
    if any(one.instance_id != freeze.instance_id for one in environments):
        raise ValidationError({"environments": "Choose environments of this instance."})
    if bool(environments) != (freeze.scope == Scope.CHOSEN):
        raise ValidationError({"environments": "Choose the environments, or leave all of them out."})


def _at(field: str, check: Callable[[], T]) -> T:
    """What the check gives. Raises ValidationError at the field."""
    try:
        return check()
    except BadRule as error:
        raise ValidationError({field: str(error)}) from None
    except ValueError:
        raise ValidationError({field: "Write a date and a time, as in 2026-07-03T15:00."}) from None
