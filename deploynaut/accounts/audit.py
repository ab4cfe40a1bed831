"""The audit trail: who did what to what, when and from where. Rows are added, never changed: the database refuses."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from deploynaut.accounts.people import User
    from deploynaut.accounts.rights import NotAllowed

THE_HOUSE = "Deploynaut"
"""The name of the actor when no person acted."""

LONGEST = 500
_DANGEROUS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_origin: ContextVar[str | None] = ContextVar("deploynaut_audit_origin", default=None)


@dataclass(frozen=True, slots=True)
class Subject:
    """What was acted on: by kind and id, with the text that people knew it by at the time."""

    kind: str
    id: int | None = None
    text: str = ""


class Result(models.TextChoices):
    """How it ended."""

    OK = "ok"
    DENIED = "denied"


def record(
    action: str,
    *,
    actor: User | None,
    subject: Subject,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    result: Result = Result.OK,
    called: str = "",
    ip: str | None = None,
) -> AuditEntry:
    """Add one row. `actor` None is Deploynaut itself, or the stranger who is `called` so. Join the act's transaction.

    `before` and `after` hold what JSON can hold, never a secret. `ip` defaults to where the request came from.
    """
    return AuditEntry.objects.create(
        at=now,
        actor=actor,
        actor_name=harmless(called or (actor.name if actor else THE_HOUSE)),
        action=harmless(action),
        subject_kind=subject.kind,
        subject_id=subject.id,
        subject_text=harmless(subject.text),
        before=_harmless_tree(dict(before or {})),
        after=_harmless_tree(dict(after or {})),
        ip=ip or _origin.get(),
        result=result,
    )


def record_denial(error: NotAllowed, *, now: datetime) -> AuditEntry:
    """Write down who was refused what. Doors call it after the refused act's transaction has been rolled back."""
    kind, key = ("environment", error.environment) if error.environment else ("instance", error.instance)
    subject = Subject(kind if key else "system", key, error.place)
    return record(error.right, actor=error.user, subject=subject, now=now, result=Result.DENIED)


def set_origin(address: str | None) -> None:
    """Let later rows of this thread or task say that the act came from `address`; None ends that."""
    _origin.set(address)


def harmless(text: str) -> str:
    """Text that shows what it is: control, format and bidirectional characters as `\\u001b`, cut at 500 characters."""
    shown = "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _DANGEROUS else c for c in text[:LONGEST])
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def _harmless_tree(value: Any) -> Any:
    match value:
        case str():
            return harmless(value)
        case Mapping():
            return {harmless(str(key)): _harmless_tree(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_harmless_tree(each) for each in value]
        case None | bool() | int() | float():
            return value
        case _:
            return harmless(str(value))


class AppendOnly(Exception):
    """Somebody tried to change the audit trail."""

    def __init__(self) -> None:
        super().__init__("The audit trail is append-only. Record a further entry that puts the earlier one right.")


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Many entries; to read."""

    def about(self, kind: str, key: int) -> AuditQuerySet:
        """The newest first of what was done to one thing."""
        return self.filter(subject_kind=kind, subject_id=key).order_by("-at", "-pk")

    def update(self, **kwargs: Any) -> NoReturn:
        """Refused."""
        raise AppendOnly

    def delete(self) -> NoReturn:
        """Refused."""
        raise AppendOnly

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused."""
        raise AppendOnly


class AuditEntry(models.Model):
    """One act: who, what, when, from where, on what, before and after, allowed or denied."""

    at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    actor_name = models.CharField(max_length=LONGEST)
    action = models.CharField(max_length=LONGEST)
    subject_kind = models.CharField(max_length=40)
    subject_id = models.BigIntegerField(null=True)
    subject_text = models.CharField(max_length=LONGEST, blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    ip = models.GenericIPAddressField(null=True)
    result = models.CharField(max_length=6, choices=Result.choices, default=Result.OK)

    objects = models.Manager.from_queryset(AuditQuerySet)()

    class Meta:
        """Constraints and what is searched."""

        ordering = ("-at", "-pk")
        indexes = (
            models.Index(fields=["subject_kind", "subject_id", "at"], name="audit_subject"),
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["actor", "at"], name="audit_actor"),
        )
        constraints = (models.CheckConstraint(condition=models.Q(result__in=Result.values), name="audit_result"),)

    def __str__(self) -> str:
        """As a line of the trail."""
        return f"{self.at:%Y-%m-%d %H:%M:%S}Z {self.actor_name}: {self.action} {self.subject_text} ({self.result})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row; a row that is there is not saved again."""
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused."""
        raise AppendOnly
