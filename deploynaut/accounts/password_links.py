"""A link by which a person sets the own password: once, within a day. No Administrator ever knows somebody's password.

Nothing is stored: the link carries a seal over the account's state. A new password, a newer link or the end of all
sessions makes it worthless, and so does disabling the account.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import constant_time_compare, salted_hmac

from deploynaut.accounts import audit
from deploynaut.accounts.people import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right

LASTS = timedelta(hours=24)
MADE = "password link made"
_LONGEST = 200


class LinkRefused(Exception):
    """Wrong, used, too old, or replaced by a newer one: which of them is not told."""


def make(user: User, *, by: User, now: datetime) -> str:
    """A new token; earlier ones stop working and every session of this person ends.

    Raises NotAllowed, and ValidationError for somebody who is disabled.
    """
    with transaction.atomic():
        require(by, Right.EDIT_USERS)
        user = User.objects.select_for_update().get(pk=user.pk)
        if not user.is_active:
            raise ValidationError(f"{user.name} is disabled. Enable them first.")
        user.end_sessions()
        audit.record(MADE, actor=by, subject=user.as_subject(), now=now)
    return _token(user, int((now + LASTS).timestamp()))


def owner(token: str, *, now: datetime) -> User | None:
    """Whose password this token sets; None for a token that is not good now."""
    key, until = _parts(token)
    user = User.objects.filter(pk=key, is_active=True).first()
    # Compared even for nobody: a known account is not slower than an unknown one.
    good = constant_time_compare(token, _token(user or User(pk=0), until))
    return user if user is not None and good and now.timestamp() < until else None


def use(token: str, *, password: str, now: datetime) -> User:
    """Set the password. Raises LinkRefused, or ValidationError at `password`."""
    with transaction.atomic():
        # Locked first: of two people with one link, the second finds it used.
        User.objects.select_for_update().filter(pk=_parts(token)[0]).first()
        user = owner(token, now=now)
        if user is None:
            raise LinkRefused("This link is not valid any more. Ask an Administrator for a new one.")
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise ValidationError({"password": error.messages}) from None
        user.set_password(password)
        user.save(update_fields=["password"])
        audit.record("password set by link", actor=user, subject=user.as_subject(), now=now)
    return user


def _parts(token: str) -> tuple[int, int]:
    key, _, rest = token[:_LONGEST].partition("-")
    until = rest.partition("-")[0]
    if not (key.isascii() and key.isdigit() and until.isascii() and until.isdigit()):
        return 0, 0
    return int(key[:18]), int(until[:12])


def _token(user: User, until: int) -> str:
    state = f"{user.pk}:{until}:{user.password}:{user.session_epoch}"
    seal = salted_hmac("deploynaut.accounts.password_links", state, algorithm="sha256").hexdigest()
    return f"{user.pk}-{until}-{seal}"
