"""How long a log-in lasts: ended when idle too long, and in any case after a day. Pure; the middleware applies it."""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import datetime, timedelta
from typing import Any

STARTED, SEEN = "deploynaut_started", "deploynaut_seen"
GRAIN = timedelta(minutes=1)
"""Use is written down at most this often: not every page is a write."""


def begin(session: MutableMapping[str, Any], *, now: datetime) -> None:
    """Write down that a person has just logged in."""
    session[STARTED] = session[SEEN] = int(now.timestamp())


def is_over(session: MutableMapping[str, Any], *, idle: timedelta, absolute: timedelta, now: datetime) -> bool:
    """Whether the log-in has ended. One whose beginning is not known has."""
    if STARTED not in session or SEEN not in session:
        return True
    moment = now.timestamp()
    unused, old = moment - int(session[SEEN]), moment - int(session[STARTED])
    return unused >= idle.total_seconds() or old >= absolute.total_seconds()


def touch(session: MutableMapping[str, Any], *, now: datetime) -> None:
    """Write down that the person did something."""
    if now.timestamp() - session[SEEN] >= GRAIN.total_seconds():
        session[SEEN] = int(now.timestamp())
