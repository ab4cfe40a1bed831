"""Every page for every role: who sees it, the guide's words on it, and how many queries it takes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deploynaut.accounts.roles import Role
from tests.builders import make_branch, make_commit, make_deployment, make_environment, make_instance, make_user
from tests.doors.world import PEOPLE, World, log_in

READ = (
    "/instances/acme/",
    "/instances/acme/?show=tags",
    "/instances/acme/?show=deployed",
    "/instances/acme/-/repository/",
    "/instances/acme/uat/",
    "/instances/acme/prod/",
    "/instances/acme/uat/release/",
    "/instances/acme/prod/release/",
    "/instances/acme/uat/settings/",
    "/instances/acme/uat/targets/",
    "/instances/acme/uat/1/",
    "/instances/acme/uat/2/",
    "/instances/acme/uat/3/",
    "/instances/acme/uat/3/abort/",
    "/instances/acme/uat/3/log/",
)
ANYBODY = ("/", "/instances/", "/account/")
SEES = [name for name, roles in PEOPLE.items() if roles]
QUERIES = 40


@pytest.mark.parametrize("name", SEES)
def test_whoever_has_a_role_sees_every_page_of_the_instance(world: World, name: str) -> None:
    browser = world.browser(name)
    for address in (*ANYBODY, *READ, f"/runs/{world.fetch.pk}/log/"):
        answer = browser.get(address)
        assert answer.status_code == 200, f"{address} for {name}"


def test_a_stranger_finds_nothing(world: World) -> None:
    browser = world.browser("Sam")
    for address in (*READ, f"/runs/{world.fetch.pk}/log/", "/instances/acme/new/"):
        assert browser.get(address).status_code == 404, address
    for address in ANYBODY:
        answer = browser.get(address)
        assert answer.status_code == 200
        assert b"acme" not in answer.content.replace(b"sam@acme.example", b"")


def test_what_may_not_be_seen_answers_like_what_is_not_there(world: World) -> None:
    browser = world.browser("Sam")
    hidden, missing = browser.get("/instances/acme/uat/3/"), browser.get("/instances/nobody/uat/3/")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.content == missing.content


def test_a_role_narrowed_to_one_environment_does_not_show_the_other(world: World) -> None:
    make_user("Nia", Role.TECHNICAL_STAFF, at=world.uat)
    browser = log_in("Nia")
    assert browser.get("/instances/acme/uat/").status_code == 200
    assert browser.get("/instances/acme/prod/").status_code == 404
    page = browser.get("/instances/acme/").content.decode()
    assert "/instances/acme/uat/" in page
    assert "/instances/acme/prod/" not in page


@pytest.mark.parametrize(
    ("name", "creates", "edits"),
    [("Rob", 403, 403), ("Mia", 403, 403), ("Olga", 403, 403), ("Ida", 403, 200), ("Ada", 200, 200)],
)
def test_forms_open_for_those_who_may_use_them(world: World, name: str, creates: int, edits: int) -> None:
    assert world.browser(name).get("/instances/new/").status_code == creates
    assert world.browser(name).get("/instances/acme/new/").status_code == edits


@pytest.mark.parametrize("address", [*ANYBODY, *READ])
def test_a_page_takes_a_bounded_number_of_queries(world: World, address: str) -> None:
    browser = world.browser("Rob")
    browser.get(address)
    before = _queries(browser, address)
    for number in range(3):
        other = make_instance(f"other{number}")
        make_user("Rob", Role.TECHNICAL_STAFF, instance=other)
        make_deployment(make_environment(other), at="succeeded")
        make_branch(world.instance, f"more{number}", [make_commit(world.instance) for _ in range(5)])
        make_environment(world.instance, f"test{number}", kind="test")
    after = _queries(browser, address)
    assert after <= QUERIES, f"{address}: {after} queries"
    assert after <= before + 2, f"{address}: {before} queries, and {after} with more rows"


def _queries(browser: object, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        browser.get(address)  # type: ignore[attr-defined]
    return len(queries)


# --- the guide's words -----------------------------------------------------------------------------------------------


class Words(HTMLParser):
    """Collects headings and buttons."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("h1", "h2", "h3", "button", "label", "a", "th"):
            self.found.append((tag, ""))
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, text = self.found[-1]
            self.found[-1] = (tag, " ".join((text + data).split()))

    def __contains__(self, wanted: tuple[str, str]) -> bool:
        return wanted in self.found


