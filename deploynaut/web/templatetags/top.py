"""The top of every page: the ways to what this person may open, and what waits for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import template
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import Rights, UserRights
from deploynaut.accounts.roles import RIGHTS, SYSTEM_RIGHTS, Right
from deploynaut.web import waiting

register = template.Library()


@dataclass(frozen=True, slots=True)
class Way:
    """A link of the top: shown to whoever holds `right` anywhere, None: any role at all."""

    word: str
    name: str
    right: Right | None


WAYS = (
    Way("Maintenance", "maintenance", Right.MAINTENANCE),
    Way("Audit", "audit", None),
    Way("Users", "users", Right.EDIT_USERS),
    Way("System", "system-settings", Right.SYSTEM_SETTINGS),
)


@register.inclusion_tag("web/_ways.html", takes_context=True)
def ways(context: dict[str, Any]) -> dict[str, Any]:
    """The links of the top, those that this person may open."""
    request = context.get("request")
    person = _person(request)
    if person is None:
        return {"ways": []}
    rights = Rights.of(person)
    here = request.resolver_match.view_name if request and request.resolver_match else ""
    found = [(way.word, _address(way.name), way.name == here) for way in WAYS if _may(rights, way.right)]
    return {"ways": [one for one in found if one[1]]}


@register.inclusion_tag("web/_waiting_for_me.html", takes_context=True)
def waiting_for_me(context: dict[str, Any]) -> dict[str, Any]:
    """What waits for this person, with a count."""
    person = _person(context.get("request"))
    return {"waiting": waiting.for_me(person, Rights.of(person), now()) if person else []}


def _person(request: HttpRequest | None) -> User | None:
    user = getattr(request, "user", None)
    return user if isinstance(user, User) else None


def _may(rights: UserRights, right: Right | None) -> bool:
    if right in SYSTEM_RIGHTS:
        return rights.may(right)
    return any(right is None or right in RIGHTS[held.role] for held in rights.held)


def _address(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
