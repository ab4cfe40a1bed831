"""RA12, RA13: hostile texts in every field of every form are refused in words, or stored as the text they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.test import Client

from deploynaut.deployments.models import Deployment
from deploynaut.instances.models import Environment, Instance, KeyPair, Target
from deploynaut.instances.versions import PipelineVersion
from tests.attacks.corpus import COMMITS, FIELDS, MARKER
from tests.builders import NOW
from tests.doors.world import Rows, World, all_rows, log_in, make_world

pytestmark = pytest.mark.attacks
NOT_ROWS = ["sessions.session", "accounts.auditentry"]


@pytest.fixture
def world(db: None) -> World:
    """acme."""
    return make_world()


@pytest.fixture(autouse=True)
def _nothing_was_run() -> Iterator[None]:
    Path(MARKER).unlink(missing_ok=True)
    yield
    assert not Path(MARKER).exists(), "a hostile text was executed"


def test_the_corpus_is_large_enough() -> None:
    assert len(FIELDS) >= 200


FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "instance": ("/instances/new/", {"name": "fresh", "title": "Fresh", "repository": "https://git.example/x.git"}),
    "environment": (
        "/instances/acme/new/",
        {"name": "fresh", "kind": "test", "url": "", "recipe": "plain", "recipe_options": "", "pipeline": ""},
    ),
    "target": (
        "/instances/acme/uat/targets/add/",
        {
            "reach": "ssh",
            "address": "h.example",
            "port": "22",
            "user": "deploy",
            "base": "/sites/x",
            "page": "",
            "web": "on",
        },
    ),
    "settings": ("/instances/acme/uat/settings/", {"url": "", "recipe": "plain", "recipe_options": "", "hosts": ""}),
}
STORED_AS_TEXT = {("instance", "title")}
"""Fields that take any printable text: it is stored as it is, and shown escaped (test_hostile_markup.py)."""


@pytest.mark.parametrize(("form", "field"), [(form, field) for form, (_, fields) in FORMS.items() for field in fields])
def test_a_hostile_text_in_a_field_is_refused_or_inert(world: World, form: str, field: str) -> None:
    browser = log_in("Ada" if form == "instance" else "Ida")
    where, good = FORMS[form]
    rows = Rows(without=NOT_ROWS)
    for text in FIELDS:
        before = rows.now()
        answer = browser.post(where, {**good, field: text})
        assert answer.status_code in (302, 400), f"{field}={text!r}: {answer.status_code}"
        if answer.status_code == 400:
            assert rows.now() == before, f"{field}={text!r} was refused, and yet something changed"
            assert "Nothing was saved" in answer.content.decode()
        else:
            _inert(form, field, text)
            _forget()


def _inert(form: str, field: str, text: str) -> None:
    """What was stored is the text itself, in a form that is plainly harmless for its field."""
    if (form, field) in STORED_AS_TEXT or text.strip() == "":
        return
    stored = {
        "instance": Instance.objects.filter(name="fresh"),
        "environment": Environment.objects.filter(name="fresh"),
        "target": Target.objects.order_by("-pk"),
        "settings": Environment.objects.filter(name="uat"),
    }[form].first()
    if stored is None:  # the name itself was hostile, and was a good name all the same
        assert text.replace("-", "").isalnum()
        return
    value = str(getattr(stored, field, text))
    assert value.isprintable() or field in ("pipeline", "recipe_options")
    assert not any(sign in value for sign in "\x00\x1b\u202e")
    if field in ("name", "address", "user", "port"):
        assert not any(sign in value for sign in ";|&$`<>'\"\\\n \t"), f"{form}.{field} took {text!r}"
        assert not value.startswith("-")
    if field in ("url", "page"):
        assert value.startswith(("http://", "https://"))


def _forget() -> None:
    """Undo what a harmless text has made, so that the next one meets the same world."""
    Target.objects.filter(set_up_at=None, host_key_seen="").delete()
    # What the world began with is as old as its clock.
    new = Environment.objects.exclude(created_at=NOW)
    PipelineVersion.objects.filter(environment__in=new).delete()
    for environment in new:
        KeyPair.objects.filter(owner="environment", owner_id=environment.pk).delete()
        environment.delete()
    for instance in Instance.objects.exclude(created_at=NOW):
        KeyPair.objects.filter(owner="instance", owner_id=instance.pk).delete()
        instance.delete()


@pytest.mark.parametrize("by", ["branch", "tag", "release", "commit"])
def test_a_hostile_revision_is_refused_and_begins_nothing(world: World, by: str) -> None:
    Deployment.objects.filter(pk=world.open.pk).update(active=False)
    browser = log_in("Rob")
    before = all_rows(without=NOT_ROWS)
    for text in (*FIELDS, *COMMITS):
        if by in ("branch", "tag") and text in ("main", "1.0"):
            continue
        answer = browser.post("/instances/acme/uat/release/", {"by": by, by: text})
        assert answer.status_code == 400, f"{by}={text!r}: {answer.status_code}"
        assert "Nothing was begun" in answer.content.decode()
    assert all_rows(without=NOT_ROWS) == before


def test_a_way_of_choosing_that_does_not_exist_is_refused(world: World) -> None:
    browser = log_in("Rob")
    for text in FIELDS:
        assert browser.post("/instances/acme/uat/release/", {"by": text, "branch": "main"}).status_code == 400


@pytest.mark.parametrize("where", ["/instances/acme/-/host-key/", "confirm"])
def test_a_hostile_fingerprint_confirms_nothing(world: World, where: str) -> None:
    browser = log_in("Ida")
    address = f"/instances/acme/uat/targets/{world.waiting.pk}/confirm/" if where == "confirm" else where
    before = all_rows(without=NOT_ROWS)
    for text in FIELDS:
        assert browser.post(address, {"fingerprint": text}).status_code == 302
    assert all_rows(without=NOT_ROWS) == before


def test_hostile_parts_of_an_address_find_nothing(world: World) -> None:
    browser = log_in("Ida")
    for text in FIELDS:
        if not text or "/" in text or text in (".", ".."):
            continue
        for where in ("/instances/{}/", "/instances/acme/{}/", "/instances/acme/uat/{}/", "/runs/{}/log/"):
            assert _get(browser, where, text) in (301, 302, 404), where.format(text)


def test_hostile_questions_are_answered_calmly(world: World) -> None:
    browser = log_in("Ida")
    for text in FIELDS:
        for where, name in (
            ("/instances/acme/", "show"),
            ("/instances/acme/", "page"),
            ("/instances/acme/uat/", "page"),
            ("/instances/acme/uat/release/", "commit"),
            ("/instances/acme/uat/1/log/", "step"),
        ):
            assert browser.get(where, {name: text}).status_code in (200, 404), f"{where}?{name}={text!r}"


def _get(browser: Client, where: str, text: str) -> int:
    return browser.get(where.format(quote(text, safe=""))).status_code
