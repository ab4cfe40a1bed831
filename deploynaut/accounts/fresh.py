"""A fresh log-in: dangerous acts ask for password, passkey or code when the last proof is over 15 minutes old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponseBase

from deploynaut.accounts.clock import now as the_clock

FRESH_FOR = timedelta(minutes=15)

View = Callable[..., HttpResponseBase]


def fresh_login(request: HttpRequest, *, now: datetime) -> bool:
    """Whether this person proved who they are within the last 15 minutes, by logging in or by confirming it."""
    if not request.user.is_authenticated:
        return False
    proofs = [record["at"] for record in get_authentication_records(request, request.user)]
    return bool(proofs) and 0 <= now.timestamp() - max(proofs) < FRESH_FOR.total_seconds()


def needs_fresh_login(view: View) -> View:
    """Let a view's POST run after a fresh proof only: asks for one, then goes on with what was posted."""

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method not in {"GET", "HEAD"} and not fresh_login(request, now=the_clock()):
            raise ReauthenticationRequired
        return view(request, *args, **kwargs)

    return asked
