"""Whom one person has had in hand within a day: nobody makes their own second person, through others either.

A role that somebody gave, or a password link that somebody made, may have served that somebody for a while. So do the
roles and links that come from whoever was made able to give them in this way. The audit trail is asked and not the
roles as they are now: a role that was taken back again has done its work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from deploynaut.accounts import audit
from deploynaut.accounts.grants import Grant
from deploynaut.accounts.password_links import MADE
from deploynaut.accounts.people import User
from deploynaut.accounts.roles import RIGHTS, Right, Role
from deploynaut.accounts.same_person import others

SETTLES_AFTER = timedelta(hours=24)
"""What was given a shorter time ago does not count for whoever gave it."""
_GIVEN = "role given"
_GIVING = [role for role in Role if RIGHTS[role] & {Right.EDIT_MEMBERS, Right.EDIT_USERS}]


@dataclass(frozen=True, slots=True)
class InHand:
    """`people`: the person's own accounts, and those that act by what came from them. `opened`: by a password link."""

    people: frozenset[int]
    opened: frozenset[int]
    since: datetime

    def gave(self, grant: Grant) -> bool:
        """Whether this role came from them, and is too new to count."""
        return grant.given_at > self.since and grant.given_by_id in self.people


@dataclass(frozen=True, slots=True)
class _Deed:
    by: int
    to: int
    link: bool


def in_hand(person: User, *, now: datetime) -> InHand:
    """Whom this person has had in hand within a day. A few queries, however many people there are."""
    since = now - SETTLES_AFTER
    deeds, actors = _deeds(since)
    somebody_else = {one.pk for one in others(actors, than=person)}
    own = frozenset({person.pk} | ({one.pk for one in actors} - somebody_else))
    grants = list(Grant.objects.filter(user__in={deed.to for deed in deeds}, role__in=_GIVING)) if deeds else []
    people = own
    while True:
        found = InHand(people, frozenset(deed.to for deed in deeds if deed.link and deed.by in people), since)
        given = {deed.to for deed in deeds if not deed.link and deed.by in people}
        more = people | found.opened | (given - _on_their_own(grants, found))
        if more == people:
            return found
        people = more


def _deeds(since: datetime) -> tuple[list[_Deed], list[User]]:
    """Who gave a role or made a link for whom since then, and those who did."""
    rows = audit.AuditEntry.objects.filter(
        at__gt=since, action__in=(_GIVEN, MADE), subject_kind="user", result=audit.Result.OK
    ).select_related("actor")
    deeds, actors = [], {}
    for one in rows.order_by():
        if one.actor is not None and one.subject_id is not None:
            deeds.append(_Deed(one.actor.pk, one.subject_id, one.action == MADE))
            actors[one.actor.pk] = one.actor
    return deeds, list(actors.values())


def _on_their_own(grants: Iterable[Grant], found: InHand) -> set[int]:
    """Those who could give roles or make links without what came from these people."""
    return {one.user_id for one in grants if not found.gave(one)}
