"""S52, S55: the same headers on every answer, errors included; error pages show a number, and nothing of the inside."""

from __future__ import annotations

import logging
import re

import pytest
from django.db import connection
from django.test import Client, override_settings

from tests.doors.world import World, address, routes

WANTED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def check_headers(answer: object) -> None:
    """The security headers are there, and the policy allows nothing inline."""
    headers = answer.headers  # type: ignore[attr-defined]
    for name, value in WANTED.items():
        assert headers.get(name) == value, name
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_every_route_answers_with_the_headers(world: World) -> None:
    for browser in (world.browser("Ida"), Client()):
        for route, pattern in routes():
            check_headers(browser.get(address(route, pattern, world)))


def test_errors_carry_the_headers(world: World) -> None:
    browser = world.browser("Rob")
    answers = [
        (404, browser.get("/nowhere/")),
        (405, browser.get("/instances/acme/-/fetch/")),
        (403, browser.get("/instances/acme/new/")),
        (400, browser.post("/instances/acme/uat/release/", {"by": "commit", "commit": "-x"})),
        (400, browser.get("/", HTTP_HOST="evil.example")),
    ]
    for status, answer in answers:
        assert answer.status_code == status
        check_headers(answer)


BROKEN = [
    ("deployments_deployment", "/"),
    ("instances_environment", "/instances/"),
    ("instances_keypair", "/instances/acme/"),
    ("instances_ref", "/instances/acme/?show=tags"),
    ("instances_target", "/instances/acme/uat/"),
    ("instances_commit", "/instances/acme/uat/release/"),
    ("instances_instance", "/instances/acme/uat/settings/"),
    ("runs_steprun", "/instances/acme/uat/3/"),
    ("snapshots_snapshot", "/instances/acme/uat/1/"),
    ("runs_logchunk", "/instances/acme/uat/3/log/"),
]
"""Tables that are taken away, and pages that need them."""


@pytest.mark.parametrize(("table", "where"), BROKEN)
def test_an_internal_error_shows_a_number_that_finds_it_in_the_log(
    world: World, table: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    browser = world.browser("Ida")
    browser.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO taken_away")
    with caplog.at_level(logging.ERROR):
        answer = browser.get(where)
    page = answer.content.decode()
    assert answer.status_code == 500
    check_headers(answer)
    for inside in (table, "taken_away", "SELECT", "Traceback", "/work/", ".py", "OperationalError", "Exception"):
        assert inside not in page
    found = re.search(r"Incident <code>([0-9a-f]{8})</code>", page)
    assert found
    entry = next(record for record in caplog.records if found[1] in record.getMessage())
    assert entry.exc_info and table in str(entry.exc_info[1])


def test_when_the_error_page_itself_cannot_be_drawn_the_number_is_still_shown(world: World) -> None:
    browser = world.browser("Ida")
    browser.raise_request_exception = False
    empty = {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": []}}
    with override_settings(TEMPLATES=[empty]):
        answer = browser.get("/")
    assert answer.status_code == 500
    assert re.search(rb"Incident [0-9a-f]{8}", answer.content)


def test_a_hostile_path_is_answered_in_words(world: World) -> None:
    for where in ("/instances/%00/", "/instances/acme/..%2f..%2fetc/", "/instances/acme/uat/99999999999999999999/"):
        answer = world.browser("Rob").get(where)
        assert answer.status_code == 404
        assert b"Not found" in answer.content
