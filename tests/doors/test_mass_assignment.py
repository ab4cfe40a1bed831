"""RA11, S60: forms take the fields they show. All fields of all models are posted to each; the rows stay the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.db import transaction
from time_machine import TimeMachineFixture

from deploynaut.accounts.models import User
from tests.builders import NOW
from tests.doors.world import World

ATTACKS = ("1", "true", "succeeded", "2", "administrator")
HONEST = {"csrfmiddlewaretoken", "next"}

# Who, where, what is typed, and further fields that this form has.
FORMS: list[tuple[str, str, dict[str, str], set[str]]] = [
    ("Ada", "/instances/new/", {"name": "beta", "repository": "https://git.acme.example/b.git"}, {"title"}),
    ("Ida", "/instances/acme/new/", {"name": "more", "kind": "test", "recipe": "plain"},
     {"url", "recipe_options", "pipeline", "hosts"}),
    ("Ida", "/instances/acme/-/fetch/", {}, set()),
    ("Rob", "/instances/acme/uat2/release/", {"by": "branch", "branch": "feature/search"},
     {"tag", "release", "commit", "scheduled_for", "override", "break_glass", "act", "instead"}),
    ("Ida", "/instances/acme/uat/settings/", {"recipe": "plain", "url": "https://u.acme.example/"},
     {"recipe_options", "hosts", "reason"}),
    ("Ida", "/instances/acme/uat/targets/add/",
     {"reach": "ssh", "address": "new.acme.example", "port": "22", "user": "deploy", "base": "/sites/n", "web": "on"},
     {"db", "page", "reason"}),
    ("Ida", "/instances/acme/-/members/give/", {"person": "sam@acme.example", "role": "viewer", "place": ""},
     {"reason"}),
    ("Ada", "/users/new/", {"name": "Nia", "email": "nia@acme.example"}, set()),
    ("Ada", "/users/{rob}/disable/", {"reason": "has left"}, set()),
    ("Ada", "/users/{rob}/administrator/give/", {}, set()),
    ("Ada", "/users/{rob}/sessions/", {}, set()),
    ("Rob", "/account/", {"name": "Rob Rae", "phone": "+64215550001"}, set()),
    ("Ida", "/instances/acme/uat/{open}/abort/", {}, {"reason"}),
]  # fmt: skip


def all_fields() -> set[str]:
    """The names of all columns of all tables."""
    fields = {field.name for model in apps.get_models() for field in model._meta.concrete_fields}
    more = {field.attname for model in apps.get_models() for field in model._meta.concrete_fields}
    return fields | more | {"is_staff", "is_superuser", "author_id", "approved_by", "groups", "user_permissions"}


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """All rows, without what is made at random anew each time."""
    skipped = {"sessions.session", "contenttypes.contenttype"}
    found = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and model._meta.label_lower not in skipped:
            names = [field.attname for field in model._meta.concrete_fields if field.attname != "password"]
            found[model._meta.label_lower] = list(model._default_manager.order_by("pk").values_list(*names))
    return found


@pytest.mark.parametrize(("name", "where", "fields", "optional"), FORMS, ids=[form[1] for form in FORMS])
def test_what_a_form_does_not_show_is_ignored(
    world: World, time_machine: TimeMachineFixture, name: str, where: str, fields: dict[str, str], optional: set[str]
) -> None:
    time_machine.move_to(NOW, tick=False)
    _second_uat(world)
    where = where.format(rob=User.objects.get(name="Rob").pk, open=world.open.number)
    plain = _after(world, name, where, fields)
    extra = all_fields() - set(fields) - optional - HONEST
    assert plain[0] in (200, 302), plain[0]
    for value in ATTACKS:
        found = _after(world, name, where, {**dict.fromkeys(extra, value), **fields})
        changed = {table for table, now in found[1].items() if now != plain[1][table]}
        assert (found[0], changed) == (plain[0], set()), value


def _second_uat(world: World) -> None:
    from tests.builders import make_environment

    make_environment(world.instance, "uat2")


def _after(world: World, name: str, where: str, fields: dict[str, str]) -> tuple[int, dict[str, list[tuple[Any, ...]]]]:
    """The answer, and all rows after it; the rows are then as before."""
    cache.clear()
    browser = world.browser(name)
    browser.get("/")
    with transaction.atomic():
        status, found = browser.post(where, fields).status_code, rows()
        transaction.set_rollback(True)
    return status, found
