"""A password link, shown once: in the answer to the form that made it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from deploynaut.accounts.models import User


def link_page(request: HttpRequest, user: User, token: str, *, new: bool = False) -> HttpResponse:
    """The link, to be handed to that person and nobody else. `new`: the account has just been made."""
    link = f"{settings.DEPLOYNAUT_URL}{reverse('password_link', args=[token])}"
    return render(request, "web/people/link.html", {"found": user, "link": link, "new": new})
