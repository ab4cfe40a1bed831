"""The demo as a newcomer plays it: `./run`, the printed address, the printed logins, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.real.browser import playing
from tests.real.browser.playing import (
    ALL,
    BRANCH,
    FOREIGN,
    LONG,
    PICTURES,
    TAGGED,
    Running,
    begin,
    choose,
    complaints,
    ends_as,
    instance,
    titles,
)
from tests.stage import wait_until


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`./run` in a folder of its own."""
    with playing.played(tmp_path_factory.mktemp("run")) as running:
        yield running


def photograph(page: Page, name: str) -> None:
    """All four are kept: the documents show some of them."""
    playing.photograph(page, name, keep=ALL)


# --- the stories -----------------------------------------------------------------------------------------------------


def test_the_demo_from_the_first_release_to_an_abort(demo: Running, context: BrowserContext) -> None:
    page = context.new_page()
    problems = complaints(page)
    page.goto(demo.address)
    photograph(page, "login")
    demo.login(page, "rob")

    # Fetch latest changes, and see what there is.
    instance(page, demo)
    for heading in ("Environments", "Repository", "Public key"):
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    page.get_by_role("button", name="Fetch latest changes").click()
    expect(page.get_by_text("Deploy a tagged release").first).to_be_visible()
    photograph(page, "instance")

    # A good release.
    choose(page, *TAGGED, "1.0")
    photograph(page, "release")
    begin(page)
    ends_as(page, "Succeeded")
    photograph(page, "deployment-succeeded")
    assert "1.0" in httpx2.get(demo.sites["uat"], timeout=10).text

    # A smoke test fails: code and database come back by themselves.
    before = titles(demo.sites["uat"])
    instance(page, demo)
    choose(page, *BRANCH, "broken/search-500")
    begin(page)
    photograph_running(page)
    ends_as(page, "Rolled back")
    photograph(page, "deployment-rolled-back")
    assert titles(demo.sites["uat"]) == before

    # A migration fails halfway: likewise.
    instance(page, demo)
    choose(page, *BRANCH, "broken/migration")
    begin(page)
    ends_as(page, "Rolled back")
    assert titles(demo.sites["uat"]) == before

    # Abort, during a slow migration.
    instance(page, demo)
    choose(page, *BRANCH, "slow/migration")
    begin(page)
    expect(page.locator('[data-label="Release"]').first).to_contain_text("Running", timeout=LONG)
    page.get_by_role("button", name="Abort Pipeline").click()
    expect(page.get_by_role("heading", name=re.compile("Abort"))).to_be_visible()
    page.get_by_role("button", name="Abort Pipeline").click()
    ends_as(page, "aborted by Rob")
    assert titles(demo.sites["uat"]) == before

    # The history keeps all four, and the front page and messages are there.
    instance(page, demo)
    page.get_by_role("link", name="uat", exact=True).first.click()
    expect(page.get_by_role("heading", name="Deploy history")).to_be_visible()
    photograph(page, "environment")
    page.goto(demo.address)
    photograph(page, "front")
    page.goto(f"{demo.address}/messages/")
    expect(page.get_by_text(re.compile("was put back")).first).to_be_visible()
    photograph(page, "messages")

    assert not problems, problems


def photograph_running(page: Page) -> None:
    """A deployment at work: pictures without waiting for it to stand still."""
    expect(page.locator('[data-label="Prepare"]').first).to_contain_text("Done", timeout=LONG)
    FOREIGN.append("running")
    page.screenshot(path=PICTURES / "deployment-running-1280-light.png")
    page.wait_for_timeout(100)
    FOREIGN.clear()


def test_each_of_the_others_logs_in_and_sees_what_they_may(demo: Running, context: BrowserContext) -> None:
    for who, may in (("mia", True), ("olga", False), ("ada", True)):
        page = context.new_page()
        demo.login(page, who)
        page.goto(f"{demo.address}/instances/council/uat/release/")
        button = page.get_by_role("button", name="Begin the release process on uat")
        assert button.is_enabled() == may, who
        page.close()
        context.clear_cookies()


def test_without_scripting_a_release_works_by_plain_forms(demo: Running, context: BrowserContext) -> None:
    browser = context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False)
    page = plain.new_page()
    demo.login(page, "rob")
    instance(page, demo)
    choose(page, *TAGGED, "1.2")
    page.get_by_role("button", name="Begin the release process on uat").click()

    def ended() -> bool:
        page.reload()
        return "Succeeded" in (page.locator(".outcome").text_content() or "")

    wait_until(ended, seconds=60, what="the release has ended")
    plain.close()


def test_the_pictures_for_the_readme_are_there() -> None:
    names = ("login", "instance", "release", "deployment-succeeded", "deployment-rolled-back", "environment")
    missing = [
        f"{name}-{width}-{scheme}.png"
        for name in names
        for width in (1280, 360)
        for scheme in ("light", "dark")
        if not Path(PICTURES / f"{name}-{width}-{scheme}.png").exists()
    ]
    assert not missing
