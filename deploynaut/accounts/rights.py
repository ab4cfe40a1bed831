"""Who may do what, asked at the moment of use: one query, nothing kept from one request to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet

from deploynaut.accounts.roles import INSTANCE_WIDE, OWN, RIGHTS, SYSTEM_RIGHTS, Right, Role, roles_with

if TYPE_CHECKING:
    from deploynaut.accounts.people import User

NAMED = 3
"""How many people a refusal names at most."""


def require(
    user: User,
    right: Right,
    *,
    instance: int | None = None,
    environment: int | None = None,
    own: bool = False,
    place: str = "",
) -> None:
    """Raise NotAllowed unless `user` has the right now. `own`: the deployment in question was begun by this user.

    `place` is what a refusal calls the instance or environment ("uat of acme").
    """
    held = Rights.of(user)
    if not held.may(right, instance=instance, environment=environment, own=own):
        hidden = instance is not None and not held.may(Right.SEE, instance=instance, environment=environment)
        raise NotAllowed(user, right, instance=instance, environment=environment, place=place, hidden=hidden)


class NotAllowed(PermissionDenied):
    """This person may not do this here; the text says who may. `hidden`: may not even see it, doors answer 404."""

    def __init__(
        self,
        user: User,
        right: Right,
        *,
        instance: int | None,
        environment: int | None,
        place: str = "",
        hidden: bool = False,
    ) -> None:
        self.user, self.right, self.hidden = user, right, hidden
        self.instance, self.environment = instance, environment
        self.place = place or _place(instance, environment)
        super().__init__(self._words())

    def _words(self) -> str:
        deed = f"{self.right.deed} {self.place}".strip()
        needs = _either(role.label for role in roles_with(self.right))
        people = who_may(self.right, instance=self.instance, environment=self.environment)
        return f"You may not {deed}: this needs {needs}. {_ask([person.name for person in people])}"


def _place(instance: int | None, environment: int | None) -> str:
    if environment is not None:
        return "this environment"
    return "" if instance is None else "this instance"


def _ask(names: list[str]) -> str:
    if not names:
        return "Nobody has that role here yet: ask an Administrator."
    more = len(names) - NAMED
    if more > 0:
        return f"Ask {', '.join(names[:NAMED])} or one of {more} more."
    return f"Ask {_either(names)}."


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def who_may(right: Right, *, instance: int | None = None, environment: int | None = None) -> QuerySet[User]:
    """The active people who hold a right now, by name: whom to ask."""
    return _holding(roles_with(right), right in INSTANCE_WIDE, instance=instance, environment=environment)


def who_are(role: Role, *, instance: int | None = None, environment: int | None = None) -> QuerySet[User]:
    """The active people who have a role there, by name."""
    return _holding((role,), False, instance=instance, environment=environment)


def _holding(
    roles: tuple[Role, ...], also_narrowed: bool, *, instance: int | None, environment: int | None
) -> QuerySet[User]:
    """`also_narrowed`: a grant for any one environment counts for the instance as a whole."""
    reaches = Q(grants__instance_id=None)
    if instance is not None:
        narrowed = Q() if also_narrowed and environment is None else Q(grants__environment_id=None)
        if environment is not None:
            narrowed |= Q(grants__environment_id=environment)
        reaches |= Q(grants__instance_id=instance) & narrowed
    people = get_user_model().objects.filter(reaches, grants__role__in=roles, is_active=True)
    return people.distinct().order_by("name", "pk")


EVERYTHING = ~Q(pk__in=[])
"""Always true. Not an empty Q, which Django leaves out of an "or": everything or one thing would be that one thing."""


@dataclass(frozen=True, slots=True)
class Held:
    """One role that a person has: everywhere (`instance` None), in an instance, or in one environment of it."""

    role: Role
    instance: int | None
    environment: int | None

    def gives(self, right: Right, *, instance: int | None, environment: int | None) -> bool:
        """Whether this role, there, is enough for `right`."""
        return right in RIGHTS[self.role] and self._reaches(right, instance, environment)

    def _reaches(self, right: Right, instance: int | None, environment: int | None) -> bool:
        if self.instance is None:
            return True
        if self.instance != instance:
            return False
        if self.environment is None or self.environment == environment:
            return True
        return environment is None and right in INSTANCE_WIDE


@dataclass(frozen=True, slots=True)
class UserRights:
    """What one person may do, as of one query. Ask it and let it go; never keep it for later."""

    held: tuple[Held, ...]

    def may(
        self, right: Right, *, instance: int | None = None, environment: int | None = None, own: bool = False
    ) -> bool:
        """Whether the right is held there; with `own`, whether it or the initiator's form of it is."""
        if instance is None and (environment is not None or right not in SYSTEM_RIGHTS):
            raise ValueError(f"{right} is asked of an instance: say which.")
        rights = {right, OWN.get(right, right)} if own else {right}
        return any(held.gives(r, instance=instance, environment=environment) for held in self.held for r in rights)

    def instances(self, right: Right, *, field: str = "pk") -> Q:
        """The condition for a queryset of instances on which the right is held; `field` leads to their key."""
        return self._where(right, lambda held: Q(**{field: held.instance}), wide=right in INSTANCE_WIDE)

    def environments(self, right: Right, *, instance: str = "instance_id", environment: str = "pk") -> Q:
        """The condition for a queryset of environments on which the right is held; the fields lead to the keys."""
        return self._where(
            right,
            lambda held: (
                Q(**{instance: held.instance})
                if held.environment is None
                else Q(**{instance: held.instance, environment: held.environment})
            ),
            wide=True,
        )

    def _where(self, right: Right, condition: Callable[[Held], Q], *, wide: bool) -> Q:
        holding = [held for held in self.held if right in RIGHTS[held.role]]
        if any(held.instance is None for held in holding):
            return EVERYTHING
        found = Q(pk__in=[])
        for held in holding:
            if wide or held.environment is None:
                found |= condition(held)
        return found


class Rights:
    """Loads what a person may do."""

    @staticmethod
    def of(user: User | AnonymousUser) -> UserRights:
        """One query. Nobody, and who has been disabled, may do nothing."""
        if isinstance(user, AnonymousUser):
            return UserRights(())
        rows = user.grants.filter(user__is_active=True).values_list("role", "instance_id", "environment_id")
        return UserRights(tuple(Held(Role(role), instance, environment) for role, instance, environment in rows))
