"""The clock of this room's doors: middleware, pages, commands and listeners. Everything else is handed `now`."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """This moment, aware, UTC."""
    return timezone.now()  # noqa: TID251 - this is the one place
