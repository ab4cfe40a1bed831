"""The outbox: every message is a row first, written with the state change, sent by the worker, never a step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models

from deploynaut.accounts.models import User
from deploynaut.durable import port as durable
from deploynaut.runs.models import Run

RETRY = (10, 30, 120, 600, 1800, 3600)
"""Seconds until the next try, after the first, second, ... failure; then the message is given up."""


class MessageQuerySet(models.QuerySet["Message"]):
    """Many messages."""

    def due(self, *, now: datetime) -> MessageQuerySet:
        """Those that should be sent now."""
        return self.filter(status=Message.Status.WAITING, next_try_at__lte=now)


class MessageManager(models.Manager["Message"]):
    """Queues messages."""

    def get_queryset(self) -> MessageQuerySet:
        """All messages."""
        return MessageQuerySet(self.model, using=self._db)

    def queue(
        self,
        *,
        run: Run,
        event: str,
        to: Iterable[User],
        subject: str,
        body: str,
        now: datetime,
        also: Iterable[str] = (),
    ) -> list[Message]:
        """A message to each person and address, once each. Written in the caller's transaction, sent after it."""
        told: dict[str, User | None] = {user.email: user for user in to if user.is_active}
        told |= {address: None for address in also if address not in told}
        messages = [
            self.create(
                run=run, event=event, user=user, address=address, subject=subject, body=body,
                created_at=now, next_try_at=now,
            )
            for address, user in told.items()
        ]  # fmt: skip
        for message in messages:
            message.wake()
        return messages


class Message(models.Model):
    """One message to one address. `result`: the server's answer, in words."""

    class Status(models.TextChoices):
        """Where it stands."""

        WAITING = "waiting", "waiting"
        SENT = "sent", "sent"
        GIVEN_UP = "given up", "given up"

    class Channel(models.TextChoices):
        """How it travels."""

        EMAIL = "email", "e-mail"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="messages")
    event = models.CharField(max_length=40)
    channel = models.CharField(max_length=20, choices=Channel.choices, default=Channel.EMAIL)
    user = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="messages")
    address = models.CharField(max_length=320)
    subject = models.CharField(max_length=300)
    body = models.TextField()
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    result = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    next_try_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    objects = MessageManager()

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["next_try_at"], name="outbox_due", condition=models.Q(status="waiting"))
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.address}"

    def wake(self, *, at: datetime | None = None) -> None:
        """Have it sent, now or later. One key an address: two messages to one person arrive in order."""
        durable.wake("message", self.pk, f"address:{self.address}", at=at)

    def sent(self, *, answer: str, now: datetime) -> None:
        """The server has taken it."""
        self.status, self.sent_at, self.result = self.Status.SENT, now, answer[:500]
        self.attempts += 1
        self.save()

    def failed(self, *, reason: str, now: datetime) -> None:
        """The server has not: try again later, or give up."""
        self.attempts += 1
        self.result = reason[:500]
        if self.attempts > len(RETRY):
            self.status = self.Status.GIVEN_UP
        else:
            self.next_try_at = now + timedelta(seconds=RETRY[self.attempts - 1])
            self.wake(at=self.next_try_at)
        self.save()
