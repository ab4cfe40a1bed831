"""What we ask of allauth: nobody signs up, disabled people are told no more than strangers, secrets are sealed."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.encoding import force_bytes

from deploynaut.accounts import audit
from deploynaut.accounts.clock import now
from deploynaut.accounts.people import User

SAID_ONCE = 15 * 60


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Local accounts, made by an Administrator."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": "That e-mail address and password do not go together. Check both and try again.",
        "incorrect_password": "That is not your password.",
        "incorrect_code": "That code is not right. Codes change every 30 seconds: use the newest.",
        "too_many_login_attempts": "Too many tries. Wait 15 minutes, then try again; an Administrator can help.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: an Administrator makes accounts."""
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """The person, or None: also for one who is disabled, who must not learn that the password was right."""
        user: User | None = super().authenticate(request, **credentials)
        return user if user is not None and user.is_active else None

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the try; past the limit say so, and write it down once in a quarter of an hour."""
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            self._write_down(str(credentials.get("email", "")))
            raise

    def _write_down(self, email: str) -> None:
        if cache.add(f"accounts:limited:{sha256(email.encode()).hexdigest()}", True, SAID_ONCE):
            subject = audit.Subject("user", None, email)
            denied = audit.Result.DENIED
            audit.record("log-in limited", actor=None, called=email, subject=subject, now=now(), result=denied)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Back to one's account."""
        return reverse("account")


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    """Second factors; their secrets are sealed with the server's secret key before they are stored."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": AccountAdapter.error_messages["incorrect_code"],
    }

    def encrypt(self, text: str) -> str:
        """Sealed, for the database."""
        return _sealer().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Opened again. Raises InvalidToken when the secret key is another one now."""
        return _sealer().decrypt(encrypted_text.encode()).decode()


def _sealer() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [sha256(b"accounts.mfa:" + force_bytes(key)).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
