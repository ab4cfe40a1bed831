"""What people do not wish to be told, and what they are told whatever they wish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar

from django.db import models, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.models import User

EMAIL, TEXT = "email", "text"
CHANNELS = (EMAIL, TEXT)

_ASKS = "Somebody waits for your answer."
_OPS = "A site is in trouble, and you are asked for help."
_BREAK = "It tells you that a release goes on without your approval."
_WINDOW = "The site can be put back for one hour only."
_ANSWER = "It is about your release, or about your answer."
_END = "It says how the site stands after your release, or your act."


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people are told of. `always`: the channels that cannot be switched off, `why` not."""

    name: str
    words: str
    always: frozenset[str] = frozenset()
    why: str = ""


_BOTH = frozenset(CHANNELS)
_MAIL = frozenset({EMAIL})
EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        event.name: event
        for event in (
            Event("approval asked", "You are asked to approve a release", _BOTH, _ASKS),
            Event("approved", "A release was approved"),
            Event("rejected", "A release was rejected", _MAIL, _ANSWER),
            Event("expired", "Nobody answered in time", _MAIL, _ANSWER),
            Event("void", "An approval is void: something changed", _MAIL, _ANSWER),
            Event("attendance taken", "Somebody attends the release in another's place"),
            Event("window open", "A release is live and can be rolled back", _MAIL, _WINDOW),
            Event("succeeded", "A release succeeded", _MAIL, _END),
            Event("failed", "A release failed", _MAIL, _END),
            Event("aborted", "A release was aborted", _MAIL, _END),
            Event("rollback begun", "A site is being put back"),
            Event("rolled back", "A site was put back", _MAIL, _END),
            Event("withdrawn", "A release was withdrawn"),
            Event("rollback failed", "A site could not be put back", _BOTH, _OPS),
            Event("site fails untouched", "A site fails its tests though nothing was changed", _BOTH, _OPS),
            Event("host differs", "A host shows another release than the others", _BOTH, _OPS),
            Event("break glass", "A release began without approval", _BOTH, _BREAK),
        )
    }
)
"""In the order in which a deployment brings them."""


def may_be_off(event: str, channel: str) -> bool:
    """Whether people may do without it. An event that is new is always told."""
    return event in EVENTS and channel not in EVENTS[event].always


class UnwantedManager(models.Manager["Unwanted"]):
    """What was switched off."""

    def of(self, user: User) -> set[tuple[str, str]]:
        """(event, channel) pairs of one person."""
        return set(self.filter(user=user).values_list("event", "channel"))

    def among(self, users: Iterable[User], event: str) -> set[tuple[int, str]]:
        """(person, channel) pairs that are not told of the event; never what must be told."""
        rows = self.filter(user__in=[user.pk for user in users], event=event).values_list("user_id", "channel")
        return {(user, channel) for user, channel in rows if may_be_off(event, channel)}

    def choose(self, user: User, wanted: Iterable[tuple[str, str]], *, now: datetime) -> None:
        """One's own choice, whole: what is not wanted is off, as far as it may be."""
        wished = set(wanted)
        off = {(e, c) for e in EVENTS for c in CHANNELS if may_be_off(e, c) and (e, c) not in wished}
        with transaction.atomic():
            before = self.of(user)
            if before == off:
                return
            self.filter(user=user).delete()
            self.bulk_create(Unwanted(user=user, event=event, channel=channel) for event, channel in sorted(off))
            audit.record(
                "messages chosen",
                actor=user,
                subject=user.as_subject(),
                now=now,
                before={"off": sorted(f"{e}: {c}" for e, c in before)},
                after={"off": sorted(f"{e}: {c}" for e, c in off)},
            )


class Unwanted(models.Model):
    """One person is not told of one event by one channel."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    event = models.CharField(max_length=40)
    channel = models.CharField(max_length=20)

    objects = UnwantedManager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "event", "channel"], name="one_choice")]

    def __str__(self) -> str:
        return f"{self.user}: no {self.event} by {self.channel}"
