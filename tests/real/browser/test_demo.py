"""The demo as a newcomer plays it: `./run`, the printed address, the printed logins, and nothing else."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.real.browser.conftest import PROJECT, sideways, violations
from tests.stage import wait_until

PICTURES = PROJECT / "docs" / "pictures"
LONG = 45_000


@dataclass(frozen=True)
class Running:
    """What `./run` has printed."""

    address: str
    password: str
    people: dict[str, str]
    sites: dict[str, str]

    def login(self, page: Page, who: str) -> None:
        """Log in with a printed name and the printed password."""
        page.goto(self.address)
        page.get_by_label("E-mail").first.fill(self.people[who])
        page.get_by_label("Password").first.fill(self.password)
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page.get_by_role("link", name=re.compile("instances", re.IGNORECASE)).first).to_be_visible()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`./run` in a folder of its own; ended by SIGTERM, and then nothing of it is left."""
    data = tmp_path_factory.mktemp("run") / "data"
    process = subprocess.Popen(
        [sys.executable, "run", "--data", str(data)], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed: list[str] = []
    reader = threading.Thread(target=_read, args=(process, printed), daemon=True)
    reader.start()
    wait_until(lambda: "Ctrl-C ends everything" in "".join(printed), seconds=90, what="./run says that it is ready")
    text = "".join(printed)
    running = Running(
        address=_find(r"ready: (http://\S+)", text),
        password=_find(r"password (\S+)", text),
        people={email.split("@")[0]: email for email in re.findall(r"\S+@demo\.example", text)},
        sites=dict(re.findall(r"^\s+(uat|prod)\s+(http://\S+)", text, re.MULTILINE)),
    )
    yield running
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) in (0, 143, -signal.SIGTERM)
    for url in (running.address, *running.sites.values()):
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(url, timeout=2)


def _read(process: subprocess.Popen[bytes], printed: list[str]) -> None:
    assert process.stdout is not None
    # Line by line, not with one extend: the test reads what has come so far.
    for line in process.stdout:
        printed += [line.decode(errors="replace")]


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]


# --- what people do --------------------------------------------------------------------------------------------------


def choose(page: Page, way: str, field: str, name: str) -> None:
    """On the release page: one of the guide's radio choices, and what it offers."""
    page.get_by_role("link", name="uat", exact=True).first.click()
    page.get_by_role("button", name="Deploy a new release").click()
    expect(page.get_by_role("heading", name="Deploy a new release")).to_be_visible()
    page.get_by_role("radio", name=way).check()
    page.get_by_label(field, exact=True).select_option(name)


TAGGED, BRANCH = ("Deploy a tagged release", "Tag"), ("Deploy the latest version of a branch", "Branch")


def begin(page: Page) -> None:
    """Press the guide's button."""
    page.get_by_role("button", name="Begin the release process on uat").click()
    expect(page.get_by_role("button", name="Abort Pipeline")).to_be_visible()


def ends_as(page: Page, word: str) -> None:
    """The deployment page says by itself, without a reload, how it ended."""
    expect(page.locator(".outcome")).to_contain_text("Took", timeout=LONG)
    expect(page.locator(".outcome")).to_contain_text(re.compile(word, re.IGNORECASE))


def titles(url: str) -> str:
    """What a visitor reads on the news page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", httpx2.get(f"{url}/news", timeout=10).text))


def instance(page: Page, demo: Running) -> None:
    """The way from the front page to the instance."""
    page.goto(f"{demo.address}/instances/")
    page.get_by_role("link", name=re.compile("Valley Council", re.IGNORECASE)).first.click()


def complaints(page: Page) -> list[str]:
    """What the browser complains about from here on; not what axe and the camera themselves put into the page."""
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text) if said.type == "error" and not FOREIGN else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


FOREIGN: list[str] = []
"""Not empty while the test itself puts something into the page."""


def photograph(page: Page, name: str) -> None:
    """The page at 1280 and 360 px, light and dark, checked by axe each time; never wider than the window."""
    FOREIGN.append(name)
    for width in (1280, 360):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900 if width > 400 else 780})
            page.wait_for_timeout(150)
            assert sideways(page) <= 0, f"{name} scrolls sideways at {width} px"
            found = violations(page)
            assert not found, f"{name} {width} {scheme}:\n" + "\n".join(found)
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_timeout(100)
    FOREIGN.clear()


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

    # Production cannot be begun on yet, and says why.
    page.goto(f"{demo.address}/instances/council/prod/release/")
    expect(page.get_by_text("Production releases need approval, which this version does not have yet")).to_be_visible()
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
