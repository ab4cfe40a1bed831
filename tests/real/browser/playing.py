"""What the stories share: `./run` as a process, its people in their browsers, what they press, and pictures of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from playwright.sync_api import Browser, Page, expect

from tests.real.browser.conftest import PROJECT, sideways, violations
from tests.stage import Stage, wait_until

PICTURES = PROJECT / "docs" / "pictures"
SEEN = Path(os.environ.get("DEPLOYNAUT_TEST_PICTURES") or tempfile.gettempdir()) / "deploynaut-pictures"
"""Where pictures go that are looked at while working, and not kept."""
LONG = 45_000
DESK, PHONE = 1280, 360


@dataclass(frozen=True)
class Running:
    """What `./run` has printed; `stage` reads its record, and does through the verbs what no story is about."""

    address: str
    password: str
    people: dict[str, str]
    sites: dict[str, str]
    text: str
    stage: Stage
    instance: str = "council"

    @property
    def here(self) -> str:
        """Where the pages of the instance are."""
        return f"{self.address}/instances/{self.instance}"

    def login(self, page: Page, who: str) -> None:
        """Log in with a printed name and the printed password."""
        page.goto(self.address)
        page.get_by_label("E-mail").first.fill(self.people[who])
        page.get_by_label("Password").first.fill(self.password)
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page.get_by_role("link", name=re.compile("instances", re.IGNORECASE)).first).to_be_visible()


@contextmanager
def played(folder: Path, extra: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`./run` in a folder of its own; ended by SIGTERM, and then nothing of it is left."""
    data = folder / "data"
    process = subprocess.Popen(
        [sys.executable, "run", "--data", str(data)], cwd=PROJECT, env={**os.environ, **(extra or {})},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    printed: list[str] = []
    threading.Thread(target=_read, args=(process, printed), daemon=True).start()
    wait_until(lambda: "Ctrl-C ends everything" in "".join(printed), seconds=90, what="./run says that it is ready")
    text = "".join(printed)
    running = Running(
        address=_find(r"ready: (http://\S+)", text),
        password=_find(r"password (\S+)", text),
        people={email.split("@")[0]: email for email in re.findall(r"\S+@demo\.example", text)},
        sites=dict(re.findall(r"^\s+(uat|prod)\s+(http://\S+)", text, re.MULTILINE)),
        text=text,
        stage=Stage(data, extra=extra or {}),
    )
    try:
        yield running
    finally:
        running.stage.stop()
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) in (0, 143, -signal.SIGTERM)
    for url in (running.address, *running.sites.values()):
        try:
            httpx2.get(url, timeout=2)
        except httpx2.HTTPError:
            continue
        raise AssertionError(f"{url} still answers")


def _read(process: subprocess.Popen[bytes], printed: list[str]) -> None:
    assert process.stdout is not None
    # Line by line, not with one extend: the test reads what has come so far.
    for line in process.stdout:
        printed += [line.decode(errors="replace")]


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]


@dataclass
class Cast:
    """Each of the demo's people in a browser of their own, logged in once; `play.rob` is Rob's page."""

    browser: Browser
    demo: Running
    script: bool = True
    _pages: dict[str, Page] = field(default_factory=dict)

    def __getattr__(self, who: str) -> Page:
        if who.startswith("_"):
            raise AttributeError(who)
        if who not in self._pages:
            context = self.browser.new_context(
                viewport={"width": DESK, "height": 900}, color_scheme="light", reduced_motion="reduce",
                java_script_enabled=self.script,
            )  # fmt: skip
            context.set_default_timeout(15_000)
            page = context.new_page()
            self.demo.login(page, who)
            self._pages[who] = page
        return self._pages[who]

    def photograph(self, name: str) -> None:
        """What everybody sees now, for whoever reads of a failure."""
        SEEN.mkdir(parents=True, exist_ok=True)
        for who, page in self._pages.items():
            page.screenshot(path=SEEN / f"failed-{name}-{who}.png", full_page=True)

    def close(self) -> None:
        """End all of them."""
        for page in self._pages.values():
            page.context.close()


# --- what people do --------------------------------------------------------------------------------------------------

TAGGED, BRANCH = ("Deploy a tagged release", "Tag"), ("Deploy the latest version of a branch", "Branch")


def instance(page: Page, demo: Running) -> None:
    """The way from the front page to the instance."""
    page.goto(f"{demo.address}/instances/")
    page.get_by_role("link", name=re.compile("Valley Council", re.IGNORECASE)).first.click()


def choose(page: Page, way: str, field: str, name: str) -> None:
    """On the release page of uat: one of the guide's radio choices, and what it offers."""
    page.get_by_role("link", name="uat", exact=True).first.click()
    page.get_by_role("button", name="Deploy a new release").click()
    expect(page.get_by_role("heading", name="Deploy a new release")).to_be_visible()
    page.get_by_role("radio", name=way).check()
    page.get_by_label(field, exact=True).select_option(name)


def begin(page: Page, environment: str = "uat") -> None:
    """Press the guide's button."""
    page.get_by_role("button", name=f"Begin the release process on {environment}").click()
    expect(page.get_by_role("button", name="Abort Pipeline")).to_be_visible()


def ends_as(page: Page, word: str) -> None:
    """The deployment page says by itself, without a reload, how it ended."""
    expect(page.locator(".outcome")).to_contain_text("Took", timeout=LONG)
    expect(page.locator(".outcome")).to_contain_text(re.compile(word, re.IGNORECASE))


def titles(url: str) -> str:
    """What a visitor reads on the news page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", httpx2.get(f"{url}/news", timeout=10).text))


# --- pictures --------------------------------------------------------------------------------------------------------

ALL = ("1280-light", "1280-dark", "360-light", "360-dark")
FOREIGN: list[str] = []
"""Not empty while the test itself puts something into the page."""


def complaints(page: Page) -> list[str]:
    """What the browser complains about from here on; not what axe and the camera themselves put into the page."""
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text) if said.type == "error" and not FOREIGN else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def photograph(
    page: Page, name: str, *, keep: tuple[str, ...] = (), only: tuple[str, ...] = ALL, whole: bool = True
) -> None:
    """The page at 1280 and 360 px, light and dark, checked by axe each time; never wider than the window.

    `keep`: which of them the documents show, as in `("360-light",)`, `whole` or only what fits into the window; the
    others are there to be looked at.
    """
    FOREIGN.append(name)
    SEEN.mkdir(parents=True, exist_ok=True)
    for look in (one for one in ALL if one in only):
        width, scheme = look.split("-")
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": int(width), "height": 900 if int(width) == DESK else 780})
        page.wait_for_timeout(150)
        assert sideways(page) <= 0, f"{name} scrolls sideways at {width} px"
        found = violations(page)
        assert not found, f"{name} {look}:\n" + "\n".join(found)
        kept = look in keep
        page.screenshot(path=(PICTURES if kept else SEEN) / f"{name}-{look}.png", full_page=whole or not kept)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": DESK, "height": 900})
    page.wait_for_timeout(100)
    FOREIGN.clear()
