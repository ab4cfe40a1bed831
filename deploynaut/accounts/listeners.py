"""Listens to Django and allauth: log-ins, failures, second factors and passwords become rows of the audit trail."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import password_changed
from allauth.mfa import signals as mfa
from django.contrib.auth import signals
from django.http import HttpRequest

from deploynaut.accounts import audit, sessions
from deploynaut.accounts.clock import now
from deploynaut.accounts.people import User


def connect() -> None:
    """Once, when Django is ready."""
    signals.user_logged_in.connect(_logged_in, dispatch_uid="accounts.logged_in")
    signals.user_logged_out.connect(_logged_out, dispatch_uid="accounts.logged_out")
    signals.user_login_failed.connect(_login_failed, dispatch_uid="accounts.login_failed")
    password_changed.connect(_password_changed, dispatch_uid="accounts.password_changed")
    mfa.authenticator_added.connect(_second_factor("added"), weak=False, dispatch_uid="accounts.mfa_added")
    mfa.authenticator_removed.connect(_second_factor("removed"), weak=False, dispatch_uid="accounts.mfa_removed")
    mfa.authenticator_reset.connect(_second_factor("reset"), weak=False, dispatch_uid="accounts.mfa_reset")
    mfa.authentication_failed.connect(_second_factor_failed, dispatch_uid="accounts.mfa_failed")


def _logged_in(*, request: HttpRequest, user: User, **_: Any) -> None:
    moment = now()
    sessions.begin(request.session, now=moment)
    audit.record("logged in", actor=user, subject=user.as_subject(), now=moment)


def _logged_out(*, user: User | None, **_: Any) -> None:
    if user is not None:
        audit.record("logged out", actor=user, subject=user.as_subject(), now=now())


def _login_failed(*, credentials: dict[str, Any], **_: Any) -> None:
    # Only what was typed: looking the person up would make a known address slower than an unknown one.
    typed = str(credentials.get("email", ""))
    subject = audit.Subject("user", None, typed)
    audit.record("log-in failed", actor=None, called=typed, subject=subject, now=now(), result=audit.Result.DENIED)


def _password_changed(*, user: User, **_: Any) -> None:
    audit.record("password changed", actor=user, subject=user.as_subject(), now=now())


def _second_factor(what: str) -> Any:
    def heard(*, user: User, authenticator: Any, **_: Any) -> None:
        action = f"second factor {what}"
        audit.record(action, actor=user, subject=user.as_subject(), now=now(), after={"kind": authenticator.type})

    return heard


def _second_factor_failed(*, user: User, authenticator: Any, **_: Any) -> None:
    audit.record(
        "second factor failed",
        actor=user,
        subject=user.as_subject(),
        now=now(),
        after={"kind": authenticator.type},
        result=audit.Result.DENIED,
    )
