"""A real browser (Debian's chromium) for the stories, and axe for every page they come to."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[3]
AXE = PROJECT / "tests" / "vendor" / "axe.min.js"
CHROMIUM = "/usr/bin/chromium"
# Without these the browser looks for servers of its maker at every start.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Playwright's event loop stays in this thread; the ORM is not used here, but Django looks for the loop.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A fixture can ask whether its test has failed."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the stories of a module; a second one at the same time would find playwright's loop running."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own, wide, light."""
    made = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce")
    made.set_default_timeout(15_000)
    yield made
    made.close()


def asked(page: Page, script: str) -> Any:
    """What a script in the page answers; asked again when the page has just moved on, as after a fetch."""
    for _ in range(5):
        try:
            return page.evaluate(script)
        except Error as error:
            if "navigation" not in str(error):
                raise
            page.wait_for_load_state()
    return page.evaluate(script)


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page: rule, help and the first element."""
    # The page's policy allows no inline script, which is as it should be: axe comes in through the debugger's door.
    found: dict[str, Any] = asked(page, f"async () => {{ {AXE.read_text('utf-8')}; return await axe.run(document) }}")
    return [f"{one['id']}: {one['help']}: {_first(one['nodes'])}" for one in found["violations"]]


def _first(nodes: list[dict[str, Any]]) -> str:
    return f"{json.dumps(nodes[0]['target'])} {nodes[0].get('failureSummary', '')}"


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(asked(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth"))
