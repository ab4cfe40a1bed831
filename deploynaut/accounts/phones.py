"""A phone number is its owner's once they have typed the code that was sent to it: six digits, kept as a digest."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.utils.crypto import constant_time_compare, salted_hmac

from deploynaut.accounts.people import User

VALID_FOR = timedelta(minutes=10)
TRIES = 5
AN_HOUR, A_DAY = 3, 10
"""How many codes go to one person or to one number, at most, within an hour and within a day."""


class PhoneRefused(Exception):
    """The number cannot be verified now; the text says why and what to do."""


class PhoneCodeManager(models.Manager["PhoneCode"]):
    """Makes codes and compares them."""

    def refuse_too_many(self, user: User, *, now: datetime) -> None:
        """Raise PhoneRefused when no further code may be sent: texts cost money, and the number may be a stranger's."""
        if not user.phone:
            raise PhoneRefused("Write down your phone number first.")
        if user.verified_phone:
            raise PhoneRefused(f"{user.phone} is verified already.")
        sent = self.filter(Q(user=user) | Q(phone=user.phone))
        for most, span, words in ((AN_HOUR, timedelta(hours=1), "an hour"), (A_DAY, timedelta(days=1), "a day")):
            if sent.filter(made_at__gt=now - span).count() >= most:
                raise PhoneRefused(f"{most} codes have been sent within {words}. Wait, then ask for another one.")

    def make(self, user: User, *, now: datetime) -> tuple[str, str]:
        """The number and a new code for it; earlier codes are void. For the worker: the code goes into the text alone.

        Raises PhoneRefused.
        """
        with transaction.atomic():
            user = User.objects.select_for_update().get(pk=user.pk)
            self.refuse_too_many(user, now=now)
            code = f"{secrets.randbelow(10**6):06d}"
            self.filter(user=user, ended_at=None).update(ended_at=now)
            self.create(user=user, phone=user.phone, digest=_digest(user, user.phone, code), made_at=now)
        return user.phone, code

    def open(self, user: User, *, now: datetime) -> PhoneCode | None:
        """The code that may still be typed."""
        fresh = self.filter(user=user, phone=user.phone, ended_at=None, made_at__gt=now - VALID_FOR, tries__lt=TRIES)
        return fresh.order_by("-pk").first()

    def verify(self, user: User, code: str, *, now: datetime) -> None:
        """The person has typed a code. Raises PhoneRefused; five wrong tries end the code."""
        with transaction.atomic():
            user = User.objects.select_for_update().get(pk=user.pk)
            sent = self.open(user, now=now)
            if sent is not None:
                self.filter(pk=sent.pk).update(tries=F("tries") + 1)
            right = sent is not None and constant_time_compare(sent.digest, _digest(user, sent.phone, code.strip()))
            if right:
                self.filter(user=user, ended_at=None).update(ended_at=now)
                user.take_phone(now=now)
        # Raised after the commit: a try that was wrong has been counted.
        if sent is None:
            raise PhoneRefused("That code is not valid any more. Ask for a new one.")
        if not right:
            left = TRIES - sent.tries - 1
            raise PhoneRefused(f"That is not the code. {left} more tries." if left else _USED_UP)


_USED_UP = "That is not the code, and it was the last try. Ask for a new one."


class PhoneCode(models.Model):
    """A code that was sent to a number. The digest is keyed with the server's secret: six digits are soon guessed."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    phone = models.CharField(max_length=16)
    digest = models.CharField(max_length=64)
    made_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    ended_at = models.DateTimeField(null=True)

    objects = PhoneCodeManager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["user", "made_at"], name="code_of_user"),
            models.Index(fields=["phone", "made_at"], name="code_of_phone"),
        ]

    def __str__(self) -> str:
        return f"code for {self.phone}"


def _digest(user: User, phone: str, code: str) -> str:
    return salted_hmac("deploynaut.accounts.phones", f"{user.pk}:{phone}:{code}", algorithm="sha256").hexdigest()


def change_phone(user: User, phone: str, *, now: datetime) -> None:
    """Write down another number, or none. Raises ValidationError with the field's name."""
    user.introduce(name=user.name, phone=phone, now=now)