def test_the_instance_speaks_as_the_guide_does(world: World) -> None:
    words = Words(world.browser("Rob").get("/instances/acme/").content.decode())
    for wanted in (("h2", "Environments"), ("h2", "Repository"), ("h2", "Public key")):
        assert wanted in words
    assert ("button", "Fetch latest changes") in words
    assert ("a", "Deploy a tagged release") in words
    for heading in ("Build currently deployed", "Can you deploy?", "Release", "Commit message", "Currently on"):
        assert ("th", heading) in words


def test_deploy_a_tagged_release_appears_once_a_fetch_has_brought_a_tag(world: World) -> None:
    world.instance.refs.filter(kind="tag").delete()
    for address in ("/instances/acme/", "/instances/acme/uat/release/"):
        assert "Deploy a tagged release" not in world.browser("Rob").get(address).content.decode()


def test_the_environment_ends_with_its_history(world: World) -> None:
    page = world.browser("Rob").get("/instances/acme/uat/").content.decode()
    assert ("h2", "Deploy history") in Words(page)
    assert re.findall(r"<h2[^>]*>([^<]*)", page)[-1] == "Deploy history"


def test_the_choosing_page_offers_the_four_ways_of_the_guide(world: World) -> None:
    page = world.browser("Rob").get("/instances/acme/uat/release/").content.decode()
    words = Words(page)
    assert ("h1", "Deploy a new release") in words
    for label in (
        "Deploy the latest version of a branch",
        "Deploy a tagged release",
        "Redeploy a release that was previously deployed (to any environment)",
        "Deploy a specific commit id",
    ):
        assert ("label", label) in words
    assert ("button", "Begin the release process on uat") in words


def test_the_deployment_offers_abort_and_its_logs(world: World) -> None:
    words = Words(world.browser("Rob").get("/instances/acme/uat/3/").content.decode())
    assert ("button", "Abort Pipeline") in words
    assert ("a", "View Logs") in words


# --- what may not be pressed says why --------------------------------------------------------------------------------


def test_can_you_deploy_names_whom_to_ask(world: World) -> None:
    page = world.browser("Vera").get("/instances/acme/").content.decode()
    assert "You may not release to uat of acme" in page
    assert "Ask " in page


def test_every_disabled_button_has_its_reason_beside_it(world: World) -> None:
    for name in SEES:
        for address in READ:
            page = world.browser(name).get(address).content.decode()
            for described in re.findall(r"<button[^>]* disabled(?: aria-describedby=\"([^\"]*)\")?", page):
                reason = re.search(rf'id="{described}">([^<]+)<', page)
                assert described, f"{address} for {name}: a disabled button without a reason"
                assert reason, f"{address} for {name}: {described} is not there"


def test_an_ended_deployment_cannot_be_aborted_and_says_so(world: World) -> None:
    page = world.browser("Mia").get("/instances/acme/uat/1/").content.decode()
    assert "This deployment has ended." in page


def test_nothing_on_a_page_needs_inline_script_or_style(world: World) -> None:
    for address in (*ANYBODY, *READ):
        page = world.browser("Ida").get(address).content.decode()
        assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|<style|<script(?![^>]*\ssrc=)", page), address


def test_the_strip_is_there_only_while_a_site_is_left_behind_its_screen(world: World) -> None:
    browser = world.browser("Rob")
    assert "rollback failed" not in browser.get("/instances/").content.decode()
    other = make_environment(world.instance, "test", kind="test")
    make_deployment(other, at="succeeded")
    make_deployment(other, at="rollback failed")
    page = browser.get("/instances/").content.decode()
    assert "is in its maintenance screen since" in page
    make_deployment(other, at="succeeded")
    assert "is in its maintenance screen since" not in browser.get("/instances/").content.decode()


def test_lists_are_cut_into_pages(world: World) -> None:
    other = make_environment(world.instance, "test", kind="test")
    for _ in range(27):
        make_deployment(other, at="failed")
    first = world.browser("Rob").get("/instances/acme/test/").content.decode()
    second = world.browser("Rob").get("/instances/acme/test/?page=2").content.decode()
    assert first.count('data-label="Deployer"') == 25
    assert second.count('data-label="Deployer"') == 2
    assert world.browser("Rob").get("/instances/acme/test/?page=-1'").status_code == 200
