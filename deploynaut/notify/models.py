"""The outbox: every message is a row first, written with the state change, sent by the worker, never a step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models

from deploynaut.accounts.models import User
from deploynaut.durable import port as durable
from deploynaut.notify.addressing import Letter, letters
from deploynaut.notify.chats import Chat
from deploynaut.notify.preferences import Unwanted
from deploynaut.notify.servers import Gateway, MailServer
from deploynaut.runs.models import LogChunk, Run

RETRY = (10, 30, 120, 600, 1800, 3600)
"""Seconds until the next try, after the first, second, ... failure; then the message is given up."""
RETRY_TEXT = (10, 30, 60, 80, 120)
"""A text whose e-mail has been sent as well is given up after 5 minutes."""
DOUBTS = 2
"""How often a server may leave open whether it took a message: a further try could be a third copy."""
LEASE = timedelta(seconds=60)
"""For how long a try keeps the message to itself; a worker that dies in it delays the next try by that."""


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
        text: str = "",
        instance: int | None = None,
    ) -> list[Message]:
        """A message to each person and address by each channel, once each. Written in the caller's transaction.

        E-mail to everybody; `text` to each verified phone; both, as a line, to the chats of the `instance`. `also`:
        addresses and phone numbers of the pipeline file. Who is told by e-mail alone stands in the run's log.
        """
        found = letters(event, to=to, also=also, instance=instance)
        for line in found.told:
            LogChunk.objects.note(run, f"message ({event}): {line}", now=now)
        messages = [
            self.create(
                run=run, event=event, channel=letter.channel, user=letter.user, chat=letter.chat,
                address=letter.address, subject=subject, body=_body(letter, body, text or subject),
                created_at=now, next_try_at=now,
            )
            for letter in found.letters
        ]  # fmt: skip
        for message in messages:
            message.wake()
        return messages


def _body(letter: Letter, body: str, text: str) -> str:
    return body if letter.channel == Message.Channel.EMAIL else text


class Message(models.Model):
    """One message to one address. `result`: the server's answer, in words. `doubts`: answers that never came."""

    class Status(models.TextChoices):
        """Where it stands."""

        WAITING = "waiting", "waiting"
        SENT = "sent", "sent"
        GIVEN_UP = "given up", "given up"

    class Channel(models.TextChoices):
        """How it travels."""

        EMAIL = "email", "e-mail"
        TEXT = "text", "text"
        CHAT = "chat", "chat"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="messages")
    event = models.CharField(max_length=40)
    channel = models.CharField(max_length=20, choices=Channel.choices, default=Channel.EMAIL)
    user = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="messages")
    chat = models.ForeignKey(Chat, null=True, on_delete=models.PROTECT, related_name="messages")
    address = models.CharField(max_length=320)
    subject = models.CharField(max_length=300)
    body = models.TextField()
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    doubts = models.PositiveIntegerField(default=0)
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

    @property
    def stands_alone(self) -> bool:
        """Nobody hears of it in another way: no e-mail goes to the same person."""
        return self.channel != self.Channel.TEXT or self.user_id is None

    @property
    def place(self) -> str:
        """The address as everybody may read it: of a phone number, enough to know it by."""
        if self.channel != self.Channel.TEXT:
            return self.address
        return f"{self.address[:3]}…{self.address[-3:]}"

    def told(self, answer: str) -> str:
        """A server's answer as everybody may read it: a gateway repeats the number."""
        return answer.replace(self.address, self.place)

    @property
    def key(self) -> str:
        """One key an address: two messages to one person arrive in order."""
        return f"{self.channel}:{self.chat_id or self.address}"

    def wake(self, *, at: datetime | None = None) -> None:
        """Have it sent, now or later."""
        durable.wake("message", self.pk, self.key, at=at)

    def take(self, *, now: datetime) -> bool:
        """Keep others from sending it while this worker does; False when it is not due, or not ours."""
        due = Message.objects.get_queryset().due(now=now).filter(pk=self.pk, attempts=self.attempts)
        return due.update(next_try_at=now + LEASE) == 1

    def sent(self, *, answer: str, now: datetime) -> None:
        """The server has taken it."""
        self.status, self.sent_at, self.result = self.Status.SENT, now, answer[:500]
        self.attempts += 1
        self.save()

    def failed(self, *, reason: str, now: datetime, perhaps: bool = False, final: bool = False) -> None:
        """The server has not: try again later, or give up. `perhaps`: it may have; `final`: it never will."""
        self.attempts += 1
        self.doubts += perhaps
        self.result = reason[:500]
        waits = RETRY if self.stands_alone else RETRY_TEXT
        if final or self.doubts >= DOUBTS or self.attempts > len(waits):
            self.status = self.Status.GIVEN_UP
        else:
            self.next_try_at = now + timedelta(seconds=waits[self.attempts - 1])
            self.wake(at=self.next_try_at)
        self.save()


__all__ = ["DOUBTS", "LEASE", "RETRY", "RETRY_TEXT", "Chat", "Gateway", "MailServer", "Message", "Unwanted"]
