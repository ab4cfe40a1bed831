"""Names and times as the pages of a production release say them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from deploynaut.accounts.models import User

NEAR = timedelta(hours=12)
"""Within this, the time of day alone tells which moment is meant."""


def names(people: Iterable[User], *, last: str = "and") -> str:
    """`Mia`, `Mia and Ida`, `Mia, Ida and Ann`; with `last="or"`, one of them. Empty for nobody."""
    found = [one.name for one in people]
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} {last} {found[-1]}"


def on(moment: datetime, *, now: datetime) -> str:
    """`at 16:10 UTC` for what is near, `on 8 July, 16:10 UTC` for the rest."""
    if abs(moment - now) < NEAR:
        return f"at {moment:%H:%M} UTC"
    year = "" if moment.year == now.year else f" {moment:%Y}"
    return f"on {moment:%-d %B}{year}, {moment:%H:%M} UTC"
