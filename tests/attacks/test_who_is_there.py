"""RA29, RA30: guessing by the thousand, and learning who or what is there from words, codes or time."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from deploynaut import settings as served
from deploynaut.accounts.models import AuditEntry, User
from tests.doors.world import World, make_foreign_world, make_world
from tests.people import NOW, make_person

pytestmark = [pytest.mark.attacks, pytest.mark.django_db]
SAME = 0.005
"""Seconds by which the medians of two answers may differ."""


@pytest.fixture
def world(db: None) -> World:
    return make_world()


def guess(name: str, ip: str = "192.0.2.1", password: str = "wrong password here") -> Client:
    client = Client()
    client.post("/login/", {"login": f"{name}@acme.example", "password": password}, REMOTE_ADDR=ip)
    return client


@pytest.fixture
def cache_in_the_database(transactional_db: None, settings: Settings) -> None:
    settings.CACHES = served.CACHES
    call_command("createcachetable", verbosity=0)
    cache.clear()


@pytest.mark.usefixtures("cache_in_the_database")
def test_a_thousand_guesses_among_a_hundred_thousand_noise_names_are_ten_tries() -> None:
    make_person("Rob")
    for number in range(8):
        guess("rob", ip=f"192.0.2.{number}")
    _noise(100_000)

    def one(number: int) -> None:
        try:
            guess("rob", ip=f"198.51.{number // 250}.{number % 250 + 1}")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(992)))
    tried = AuditEntry.objects.filter(action="log-in failed", actor_name="rob@acme.example").count()
    assert 8 <= tried <= 10


def _noise(count: int) -> None:
    """What so many failed log-ins of other names leave behind."""
    expires = (timezone.now() + timedelta(hours=1)).replace(tzinfo=None, microsecond=0)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cache (cache_key, value, expires) VALUES (%s, %s, %s)",
            [(f":1:allauth:rl:noise:{number}", "gASVBQAAAAAAAABdlC4=", expires) for number in range(count)],
        )


def medians(tries: int, *acts: Callable[[], object]) -> list[float]:
    """The median time of each act, taken in turns so that a busy machine slows all of them."""
    times: list[list[float]] = [[] for _ in acts]
    for _ in range(tries):
        for act, found in zip(acts, times, strict=True):
            begun = time.perf_counter()
            act()
            found.append(time.perf_counter() - begun)
    return [statistics.median(found) for found in times]


def spread(values: list[float]) -> float:
    return max(values) - min(values)


def test_a_failed_log_in_takes_as_long_for_nobody_as_for_somebody() -> None:
    make_person("Rob")
    make_person("Olga").disable(by=None, now=NOW)

    def of(name: str) -> Callable[[], object]:
        def act() -> None:
            cache.clear()
            guess(name)

        return act

    found = medians(80, of("rob"), of("olga"), of("nobody"))
    assert spread(found) < SAME, found


FOREIGN = [
    ("/instances/beta/", "/instances/nowhere/"),
    ("/instances/beta/uat/", "/instances/beta/nowhere/"),
    ("/instances/beta/uat/3/", "/instances/beta/uat/987654/"),
    ("/instances/beta/-/members/", "/instances/nowhere/-/members/"),
]


@pytest.mark.parametrize(("there", "nowhere"), FOREIGN)
def test_what_is_not_mine_and_what_is_not_there_look_alike(world: World, there: str, nowhere: str) -> None:
    foreign = make_foreign_world()
    there = there.replace("/3/", f"/{foreign.open.number}/")
    for browser in (world.browser("Rob"), world.browser("Sam")):
        answers = [browser.get(where) for where in (there, nowhere)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
        assert {**answers[0].headers} == {**answers[1].headers}
    rob = world.browser("Rob")
    found = medians(80, lambda: rob.get(there), lambda: rob.get(nowhere))
    assert spread(found) < SAME, found


def test_a_foreign_run_looks_like_none(world: World) -> None:
    foreign = make_foreign_world()
    rob = world.browser("Rob")
    for method in (rob.get, rob.post):
        there, nowhere = method(f"/runs/{foreign.fetch.pk}/log/"), method("/runs/987654/log/")
        assert there.status_code == nowhere.status_code
        assert there.content == nowhere.content
    found = medians(80, lambda: rob.get(f"/runs/{foreign.fetch.pk}/log/"), lambda: rob.get("/runs/987654/log/"))
    assert spread(found) < SAME, found


@pytest.fixture
def people() -> Iterator[User]:
    yield make_person("Rob")


def test_a_password_link_tells_nobody_who_has_an_account(people: User) -> None:
    seal = "0" * 64
    known, unknown = f"/password/{people.pk}-1900000000-{seal}/", f"/password/987654-1900000000-{seal}/"
    pages = [Client().get(where) for where in (known, unknown, "/password/x/")]
    assert [page.status_code for page in pages] == [404, 404, 404]
    assert len({re.sub(rb"csrf\w+", b"", page.content) for page in pages}) == 1
    found = medians(80, lambda: Client().get(known), lambda: Client().get(unknown))
    assert spread(found) < SAME, found
