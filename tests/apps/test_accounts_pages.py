"""The pages: logging in, one's account, second factors."""

from __future__ import annotations

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import Client
from django.urls import include, path
from pytest_django.fixtures import Settings
from time_machine import TimeMachineFixture

from deploynaut.accounts.fresh import needs_fresh_login
from deploynaut.accounts.models import AuditEntry, User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from tests.people import PASSWORD, log_in, make_person

pytestmark = pytest.mark.django_db


@needs_fresh_login
def dangerous(request: HttpRequest) -> HttpResponseBase:
    return HttpResponse(f"done: {request.POST.get('word')}")


def guarded(request: HttpRequest) -> HttpResponseBase:
    assert isinstance(request.user, User)
    require(request.user, Right.SYSTEM_SETTINGS)
    return HttpResponse("in")


def hidden(request: HttpRequest) -> HttpResponseBase:
    assert isinstance(request.user, User)
    require(request.user, Right.RELEASE_TEST, instance=3, environment=7)
    return HttpResponse("in")


urlpatterns = [
    path("dangerous/", dangerous),
    path("guarded/", guarded),
    path("hidden/", hidden),
    path("", include("deploynaut.accounts.urls")),
    path("", lambda request: HttpResponse("front")),
]


@pytest.fixture(autouse=True)
def _these_pages(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__


def code_for(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def confirm(client: Client, then: str) -> None:
    answer = client.post("/account/confirm/", {"password": PASSWORD, "next": then})
    assert answer.status_code == 302, answer.content.decode()


def set_up_app(client: Client) -> str:
    """Turn an authenticator app on; gives back its secret."""
    confirm(client, "/account/factors/app/add/")
    page = client.get("/account/factors/app/add/").content.decode()
    secret = re.search(r'id="authenticator_secret".*?value="([A-Z2-7]+)"', page)
    assert secret, page
    assert client.post("/account/factors/app/add/", {"code": code_for(secret[1])}).status_code == 302
    return secret[1]


def test_the_log_in_page_works_with_password_managers_and_screen_readers() -> None:
    page = Client().get("/login/").content.decode()
    for word in ('autocomplete="username"', 'autocomplete="current-password"', 'for="id_login"', 'lang="en"'):
        assert word in page
    assert "placeholder" not in page
    failed = Client().post("/login/", {"login": "nobody", "password": ""}).content.decode()
    assert 'aria-describedby="id_login_error"' in failed
    assert 'id="id_login_error"' in failed


@pytest.mark.parametrize(
    "address",
    ["/login/", "/account/", "/account/password/", "/account/factors/", "/account/confirm/", "/logout/"],
)
def test_no_page_needs_inline_script_or_style(address: str) -> None:
    make_person("Rob")
    client = Client() if address == "/login/" else log_in("Rob")
    answer = client.get(address)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page)
    for script in re.findall(r"<script[^>]*>", page):
        assert "src=" in script or 'type="application/json"' in script


def test_a_person_logs_in_by_e_mail_in_any_case_and_it_is_written_down() -> None:
    rob = make_person("Rob")
    answer = Client().post("/login/", {"login": "ROB@acme.example", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    entry = AuditEntry.objects.get(action="logged in")
    assert (entry.actor, entry.ip) == (rob, "127.0.0.1")


def test_logging_out_is_a_click_and_written_down() -> None:
    make_person("Rob")
    client = log_in("Rob")
    client.get("/logout/")
    assert client.get("/account/").status_code == 200
    client.post("/logout/")
    assert client.get("/account/").status_code == 302
    assert AuditEntry.objects.filter(action="logged out").count() == 1


def test_i_change_my_own_name_and_phone() -> None:
    rob = make_person("Rob")
    client = log_in("Rob")
    assert client.post("/account/", {"name": "Rob Rae", "phone": "+64215550001"}).status_code == 302
    rob.refresh_from_db()
    assert (rob.name, rob.phone) == ("Rob Rae", "+64215550001")
    bad = client.post("/account/", {"name": "", "phone": "12"}).content.decode()
    assert 'id="id_name_error"' in bad
    assert "country code" in bad
    entry = AuditEntry.objects.get(action="own details changed")
    assert entry.before == {"name": "Rob", "phone": ""}


def test_a_changed_password_ends_the_other_sessions() -> None:
    make_person("Rob")
    here, there = log_in("Rob"), log_in("Rob")
    new = "five calm otters swim"
    answer = here.post("/account/password/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert (answer.status_code, answer["Location"]) == (302, "/account/")
    assert here.get("/account/").status_code == 200
    assert there.get("/account/").status_code == 302
    assert AuditEntry.objects.filter(action="password changed").exists()


@pytest.mark.django_db(transaction=True)
def test_an_authenticator_app_is_asked_for_at_the_next_log_in() -> None:
    rob = make_person("Rob")
    client = log_in("Rob")
    secret = set_up_app(client)
    stored = Authenticator.objects.get(user=rob, type="totp").data["secret"]
    assert secret not in stored
    assert AuditEntry.objects.filter(action="second factor added", after={"kind": "totp"}).exists()
    assert "Recovery" in client.get("/account/factors/codes/").content.decode()

    other = Client()
    answer = other.post("/login/", {"login": "rob@acme.example", "password": PASSWORD})
    assert answer["Location"] == "/login/second-factor/"
    assert other.get("/account/").status_code == 302
    assert "One more proof" in other.get("/login/second-factor/").content.decode()
    assert "not right" in other.post("/login/second-factor/", {"code": "000000"}).content.decode()
    assert other.post("/login/second-factor/", {"code": code_for(secret)})["Location"] == "/"
    assert other.get("/account/").status_code == 200
    assert AuditEntry.objects.filter(action="second factor failed", result="denied").count() == 1


def test_the_pages_of_second_factors_answer() -> None:
    make_person("Rob")
    client = log_in("Rob")
    assert client.get("/account/factors/app/add/")["Location"].startswith("/account/confirm/")
    set_up_app(client)
    for page in ("", "app/remove/", "codes/", "codes/new/", "passkeys/", "passkeys/add/"):
        assert client.get(f"/account/factors/{page}").status_code == 200, page
    assert client.get("/account/confirm/code/").status_code == 200
    assert client.get("/account/factors/codes/file/")["Content-Disposition"].startswith("attachment")


class TestFreshLogin:
    def test_a_log_in_of_just_now_is_proof_enough(self) -> None:
        make_person("Rob")
        assert log_in("Rob").post("/dangerous/", {"word": "go"}).content == b"done: go"

    def test_after_15_minutes_the_password_is_asked_for_and_the_act_goes_on(
        self, time_machine: TimeMachineFixture
    ) -> None:
        make_person("Rob")
        time_machine.move_to("2026-07-01T12:00:00Z", tick=False)
        client = log_in("Rob")
        time_machine.move_to("2026-07-01T12:14:59Z", tick=False)
        assert client.post("/dangerous/").status_code == 200
        time_machine.move_to("2026-07-01T12:15:00Z", tick=False)
        assert client.get("/dangerous/").status_code == 200
        asked = client.post("/dangerous/", {"word": "go"})
        assert (asked.status_code, asked["Location"]) == (302, "/account/confirm/?next=%2Fdangerous%2F")
        assert "Is it still you?" in client.get(asked["Location"]).content.decode()
        wrong = client.post("/account/confirm/", {"password": "wrong", "next": "/dangerous/"})
        assert "not your password" in wrong.content.decode()
        done = client.post("/account/confirm/", {"password": PASSWORD, "next": "/dangerous/"})
        assert done.content == b"done: go"


class TestRefusals:
    def test_a_refusal_is_said_in_words_and_written_down(self) -> None:
        rob = make_person("Rob")
        answer = log_in("Rob").get("/guarded/")
        assert answer.status_code == 403
        assert "You may not change the system&#x27;s settings: this needs Administrator." in answer.content.decode()
        entry = AuditEntry.objects.get(action="system-settings")
        assert (entry.actor, entry.result, entry.subject_kind) == (rob, "denied", "system")

    def test_what_may_not_be_seen_is_not_found(self) -> None:
        make_person("Sam")
        assert log_in("Sam").get("/hidden/").status_code == 404
        entry = AuditEntry.objects.get(action="release-test")
        assert (entry.result, entry.subject_kind, entry.subject_id) == ("denied", "environment", 7)
