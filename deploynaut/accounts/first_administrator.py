"""The first Administrator: made through a link that works once, and only while there is none."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import models, transaction

from deploynaut.accounts.grants import Grant
from deploynaut.accounts.people import User
from deploynaut.accounts.roles import Role

LASTS = timedelta(hours=24)
THE_ROW = 1


class FirstAdministratorManager(models.Manager["FirstAdministratorLink"]):
    """Making the link and using it."""

    def invite(self, *, now: datetime) -> str:
        """A new token of 128 bits; an earlier one stops working. Raises AdministratorExists."""
        with transaction.atomic():
            if there_is_an_administrator():
                raise AdministratorExists("There is an Administrator already. Ask them for an account.")
            token = secrets.token_urlsafe(16)
            values = {"token_hash": _hash(token), "expires_at": now + LASTS, "used_at": None}
            self.update_or_create(pk=THE_ROW, defaults=values)
        return token

    def valid(self, token: str, *, now: datetime) -> bool:
        """Whether a person who holds this token may become the first Administrator now."""
        link = self.filter(pk=THE_ROW).first()
        fits = hmac.compare_digest(_hash(token), link.token_hash if link else "")
        return link is not None and fits and link.usable(now=now) and not there_is_an_administrator()

    def use(self, token: str, *, name: str, email: str, password: str, now: datetime) -> User:
        """Make the first Administrator. Raises LinkRefused, or ValidationError with the field's name."""
        with transaction.atomic():
            # The row is locked first: of two people with the link, the second finds it used.
            self.select_for_update().filter(pk=THE_ROW).first()
            if not self.valid(token, now=now):
                raise LinkRefused("This link is not valid any more. Make a new one: manage.py first-administrator")
            user = User.objects.create_person(email=email, name=name, password=password, now=now)
            Grant.objects.give(by=None, to=user, role=Role.ADMINISTRATOR, now=now)
            self.filter(pk=THE_ROW).update(used_at=now)
        return user


class AdministratorExists(Exception):
    """Somebody is Administrator already; the link is for the very first one."""


class LinkRefused(Exception):
    """Wrong, used, expired, or there is an Administrator by now: which of them is not told."""


def there_is_an_administrator() -> bool:
    """Whether the role has been given to anybody, disabled people included."""
    return Grant.objects.filter(role=Role.ADMINISTRATOR).exists()


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


class FirstAdministratorLink(models.Model):
    """The one link there may be; its token is kept as a hash."""

    token_hash = models.CharField(max_length=64)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = FirstAdministratorManager()

    class Meta:
        """One row."""

        constraints = (models.CheckConstraint(condition=models.Q(pk=THE_ROW), name="first_administrator_one_link"),)

    def __str__(self) -> str:
        """How long it is good for."""
        return f"first administrator, until {self.expires_at:%Y-%m-%d %H:%M}Z"

    def usable(self, *, now: datetime) -> bool:
        """Neither used nor too old."""
        return self.used_at is None and now < self.expires_at
