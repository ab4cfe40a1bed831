"""People, and how the first of them comes in."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client

from deploynaut.accounts.first_administrator import FirstAdministratorLink, LinkRefused
from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.people import PeopleStay
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from tests.people import NOW, PASSWORD, log_in, make_person

pytestmark = pytest.mark.django_db
WHO = {"name": "Ada", "email": "Ada@Acme.example", "password": PASSWORD}


def link() -> str:
    printed = StringIO()
    call_command("first-administrator", stdout=printed, stderr=StringIO())
    address = printed.getvalue().strip()
    assert address.startswith("http://127.0.0.1:8000/first-administrator/")
    return address.removeprefix("http://127.0.0.1:8000")


class TestPeople:
    def test_an_administrator_creates_a_person_and_it_is_written_down(self) -> None:
        ada = make_person("Ada", Role.ADMINISTRATOR)
        user = User.objects.create_person(
            by=ada, email=" Rob@Acme.example ", name="Rob", phone="+64215550000", password=PASSWORD, now=NOW
        )
        assert (user.email, str(user), user.check_password(PASSWORD)) == ("rob@acme.example", "Rob", True)
        entry = AuditEntry.objects.about("user", user.pk)[0]
        assert (entry.action, entry.actor, PASSWORD in str(entry.after)) == ("person created", ada, False)

    def test_nobody_else_creates_people(self) -> None:
        mia = make_person("Mia", Role.INSTANCE_MANAGER, instance=3)
        with pytest.raises(NotAllowed):
            User.objects.create_person(by=mia, email="x@acme.example", name="X", password=None, now=NOW)
        with pytest.raises(NotAllowed):
            mia.disable(by=mia, now=NOW)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("email", "no address"),
            ("email", "SAM@acme.example"),
            ("name", ""),
            ("name", "Sam\x00"),
            ("name", "S" * 101),
            ("phone", "021 555"),
            ("phone", "+64215550000\n"),
        ],
    )
    def test_bad_details_are_refused_by_field(self, field: str, value: str) -> None:
        make_person("Sam")
        details = {"email": "new@acme.example", "name": "New", "phone": ""} | {field: value}
        email, name, phone = details.values()
        with pytest.raises(ValidationError) as caught:
            User.objects.create_person(email=email, name=name, phone=phone, password=PASSWORD, now=NOW)
        assert field in caught.value.message_dict

    @pytest.mark.parametrize("password", ["short", "password1234", "new@acme.example"])
    def test_weak_passwords_are_refused(self, password: str) -> None:
        with pytest.raises(ValidationError):
            User.objects.create_person(email="new@acme.example", name="New", password=password, now=NOW)
        assert not User.objects.filter(email="new@acme.example").exists()

    def test_the_database_holds_one_person_an_address(self) -> None:
        sam = make_person("Sam")
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=sam.pk).update(email="SAM@acme.example")

    def test_people_are_disabled_not_deleted(self) -> None:
        with pytest.raises(PeopleStay):
            make_person("Sam").delete()


class TestFirstAdministrator:
    def test_the_link_makes_one_administrator_who_then_logs_in(self) -> None:
        page = link()
        assert b"Welcome" in Client().get(page).content
        answer = Client().post(page, WHO)
        assert (answer.status_code, answer["Location"]) == (302, "/login/")
        ada = User.objects.get()
        assert (ada.email, list(ada.grants.values_list("role", "instance_id"))) == (
            "ada@acme.example",
            [("administrator", None)],
        )
        log_in("Ada")

    def test_looking_at_the_link_uses_nothing_up(self) -> None:
        page = link()
        for _ in range(3):
            assert Client().get(page).status_code == 200
        assert Client().post(page, WHO).status_code == 302

    def test_a_used_link_and_a_wrong_one_get_the_same_answer(self) -> None:
        page = link()
        Client().post(page, WHO)
        wrong = Client().get("/first-administrator/wrong/")
        for answer in (Client().get(page), Client().post(page, WHO | {"email": "eve@acme.example"})):
            assert (answer.status_code, answer.content) == (404, wrong.content)
        assert Client().post("/first-administrator/wrong/", WHO).status_code == 404
        assert User.objects.count() == 1

    def test_bad_details_leave_the_link_good(self) -> None:
        page = link()
        answer = Client().post(page, WHO | {"password": "short"})
        assert answer.status_code == 200
        assert "This password is too short" in answer.content.decode()
        assert 'aria-describedby="id_password_error id_password_help"' in answer.content.decode()
        assert not User.objects.exists()
        assert Client().post(page, WHO).status_code == 302

    def test_it_is_good_for_a_day_and_once(self) -> None:
        token = FirstAdministratorLink.objects.invite(now=NOW)
        assert FirstAdministratorLink.objects.valid(token, now=NOW + timedelta(hours=23, minutes=59))
        assert not FirstAdministratorLink.objects.valid(token, now=NOW + timedelta(hours=24))
        with pytest.raises(LinkRefused):
            FirstAdministratorLink.objects.use(token, **WHO, now=NOW + timedelta(hours=24))

    def test_a_new_link_ends_the_earlier_one(self) -> None:
        earlier, later = link(), link()
        assert Client().get(earlier).status_code == 404
        assert Client().get(later).status_code == 200

    def test_there_is_no_link_once_there_is_an_administrator(self) -> None:
        page = link()
        make_person("Ben", Role.ADMINISTRATOR)
        with pytest.raises(CommandError, match="already"):
            link()
        assert Client().post(page, WHO).status_code == 404
        assert Grant.objects.filter(role=Role.ADMINISTRATOR).count() == 1

    def test_the_token_is_long_and_not_stored(self) -> None:
        token = FirstAdministratorLink.objects.invite(now=NOW)
        assert len(token) >= 22  # 128 bits in base64
        row = FirstAdministratorLink.objects.get()
        assert token not in (row.token_hash, str(row))
