"""Users, for Administrators: made, disabled, logged out, made Administrator; nobody types a password for another."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.roles import Role
from tests.builders import make_user
from tests.doors.world import PEOPLE, World


def user(name: str) -> User:
    return User.objects.get(email=f"{name.lower()}@acme.example")


def page(browser: Client, where: str) -> str:
    answer = browser.get(where)
    assert answer.status_code == 200, answer.content.decode()
    return answer.content.decode()


class TestTheList:
    def test_an_administrator_finds_people(self, world: World) -> None:
        ada = world.browser("Ada")
        everybody = page(ada, "/users/")
        assert all(f">{name}</a>" in everybody for name in PEOPLE)
        assert "Deployment Manager" in everybody
        assert "never" in everybody
        found = page(ada, "/users/?q=MIA")
        assert ">Mia</a>" in found
        assert ">Rob</a>" not in found
        user("Sam").disable(by=None, now=world.open.begun_at)
        assert ">Sam</a>" not in page(ada, "/users/")
        assert ">Sam</a>" in page(ada, "/users/?show=disabled")
        assert ">Sam</a>" in page(ada, "/users/?show=all&q=sam@")

    def test_it_is_cut_into_pages_that_keep_the_question(self, world: World) -> None:
        for number in range(30):
            make_user(f"Extra{number:02}")
        found = page(world.browser("Ada"), "/users/?q=extra&show=all")
        assert "?q=extra&amp;show=all&amp;page=2" in found

    @pytest.mark.parametrize("name", ["Vera", "Rob", "Mia", "Ida", "Olga", "Sam"])
    def test_nobody_else_learns_who_there_is(self, world: World, name: str) -> None:
        browser = world.browser(name)
        there, nowhere = (browser.get(f"/users/{pk}/") for pk in (user("Ada").pk, 999_999))
        assert (there.status_code, nowhere.status_code) == (403, 403)
        assert there.content == nowhere.content
        assert browser.get("/users/").status_code == 403
        assert browser.post("/users/999999/disable/").status_code == 403


class TestMaking:
    def test_a_newcomer_gets_a_link_shown_once_and_sets_the_password(self, world: World) -> None:
        ada = world.browser("Ada")
        answer = ada.post("/users/new/", {"name": "Nia", "email": "Nia@Acme.example"})
        shown = answer.content.decode()
        found = re.search(r"http://127\.0\.0\.1:8000(/password/[^<\"]+)", shown)
        assert found, shown
        assert "no-store" in answer["Cache-Control"]
        assert found[1] not in page(ada, f"/users/{user('Nia').pk}/")
        new = "five calm otters swim"
        assert Client().post(found[1], {"password": new, "again": new})["Location"] == "/login/"
        assert Client().post("/login/", {"login": "nia@acme.example", "password": new})["Location"] == "/"

    def test_what_cannot_be_is_refused_at_its_field(self, world: World) -> None:
        ada, count = world.browser("Ada"), User.objects.count()
        for fields, field in (
            ({"name": "", "email": "n@acme.example"}, "name"),
            ({"name": "N", "email": "no address"}, "email"),
            ({"name": "N", "email": "MIA@acme.example"}, "email"),
            ({"name": "N\u202e", "email": "n@acme.example"}, "name"),
        ):
            answer = ada.post("/users/new/", fields)
            assert answer.status_code == 400
            assert f'id="{field}-wrong"' in answer.content.decode(), field
        assert User.objects.count() == count

    def test_unlisted_fields_are_ignored(self, world: World) -> None:
        fields = {"password": "x", "is_active": "", "session_epoch": "9", "is_staff": "1", "role": "administrator"}
        world.browser("Ada").post("/users/new/", {"name": "Nia", "email": "nia@acme.example", **fields})
        nia = user("Nia")
        assert (nia.is_active, nia.has_usable_password(), nia.grants.count()) == (True, False, 0)

    def test_a_link_for_somebody_with_a_password_ends_their_sessions(self, world: World) -> None:
        rob = world.browser("Rob")
        shown = world.browser("Ada").post(f"/users/{user('Rob').pk}/link/").content.decode()
        assert "cannot approve a release that you begin" in shown
        assert rob.get("/").status_code == 302


class TestActs:
    def test_disabling_needs_a_reason_and_ends_everything(self, world: World) -> None:
        rob, ada, where = world.browser("Rob"), world.browser("Ada"), f"/users/{user('Rob').pk}/disable/"
        for reason in ("", "   ", "\t\n", "ab", "evil\u202ereason"):
            answer = ada.post(where, {"reason": reason})
            assert answer.status_code == 400
            assert 'id="reason-wrong"' in answer.content.decode()
        assert rob.get("/").status_code == 200
        assert ada.post(where, {"reason": "has left the company"}).status_code == 302
        assert rob.get("/").status_code == 302
        entry = AuditEntry.objects.get(action="person disabled")
        assert entry.after == {"is_active": False, "reason": "has left the company"}
        assert "has left the company" in page(ada, f"/users/{user('Rob').pk}/")
        assert ada.post(where.replace("disable", "enable"), {"reason": "is back"}).status_code == 302
        assert user("Rob").is_active

    def test_all_sessions_end_and_it_is_written_down(self, world: World) -> None:
        rob = world.browser("Rob")
        world.browser("Ada").post(f"/users/{user('Rob').pk}/sessions/")
        assert rob.get("/").status_code == 302
        assert AuditEntry.objects.filter(action="sessions ended", actor=user("Ada")).count() == 1

    def test_administrator_is_given_and_taken_but_never_the_last(self, world: World) -> None:
        ada, me, mia = world.browser("Ada"), user("Ada").pk, user("Mia").pk
        assert ada.post(f"/users/{me}/administrator/take/").status_code == 409
        assert ada.post(f"/users/{mia}/administrator/give/").status_code == 302
        assert ada.post(f"/users/{mia}/administrator/give/").status_code == 409
        assert Grant.objects.filter(role=Role.ADMINISTRATOR).count() == 2
        assert ada.post(f"/users/{mia}/administrator/take/").status_code == 302
        answer = ada.post(f"/users/{me}/administrator/take/")
        assert "is the only Administrator" in answer.content.decode()
        assert ada.post(f"/users/{mia}/administrator/take/").status_code == 409

    def test_nobody_disables_themselves_or_the_last_administrator(self, world: World) -> None:
        ada, me = world.browser("Ada"), user("Ada").pk
        assert ada.post(f"/users/{me}/disable/", {"reason": "I am leaving"}).status_code == 409
        Grant.objects.give(by=None, to=user("Mia"), role=Role.ADMINISTRATOR, now=world.open.begun_at)
        answer = ada.post(f"/users/{me}/disable/", {"reason": "I am leaving"})
        assert answer.status_code == 400
        assert "You cannot disable yourself" in answer.content.decode()
        assert user("Ada").is_active
