"""Breaking in: guessing, stolen and stale sessions, forgotten doors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from unittest.mock import patch

import pytest
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django.fixtures import Settings
from time_machine import TimeMachineFixture

from deploynaut import settings as served
from deploynaut.accounts.first_administrator import FirstAdministratorLink, LinkRefused
from deploynaut.accounts.middleware import OPEN_TO_ALL
from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.roles import Role
from tests.people import NOW, PASSWORD, log_in, make_person

pytestmark = [pytest.mark.attacks, pytest.mark.django_db]
COOKIE = settings.SESSION_COOKIE_NAME


@pytest.fixture(autouse=True)
def _no_tries_counted_yet() -> None:
    cache.clear()


def guess(name: str, password: str = "wrong password here", ip: str = "192.0.2.1") -> str:
    fields = {"login": f"{name}@acme.example", "password": password}
    return Client().post("/login/", fields, REMOTE_ADDR=ip).content.decode()


def addresses(patterns: list[URLPattern | URLResolver], before: str = "") -> list[tuple[str, str]]:
    found = []
    for pattern in patterns:
        where = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += addresses(pattern.url_patterns, where)
        else:
            found.append((where, pattern.name or ""))
    return found


def test_every_address_but_a_few_asks_for_a_log_in() -> None:
    closed = 0
    for pattern, name in addresses(get_resolver().url_patterns):
        pattern = re.sub(r"<(int|str|slug|path):\w+>", lambda found: "1" if found[1] == "int" else "acme", pattern)
        if name in OPEN_TO_ALL or "<" in pattern or "(" in pattern:
            continue
        closed += 1
        for method in ("get", "post", "put", "delete"):
            answer = getattr(Client(), method)(f"/{pattern}")
            assert answer.status_code == 302, pattern
            assert answer["Location"].startswith("/login/"), pattern
    assert closed > 10


def test_the_open_addresses_are_these_and_no_more() -> None:
    assert {
        "account_login",
        "account_logout",
        "mfa_authenticate",
        "mfa_login_webauthn",
        "first_administrator",
        "password_link",
        "health",
        "pipeline-schema",  # editors ask for it, and it holds nothing of anybody
    } == OPEN_TO_ALL


def test_an_unknown_address_looks_like_a_known_one_from_outside() -> None:
    assert Client().get("/no/such/page/")["Location"] == "/login/?next=/no/such/page/"


def test_there_is_no_sign_up_no_reset_and_no_other_way_in() -> None:
    names = {name for _, name in addresses(get_resolver().url_patterns)}
    assert not names & {"account_signup", "account_reset_password", "account_email", "admin:login"}
    assert reverse("account_login") == "/login/"


def test_live_streams_and_fragments_are_told_in_their_own_way() -> None:
    assert Client().get("/account/", headers={"Accept": "text/event-stream"}).status_code == 401
    answer = Client().get("/account/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Redirect"]) == (401, "/login/")


@pytest.mark.parametrize("next_", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"])
def test_nobody_is_sent_elsewhere_after_the_log_in(next_: str) -> None:
    make_person("Rob")
    answer = Client().post("/login/", {"login": "rob@acme.example", "password": PASSWORD, "next": next_})
    assert answer["Location"] == "/"


class TestGuessing:
    def test_ten_tries_for_one_account_in_a_quarter_of_an_hour(self, time_machine: TimeMachineFixture) -> None:
        make_person("Rob")
        time_machine.move_to(NOW, tick=False)
        answers = [guess("rob", ip=f"192.0.2.{n}") for n in range(60)]
        assert sum("do not go together" in answer for answer in answers) == 10
        assert "Too many tries" in guess("rob", PASSWORD, ip="198.51.100.1")
        time_machine.shift(15 * 60 + 1)
        assert guess("rob", PASSWORD, ip="198.51.100.1") == ""

    def test_thirty_tries_from_one_address(self) -> None:
        answers = [guess(f"name{n}") for n in range(40)]
        assert sum("do not go together" in answer for answer in answers) == 30

    def test_failures_are_written_down_and_the_limit_once(self) -> None:
        for _ in range(15):
            guess("rob")
        failed = AuditEntry.objects.filter(action="log-in failed", result="denied", actor=None)
        assert failed.count() == 10
        assert {entry.actor_name for entry in failed} == {"rob@acme.example"}
        assert AuditEntry.objects.filter(action="log-in limited").count() == 1

    def test_the_password_is_in_no_row(self) -> None:
        guess("rob", "my secret typed here")
        assert "my secret" not in str(list(AuditEntry.objects.values()))

    def test_many_names_do_not_push_the_counter_out(self) -> None:
        cache_settings: dict[str, Any] = served.CACHES["default"]
        assert cache_settings["BACKEND"] == "django.core.cache.backends.db.DatabaseCache"
        assert cache_settings["OPTIONS"]["MAX_ENTRIES"] >= 1_000_000

    def test_second_factor_codes_are_limited_too(self) -> None:
        rob = make_person("Rob")
        TOTP.activate(rob, generate_totp_secret())
        client = Client()
        client.post("/login/", {"login": "rob@acme.example", "password": PASSWORD})
        answers = [client.post("/login/second-factor/", {"code": "000000"}).content.decode() for _ in range(15)]
        assert sum("not right" in answer for answer in answers) <= 10
        assert "Too many tries" in answers[-1]


class TestEnumeration:
    def test_unknown_known_and_disabled_people_get_the_same_answer(self) -> None:
        make_person("Rob")
        make_person("Olga").disable(by=None, now=NOW)

        def answer(name: str, password: str) -> str:
            page = guess(name, password)
            return page[page.index("alert-danger") : page.index("</form>")].replace(name, "NAME")

        plain = answer("nobody", "wrong password")
        assert "do not go together" in plain
        assert answer("rob", "wrong password") == plain
        assert answer("olga", "wrong password") == plain
        assert answer("olga", PASSWORD) == plain

    @pytest.mark.parametrize("name", ["nobody", "rob", "olga"])
    def test_each_try_costs_one_hash(self, name: str) -> None:
        make_person("Rob")
        make_person("Olga").disable(by=None, now=NOW)
        with patch.object(MD5PasswordHasher, "encode", autospec=True, side_effect=MD5PasswordHasher.encode) as encode:
            guess(name)
        assert encode.call_count == 1


class TestSessions:
    def test_the_session_id_changes_at_log_in(self) -> None:
        make_person("Rob")
        client = Client()
        session = client.session
        session["planted"] = "by Sam"
        session.save()
        client.cookies[COOKIE] = before = session.session_key or ""
        log_in("Rob", client)
        assert client.cookies[COOKIE].value != before
        thief = Client()
        thief.cookies[COOKIE] = before
        assert thief.get("/account/").status_code == 302

    def test_a_logged_out_session_is_worth_nothing(self) -> None:
        make_person("Rob")
        client = log_in("Rob")
        thief = Client()
        thief.cookies[COOKIE] = client.cookies[COOKIE].value
        assert thief.get("/account/").status_code == 200
        client.post("/logout/")
        assert thief.get("/account/").status_code == 302

    def test_a_disabled_person_is_out_everywhere_at_once_and_stays_out_of_old_sessions(self) -> None:
        rob = make_person("Rob")
        sessions = [log_in("Rob"), log_in("Rob")]
        rob.disable(by=None, now=NOW)
        assert [client.get("/account/").status_code for client in sessions] == [302, 302]
        assert "do not go together" in guess("rob", PASSWORD)
        rob.enable(by=None, now=NOW)
        assert [client.get("/account/").status_code for client in sessions] == [302, 302]
        log_in("Rob")

    def test_a_taken_role_ends_the_sessions(self) -> None:
        rob = make_person("Rob", Role.OPS, instance=3)
        client = log_in("Rob")
        Grant.objects.take(by=None, to=rob, role=Role.OPS, instance=3, now=NOW)
        assert client.get("/account/").status_code == 302

    def test_eight_hours_idle_end_it(self, time_machine: TimeMachineFixture) -> None:
        make_person("Rob")
        time_machine.move_to(NOW, tick=False)
        client = log_in("Rob")
        time_machine.shift(7 * 3600 + 3599)
        assert client.get("/account/").status_code == 200
        time_machine.shift(8 * 3600)
        assert client.get("/account/").status_code == 302

    def test_an_open_stream_does_not_keep_a_session_alive(self, time_machine: TimeMachineFixture) -> None:
        make_person("Rob")
        time_machine.move_to(NOW, tick=False)
        client = log_in("Rob")
        time_machine.shift(5 * 3600)
        client.get("/account/", headers={"Accept": "text/event-stream"})
        time_machine.shift(4 * 3600)
        assert client.get("/account/").status_code == 302

    def test_a_day_ends_it_however_busy(self, time_machine: TimeMachineFixture) -> None:
        make_person("Rob")
        time_machine.move_to(NOW, tick=False)
        client = log_in("Rob")
        answers = []
        for _ in range(24):
            time_machine.shift(3600)
            answers.append(client.get("/account/").status_code)
        assert answers == [200] * 23 + [302]

    def test_the_cookie_is_for_the_browser_alone(self) -> None:
        make_person("Rob")
        cookie = log_in("Rob").cookies[COOKIE]
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")

    def test_a_form_of_another_site_is_refused(self) -> None:
        make_person("Rob")
        client = log_in("Rob", Client())
        strict = Client(enforce_csrf_checks=True)
        strict.cookies[COOKIE] = client.cookies[COOKIE].value
        assert strict.post("/account/", {"name": "Evil"}).status_code == 403
        assert User.objects.get().name == "Rob"


@pytest.fixture
def cache_in_the_database(transactional_db: None, settings: Settings) -> None:
    settings.CACHES = served.CACHES
    call_command("createcachetable", verbosity=0)
    cache.clear()


def at_once(number: int, act: Callable[[int], str]) -> list[str]:
    """What `act` answers to so many people at the same moment."""
    gate = Barrier(number)

    def one(n: int) -> str:
        gate.wait(timeout=30)
        try:
            return act(n)
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


@pytest.mark.usefixtures("cache_in_the_database")
class TestAtOnce:
    def test_parallel_guesses_and_noise_get_no_more_tries(self) -> None:
        make_person("Rob")
        answers = []
        for turn in range(4):
            answers += at_once(8, lambda n, turn=turn: guess("rob", ip=f"192.0.2.{turn * 8 + n}"))  # type: ignore[misc]
            at_once(8, lambda n, turn=turn: guess(f"noise-{turn}-{n}", ip=f"198.51.100.{turn * 8 + n}"))  # type: ignore[misc]
        tried = AuditEntry.objects.filter(action="log-in failed", actor_name="rob@acme.example").count()
        assert 1 <= tried <= 10
        assert len(answers) == 32

    def test_a_code_used_at_once_by_many_opens_one_door(self) -> None:
        secret = generate_totp_secret()
        TOTP.activate(make_person("Rob"), secret)
        clients = [Client() for _ in range(20)]
        for client in clients:
            client.post("/login/", {"login": "rob@acme.example", "password": PASSWORD})
        code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
        at_once(20, lambda n: str(clients[n].post("/login/second-factor/", {"code": code}).status_code))
        assert [client.get("/account/").status_code for client in clients].count(200) == 1


@pytest.mark.django_db(transaction=True)
def test_of_ten_people_with_the_link_one_becomes_administrator() -> None:
    token = FirstAdministratorLink.objects.invite(now=NOW)

    def claim(number: int) -> str:
        who = {"name": f"N{number}", "email": f"n{number}@acme.example", "password": PASSWORD}
        try:
            return FirstAdministratorLink.objects.use(token, **who, now=NOW).name
        except LinkRefused:
            return ""

    assert len([name for name in at_once(10, claim) if name]) == 1
    assert User.objects.count() == 1
