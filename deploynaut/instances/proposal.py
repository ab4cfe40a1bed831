"""A proposal: a change of what guards production, waiting for somebody else to confirm it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.reasons import reason_of

if TYPE_CHECKING:
    from deploynaut.instances.models import Environment, Instance


class ProposalKind(models.TextChoices):
    """What is to change."""

    SETTINGS = "settings", "settings"
    PIPELINE = "pipeline", "pipeline"
    TARGET_ADD = "target-add", "a new target"
    TARGET_REMOVE = "target-remove", "removal of a target"
    HOST_KEY = "host-key", "host key of a target"
    ROLE = "role", "roles"


class ProposalStatus(models.TextChoices):
    """How it ended. `overtaken`: what it was based on had changed, so nothing was done."""

    OPEN = "open", "waiting"
    CONFIRMED = "confirmed", "confirmed"
    REFUSED = "refused", "refused"
    WITHDRAWN = "withdrawn", "withdrawn"
    OVERTAKEN = "overtaken", "overtaken"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants changed. `about` tells two wishes of one kind apart: the target, or the person and role."""

    kind: ProposalKind
    title: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    about: str = ""


class ProposalManager(models.Manager["Proposal"]):
    """Writes proposals down."""

    def open(self) -> models.QuerySet[Proposal]:
        """Those that wait for an answer, with what a list shows."""
        return self.filter(status=ProposalStatus.OPEN).select_related("instance", "environment__instance", "by")

    def propose(
        self, wish: Wish, *, instance: Instance, environment: Environment | None, by: User, now: datetime, reason: str
    ) -> Proposal:
        """Write a wish down. Call it in a transaction that holds the environment's row, with the right checked.

        An earlier open one about the same thing is replaced when its author writes it. Raises ValidationError when it
        is somebody else's, or for a bad reason.
        """
        reason = reason_of(reason, needed=False)
        same = self.filter(instance=instance, environment=environment, kind=wish.kind, about=wish.about)
        earlier = same.filter(status=ProposalStatus.OPEN).select_related("by").first()
        if earlier is not None and earlier.by_id != by.pk:
            raise ValidationError(
                f"{earlier.by.name} has proposed a change of the same already (proposal {earlier.pk}). "
                "Have it confirmed, refused or withdrawn first."
            )
        if earlier is not None:
            earlier.close(ProposalStatus.WITHDRAWN, by=by, now=now, reason="Replaced by a newer one.")
        proposal = self.create(
            instance=instance, environment=environment, kind=wish.kind, about=wish.about, title=wish.title,
            before=dict(wish.before), after=dict(wish.after), by=by, at=now, reason=reason,
        )  # fmt: skip
        proposal.record("change proposed", by=by, now=now)
        return proposal


class Proposal(models.Model):
    """A change that waits. `before`: the values it was based on; `after`: those it would set; both by field.

    `environment` is empty for a role on the whole instance.
    """

    Kind = ProposalKind
    Status = ProposalStatus

    instance = models.ForeignKey("instances.Instance", on_delete=models.PROTECT, related_name="proposals")
    environment = models.ForeignKey(
        "instances.Environment", on_delete=models.PROTECT, null=True, related_name="proposals"
    )
    kind = models.CharField(max_length=20, choices=ProposalKind.choices)
    about = models.CharField(max_length=800, blank=True)
    title = models.CharField(max_length=1000)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    reason = models.TextField(blank=True)
    status = models.CharField(max_length=20, choices=ProposalStatus.choices, default=ProposalStatus.OPEN)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    answered_at = models.DateTimeField(null=True)
    answer = models.TextField(blank=True)

    objects = ProposalManager()

    class Meta:
        ordering: ClassVar = ["-at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["environment", "kind", "about"],
                condition=models.Q(status="open", environment__isnull=False),
                name="one_open_proposal_an_environment",
            ),
            models.UniqueConstraint(
                fields=["instance", "kind", "about"],
                condition=models.Q(status="open", environment__isnull=True),
                name="one_open_proposal_an_instance",
            ),
            models.CheckConstraint(
                condition=models.Q(status="open", answered_at=None)
                | (~models.Q(status="open") & models.Q(answered_at__isnull=False)),
                name="an_answered_proposal_says_when",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Its page."""
        return reverse("proposal", args=[self.instance.name, self.pk])

    @property
    def is_open(self) -> bool:
        """It waits for an answer."""
        return self.status == ProposalStatus.OPEN

    @property
    def place(self) -> str:
        """What refusals call where it is: `prod of acme`, or `acme`."""
        return self.environment.place if self.environment else self.instance.name

    def close(self, status: ProposalStatus, *, by: User, now: datetime, reason: str) -> None:
        """Answer it, once: whoever comes second gets AlreadyAnswered. Writes the audit entry."""
        answer = {"status": status, "answered_by": by, "answered_at": now, "answer": reason}
        if not Proposal.objects.filter(pk=self.pk, status=ProposalStatus.OPEN).update(**answer):
            raise AlreadyAnswered(Proposal.objects.select_related("answered_by").get(pk=self.pk))
        for name, value in answer.items():
            setattr(self, name, value)
        self.record(f"proposal {status.value}", by=by, now=now, reason=reason)

    def record(
        self, action: str, *, by: User, now: datetime, reason: str = "", result: audit.Result = audit.Result.OK
    ) -> None:
        """A row of the audit trail, with old and new values."""
        kind, key = ("environment", self.environment_id) if self.environment_id else ("instance", self.instance_id)
        after = {**self.after, "proposal": self.pk, **({"reason": reason} if reason else {})}
        subject = audit.Subject(kind, key, f"{self.place}: {self.title}")
        audit.record(action, actor=by, subject=subject, now=now, before=self.before, after=after, result=result)


class AlreadyAnswered(Exception):
    """Somebody was first; the text says who did what when."""

    def __init__(self, proposal: Proposal) -> None:
        self.proposal = proposal
        who = proposal.answered_by.name if proposal.answered_by else "Deploynaut"
        when = f"{proposal.answered_at:%-d %B %Y, %H:%M} UTC" if proposal.answered_at else "before"
        words = {ProposalStatus.OVERTAKEN: "found it overtaken"}.get(
            ProposalStatus(proposal.status), f"has {proposal.status} it"
        )
        super().__init__(f"This proposal does not wait any more: {who} {words} ({when}). Nothing was changed.")
