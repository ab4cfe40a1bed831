"""Links by which people set their own password."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from time_machine import TimeMachineFixture

from deploynaut.accounts import password_links
from deploynaut.accounts.in_hand import in_hand
from deploynaut.accounts.models import AuditEntry, User
from deploynaut.accounts.password_links import LinkRefused
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from tests.people import NOW, PASSWORD, log_in, make_person

pytestmark = pytest.mark.django_db
NEW = "five calm otters swim"


@pytest.fixture
def ada() -> User:
    return make_person("Ada", Role.ADMINISTRATOR)


def newcomer() -> User:
    return User.objects.create_person(email="nia@acme.example", name="Nia", password=None, now=NOW)


def test_a_newcomer_sets_a_password_once(ada: User) -> None:
    token = password_links.make(newcomer(), by=ada, now=NOW)
    nia = password_links.use(token, password=NEW, now=NOW + timedelta(hours=23, minutes=59))
    assert nia.check_password(NEW)
    with pytest.raises(LinkRefused):
        password_links.use(token, password=NEW, now=NOW)
    assert list(AuditEntry.objects.about("user", nia.pk).values_list("action", "actor__name"))[:2] == [
        ("password set by link", "Nia"),
        ("password link made", "Ada"),
    ]
    assert token not in str(list(AuditEntry.objects.values()))


def test_only_an_administrator_makes_one() -> None:
    ida = make_person("Ida", Role.INSTANCE_MANAGER, instance=3)
    with pytest.raises(NotAllowed):
        password_links.make(newcomer(), by=ida, now=NOW)


def test_it_ends_by_time_by_a_newer_one_by_disabling_and_by_a_changed_password(ada: User) -> None:
    nia = newcomer()
    token = password_links.make(nia, by=ada, now=NOW)
    assert password_links.owner(token, now=NOW + password_links.LASTS) is None
    newer = password_links.make(nia, by=ada, now=NOW)
    assert password_links.owner(token, now=NOW) is None
    assert password_links.owner(newer, now=NOW) == nia
    User.objects.get(pk=nia.pk).disable(by=ada, reason="has left", now=NOW)
    assert password_links.owner(newer, now=NOW) is None
    User.objects.get(pk=nia.pk).enable(by=ada, reason="is back", now=NOW)
    assert password_links.owner(newer, now=NOW) is None


def test_the_disabled_get_none(ada: User) -> None:
    nia = newcomer()
    nia.disable(by=None, now=NOW)
    with pytest.raises(ValidationError, match="disabled"):
        password_links.make(nia, by=ada, now=NOW)


def test_a_changed_link_opens_nothing(ada: User) -> None:
    token = password_links.make(newcomer(), by=ada, now=NOW)
    key, until, seal = token.split("-")
    for bad in (
        "",
        "x",
        f"{key}-{until}-",
        f"{key}-{until}-{seal[:-1]}",
        f"{ada.pk}-{until}-{seal}",
        f"{key}-{int(until) + 60}-{seal}",
        f"0{token}",
        f"{key}-{until}-{seal.upper()}",
        f"{'9' * 90}-{until}-{seal}",
        f"٣-{until}-{seal}",
        token + "x" * 500,
    ):
        assert password_links.owner(bad, now=NOW) is None, bad


def test_a_weak_password_is_refused_and_the_link_stays_good(ada: User) -> None:
    token = password_links.make(newcomer(), by=ada, now=NOW)
    with pytest.raises(ValidationError) as refused:
        password_links.use(token, password="short", now=NOW)
    assert "password" in refused.value.message_dict
    assert password_links.owner(token, now=NOW) is not None


def test_it_ends_the_sessions_of_the_person(ada: User) -> None:
    rob = make_person("Rob")
    client = log_in("Rob")
    password_links.make(rob, by=ada, now=NOW)
    assert client.get("/account/").status_code == 302


def test_by_the_page(ada: User, time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(NOW, tick=False)
    token = password_links.make(newcomer(), by=ada, now=NOW)
    browser, where = Client(), f"/password/{token}/"
    page = browser.get(where).content.decode()
    assert "nia@acme.example" in page
    assert "The two are not the same" in browser.post(where, {"password": NEW, "again": "x"}).content.decode()
    assert "too short" in browser.post(where, {"password": "short", "again": "short"}).content.decode()
    assert browser.post(where, {"password": NEW, "again": NEW})["Location"] == "/login/"
    assert browser.get("/account/").status_code == 302
    assert browser.post("/login/", {"login": "nia@acme.example", "password": NEW})["Location"] == "/"
    assert browser.get(where).status_code == 404
    assert browser.post(where, {"password": PASSWORD, "again": PASSWORD}).status_code == 404


def test_who_made_the_link_has_held_a_key_for_a_day(ada: User) -> None:
    mia, rob = make_person("Mia"), make_person("Rob")
    password_links.make(mia, by=ada, now=NOW)
    second = User.objects.create_person(email="ada+2@acme.example", name="A", password=PASSWORD, now=NOW)
    assert mia.pk in in_hand(ada, now=NOW + timedelta(hours=23)).opened
    assert mia.pk in in_hand(second, now=NOW).opened
    assert not in_hand(ada, now=NOW + timedelta(hours=24)).opened
    assert not in_hand(rob, now=NOW).opened
    assert rob.pk not in in_hand(ada, now=NOW).opened
