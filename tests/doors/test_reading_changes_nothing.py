"""RA03: GET, HEAD and OPTIONS on every route of the product change no row. Made from the addresses themselves."""

from __future__ import annotations

import pytest
from django.urls import URLPattern

from tests.doors.world import World, address, all_rows, routes

ROUTES = list(routes())


def test_the_routes_are_found() -> None:
    assert len(ROUTES) > 35


@pytest.mark.parametrize("who", ["Ida", "Ada"])
@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_reading_changes_no_row_on_any_route(world: World, method: str, who: str) -> None:
    browser = world.browser(who)
    browser.get("/")
    # Log-out, when asked for by GET, shows a page; the denial of a page is written down, which is not a change.
    before = all_rows(without=["sessions.session", "accounts.auditentry"])
    for route, pattern in ROUTES:
        _ask(browser, method, route, pattern, world)
        assert all_rows(without=["sessions.session", "accounts.auditentry"]) == before, f"{method} {route}"


def _ask(browser: object, method: str, route: str, pattern: URLPattern, world: World) -> None:
    where = address(route, pattern, world)
    answer = getattr(browser, method)(where)
    assert answer.status_code < 500, f"{method} {where}: {answer.status_code}"


@pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
def test_other_methods_are_refused_and_change_nothing(world: World, method: str) -> None:
    browser = world.browser("Ida")
    browser.get("/")
    before = all_rows()
    for route, pattern in ROUTES:
        where = address(route, pattern, world)
        if where.startswith(("/instances", "/runs", "/messages")) or where == "/":
            assert getattr(browser, method)(where).status_code in (403, 405), f"{method} {where}"
    assert all_rows() == before


def test_acts_answer_reading_with_405(world: World) -> None:
    for where in (
        "/instances/acme/-/fetch/",
        "/instances/acme/-/host-key/",
        "/instances/acme/uat/targets/add/",
        f"/instances/acme/uat/targets/{world.target.pk}/check/",
        f"/instances/acme/uat/targets/{world.target.pk}/confirm/",
    ):
        assert world.browser("Ida").get(where).status_code == 405
