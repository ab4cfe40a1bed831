"""RA04: a form without our token, with another token, from another origin or of another kind is answered 403."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import URLPattern

from deploynaut.web.pipelines.page import mark
from tests.doors.world import World, address, all_rows, log_in, routes

ACTS = [
    ("/instances/new/", {"name": "evil", "repository": "https://git.example/x.git"}),
    ("/instances/acme/new/", {"name": "evil", "kind": "test", "recipe": "plain"}),
    ("/instances/acme/-/fetch/", {}),
    ("/instances/acme/-/host-key/", {"fingerprint": "x"}),
    ("/instances/acme/uat/release/", {"by": "branch", "branch": "main"}),
    ("/instances/acme/uat/settings/", {"url": ""}),
    ("/instances/acme/uat/pipeline/", {"act": "save", "text": "keep_releases: 9", "based_on": mark("")}),
    ("/instances/acme/uat/targets/add/", {"address": "evil.example", "base": "/sites/x", "user": "x"}),
    ("/instances/acme/uat/3/abort/", {}),
]


@pytest.fixture
def strict(world: World) -> Client:
    """Ida's browser, with the check of forms switched on as in production."""
    log_in("Ida", strict := Client())
    strict.handler.enforce_csrf_checks = True
    strict.get("/")
    return strict


@pytest.mark.parametrize(("where", "fields"), ACTS)
def test_a_forged_form_is_refused(strict: Client, where: str, fields: dict[str, str]) -> None:
    page = strict.get("/").content.decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    token = found[1]
    before = all_rows()
    own = {"Origin": "http://testserver"}
    foreign = {"Origin": "https://evil.example"}
    tries = [
        strict.post(where, fields, headers=own),
        strict.post(where, {**fields, "csrfmiddlewaretoken": "x" * 64}, headers=own),
        strict.post(where, {**fields, "csrfmiddlewaretoken": token}, headers=foreign),
        strict.post(where, {**fields, "csrfmiddlewaretoken": token}, headers={"Origin": "null"}),
        strict.post(where, '{"csrfmiddlewaretoken": "' + token + '"}', content_type="text/plain", headers=own),
        strict.post(where, "{}", content_type="application/json", headers=own),
    ]
    assert [answer.status_code for answer in tries] == [403] * len(tries)
    assert b"This form was not accepted" in tries[0].content
    assert all_rows() == before


@pytest.mark.parametrize("number", range(3))
def test_every_route_that_takes_forms_refuses_one_without_a_token(strict: Client, world: World, number: int) -> None:
    for route, pattern in list(routes())[number::3]:
        assert _refused(strict, world, route, pattern), route


def _refused(browser: Client, world: World, route: str, pattern: URLPattern) -> bool:
    # 405 and 404: there is nothing that takes a form.
    return browser.post(address(route, pattern, world), {}, HTTP_ORIGIN="http://testserver").status_code in (
        403,
        404,
        405,
    )


def test_the_same_form_from_our_own_page_is_accepted(strict: Client, world: World) -> None:
    page = strict.get("/instances/acme/").content.decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    answer = strict.post("/instances/acme/-/fetch/", {"csrfmiddlewaretoken": found[1]}, HTTP_ORIGIN="http://testserver")
    assert answer.status_code == 302
