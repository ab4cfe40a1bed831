"""What waits for this very person: for the count at the top of every page, and the list under it.

A kind of thing that waits adds its source below. A source answers with few queries: every page asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import UserRights
from deploynaut.instances.proposals import waiting
from deploynaut.web.production import standing


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing: what it is in a few words, and the page where this person answers."""

    what: str
    url: str


Source = Callable[[User, UserRights, datetime], Iterable[Waiting]]


def proposals(user: User, rights: UserRights, now: datetime) -> Iterable[Waiting]:
    """Changes of what guards production that somebody else has proposed and this person may confirm. One query."""
    found = waiting(user, rights).order_by("at")
    return [Waiting(f"Confirm a proposal for {one.place}: {one.title}", one.get_absolute_url()) for one in found]


def deployments(user: User, rights: UserRights, now: datetime) -> Iterable[Waiting]:
    """Approvals that this person was asked for, and releases that they attend. One query."""
    return [Waiting(what, url) for what, url in standing.mine(user, rights)]


SOURCES: tuple[Source, ...] = (deployments, proposals)


def for_me(user: User, rights: UserRights, now: datetime) -> list[Waiting]:
    """Everything that waits for this person, the kinds in the order of SOURCES."""
    return [one for source in SOURCES for one in source(user, rights, now)]
