"""The people of an instance: who has which role where. Everybody who sees the instance sees who may do what there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from deploynaut.accounts.fresh import needs_fresh_login
from deploynaut.accounts.grants import AlreadyGiven, BadGrant, NotGiven
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.rights import NotAllowed, UserRights, require
from deploynaut.accounts.roles import Right, Role
from deploynaut.instances.models import Environment, Instance
from deploynaut.web import scope
from deploynaut.web.abilities import Ability
from deploynaut.web.fragments import problems, refuse_control, typed
from deploynaut.web.people import rights_table, words
from deploynaut.web.people.change import change

FIELDS = ("person", "role", "place")
ROLES = tuple(role for role in Role if role is not Role.ADMINISTRATOR)


@dataclass(frozen=True, slots=True)
class Row:
    """One role of one person; `take`: whether it may be taken by who looks."""

    held: words.Held
    take: bool


@require_safe
def members(request: HttpRequest, instance: str) -> HttpResponse:
    """Who has which role where, since when and by whom; the form to give one; what each role may do."""
    rights = scope.rights_of(request)
    return _page(request, rights, scope.instance(rights, instance), {}, {})


@require_POST
@needs_fresh_login
def give(request: HttpRequest, instance: str) -> HttpResponseBase:
    """Give a role."""
    rights = scope.rights_of(request)
    found = scope.instance(rights, instance)
    values = typed(request, FIELDS, longest=500)
    place, wrong = _place(rights, found, values["place"])
    require(
        scope.person(request),
        Right.EDIT_MEMBERS,
        instance=found.pk,
        environment=place.pk if place else None,
        place=place.place if place else found.name,
    )
    try:
        person, role = _who(values, wrong)
        said = change(instance=found, environment=place, by=scope.person(request), to=person, role=role, give=True)
    except ValidationError as error:
        return _page(request, rights, found, values, problems(error), status=400)
    except (AlreadyGiven, BadGrant) as error:
        return _page(request, rights, found, values, {"role": [str(error)]}, status=409)
    messages.success(request, said)
    return redirect("members", instance)


@require_POST
@needs_fresh_login
def take(request: HttpRequest, instance: str) -> HttpResponseBase:
    """Take a role."""
    rights = scope.rights_of(request)
    found = scope.instance(rights, instance)
    by = scope.person(request)
    grant = _grant(rights, found, by, request.POST.get("grant", ""))
    place = Environment.objects.filter(pk=grant.environment_id).first() if grant.environment_id else None
    role = Role(grant.role)
    try:
        said = change(instance=found, environment=place, by=by, to=grant.user, role=role, give=False)
    except (ValidationError, NotGiven) as error:
        wrong = [" ".join(error.messages) if isinstance(error, ValidationError) else str(error)]
        return _page(request, rights, found, {}, {"general": wrong}, status=409)
    messages.success(request, said)
    return redirect("members", instance)


def _grant(rights: UserRights, instance: Instance, by: User, key: str) -> Grant:
    """The role that was meant, of this instance, and of a place where `by` gives and takes roles."""
    pk = int(key) if key.isascii() and key.isdigit() and len(key) < 19 else 0
    environments = list(scope.environments(rights).filter(instance=instance))
    grant = Grant.objects.filter(pk=pk, instance_id=instance.pk).select_related("user").first()
    if grant is not None and grant.environment_id in {None, *(one.pk for one in environments)}:
        require(by, Right.EDIT_MEMBERS, instance=instance.pk, environment=grant.environment_id, place=instance.name)
        return grant
    # Who may give no role here is told that, whatever the number: numbers tell nothing.
    if not any(_may(rights, instance, place) for place in (None, *environments)):
        require(by, Right.EDIT_MEMBERS, instance=instance.pk, place=instance.name)
    raise Http404


def _place(rights: UserRights, instance: Instance, name: str) -> tuple[Environment | None, dict[str, list[str]]]:
    """The environment of that name, None for the whole instance; one that this person does not see is unknown."""
    if not name:
        return None, {}
    found = scope.environments(rights).filter(instance=instance, name=name).first()
    return found, ({} if found else {"place": [f"{instance.name} has no environment of that name."]})


def _who(values: Mapping[str, str], wrong: dict[str, list[str]]) -> tuple[User, Role]:
    """The person and the role that were typed. Raises ValidationError with all that is wrong, field by field."""
    wrong |= refuse_control(values)
    person = User.objects.filter(email=values["person"].lower(), is_active=True).first()
    if person is None:
        wrong.setdefault("person", ["Nobody with this address has an account. An Administrator can create one."])
    if values["role"] not in ROLES:
        wrong.setdefault("role", ["Choose one of the roles of an instance."])
    if wrong or person is None:
        raise ValidationError(dict(wrong))
    return person, Role(values["role"])


def _may(rights: UserRights, instance: Instance, place: Environment | None) -> bool:
    return rights.may(Right.EDIT_MEMBERS, instance=instance.pk, environment=place.pk if place else None)


def _page(
    request: HttpRequest,
    rights: UserRights,
    instance: Instance,
    values: Mapping[str, str],
    wrong: Mapping[str, list[str]],
    *,
    status: int = 200,
) -> HttpResponse:
    environments = list(scope.environments(rights).filter(instance=instance))
    places = [one for one in (None, *environments) if _may(rights, instance, one)]
    context: dict[str, Any] = {
        "instance": instance,
        "rows": _rows(rights, instance, environments),
        "administrators": User.objects.with_role(Role.ADMINISTRATOR),
        "edit": Ability() if places else _refused(scope.person(request), instance),
        "places": [("", f"all of {instance.name}") if one is None else (one.name, one.name) for one in places],
        "roles": ROLES,
        "all_roles": list(Role),
        "table": rights_table.rows(),
        "values": values,
        "problems": wrong,
    }
    return render(request, "web/people/members.html", context, status=status)


def _refused(user: User, instance: Instance) -> Ability:
    refusal = NotAllowed(user, Right.EDIT_MEMBERS, instance=instance.pk, environment=None, place=instance.name)
    return Ability(str(refusal))


def _rows(rights: UserRights, instance: Instance, environments: list[Environment]) -> list[Row]:
    """The roles on the whole instance, and on the environments that this person sees."""
    seen = {None, *(one.pk for one in environments)}
    grants = Grant.objects.filter(instance_id=instance.pk).select_related("user", "given_by")
    shown = words.held(grant for grant in grants if grant.environment_id in seen)
    return [Row(one, _may(rights, instance, one.environment)) for one in shown]
