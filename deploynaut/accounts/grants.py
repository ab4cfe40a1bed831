"""Roles given to people: per instance, perhaps narrowed to one environment; Administrator for the whole system."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Q

from deploynaut.accounts import audit
from deploynaut.accounts.people import User, keep_an_administrator
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right, Role


class GrantManager(models.Manager["Grant"]):
    """Giving and taking roles."""

    def give(
        self,
        *,
        by: User | None,
        to: User,
        role: Role,
        now: datetime,
        instance: int | None = None,
        environment: int | None = None,
        place: str = "",
    ) -> Grant:
        """Give a role. `by` None is Deploynaut itself; `place` is what messages call the instance or environment.

        Raises NotAllowed, BadGrant (no such grant can be), AlreadyGiven.
        """
        _check(to, role, instance, environment)
        grant = self.model(
            user=to, role=role, instance_id=instance, environment_id=environment, given_by=by, given_at=now
        )
        with transaction.atomic():
            _require(by, role, instance, environment, place)
            try:
                with transaction.atomic():
                    grant.save()
            except IntegrityError as error:
                raise AlreadyGiven(f"{to.name} is {role.label} there already.") from error
            _record("role given", grant, by=by, place=place, now=now, after=grant.as_values())
        return grant

    def take(
        self,
        *,
        by: User | None,
        to: User,
        role: Role,
        now: datetime,
        instance: int | None = None,
        environment: int | None = None,
        place: str = "",
    ) -> None:
        """Take a role from a person (`to`); it is gone at once, and their sessions end.

        Raises NotAllowed, NotGiven, LastAdministrator.
        """
        with transaction.atomic():
            _require(by, role, instance, environment, place)
            grant = self.filter(user=to, role=role, instance_id=instance, environment_id=environment).first()
            if grant is None:
                raise NotGiven(f"{to.name} is not {role.label} there.")
            if role is Role.ADMINISTRATOR:
                keep_an_administrator(without=to)
            _record("role taken", grant, by=by, place=place, now=now, before=grant.as_values())
            grant.delete()
            to.end_sessions()


class BadGrant(ValueError):
    """A role cannot be given in this way."""


class AlreadyGiven(Exception):
    """The person has that role there."""


class NotGiven(Exception):
    """The person does not have that role there."""


def _check(to: User, role: Role, instance: int | None, environment: int | None) -> None:
    if role is Role.ADMINISTRATOR and (instance is not None or environment is not None):
        raise BadGrant("Administrator is a role of the whole system. Give it without an instance.")
    if role is not Role.ADMINISTRATOR and instance is None:
        raise BadGrant(f"{role.label} is given on an instance. Say which.")
    if not to.is_active:
        raise BadGrant(f"{to.name} is disabled. Enable them first.")


def _require(by: User | None, role: Role, instance: int | None, environment: int | None, place: str) -> None:
    if by is None:
        return
    if role is Role.ADMINISTRATOR:
        require(by, Right.SYSTEM_SETTINGS)
    else:
        require(by, Right.EDIT_MEMBERS, instance=instance, environment=environment, place=place)


def _record(action: str, grant: Grant, *, by: User | None, place: str, now: datetime, **values: Any) -> None:
    subject = grant.user.as_subject()
    text = f"{subject.text}: {Role(grant.role).label}" + (f" of {place}" if place else "")
    audit.record(action, actor=by, subject=audit.Subject("user", subject.id, text), now=now, **values)


class Grant(models.Model):
    """One role of one person, who gave it and when. `instance_id` and `environment_id` name rows of a higher room."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="grants")
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in Role])
    instance_id = models.BigIntegerField(null=True)
    environment_id = models.BigIntegerField(null=True)
    given_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    given_at = models.DateTimeField()

    objects = GrantManager()

    class Meta:
        """What must hold, and how it is looked up."""

        indexes = (models.Index(fields=["instance_id", "role"], name="grant_instance"),)
        constraints = (
            models.CheckConstraint(condition=Q(role__in=[role.value for role in Role]), name="grant_role"),
            models.CheckConstraint(
                condition=Q(role=Role.ADMINISTRATOR, instance_id=None, environment_id=None)
                | (~Q(role=Role.ADMINISTRATOR) & Q(instance_id__isnull=False)),
                name="grant_administrator_is_system_wide",
            ),
            models.UniqueConstraint(fields=["user", "role"], condition=Q(instance_id=None), name="grant_once_system"),
            models.UniqueConstraint(
                fields=["user", "role", "instance_id"],
                condition=Q(instance_id__isnull=False, environment_id=None),
                name="grant_once_instance",
            ),
            models.UniqueConstraint(
                fields=["user", "role", "instance_id", "environment_id"],
                condition=Q(environment_id__isnull=False),
                name="grant_once_environment",
            ),
        )

    def __str__(self) -> str:
        """Who is what."""
        return f"{self.user}: {Role(self.role).label}"

    def as_values(self) -> dict[str, Any]:
        """For the audit trail."""
        return {"role": self.role, "instance": self.instance_id, "environment": self.environment_id}
