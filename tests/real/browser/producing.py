"""What the stories of production share: what Rob, Mia, Ada and Olga do at its gates, and who is told."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
from playwright.sync_api import Page, expect

from deploynaut.cli.demo import PRODUCTION
from tests.real.browser.playing import LONG, Running
from tests.stage import RECORD, free_port, wait_until

# --- what people do --------------------------------------------------------------------------------------------------


def begin_on(page: Page, demo: Running, name: str, environment: str = "prod") -> int:
    """Choose among what passed UAT, and begin; the number of the deployment, whose page is open now."""
    page.goto(f"{demo.here}/{environment}/release/")
    page.locator(f'input[name="release"][value="{demo.stage.commit(name)}"]').check()
    page.get_by_role("button", name=f"Begin the release process on {environment}").click()
    expect(page.get_by_role("button", name="Abort Pipeline")).to_be_visible()
    return int(page.url.rstrip("/").rpartition("/")[2])


def release_to_production(demo: Running, name: str) -> None:
    """By the verbs, for stories that begin later: begun, approved, deployed, dismissed."""
    stage = demo.stage
    number = stage.begin("release", stage.commit(name), environment="prod")
    acts = (("approval", "approve", "Mia"), ("confirm", "start", "Rob"), ("rollback_window", "dismiss", "Rob"))
    for gate, act, who in acts:
        _wait_at(demo, number, gate, "prod")
        stage.clerk(act, environment="prod", number=number, who=who)
    assert stage.wait_for_end(number, "prod") == "succeeded", stage.log(number, "prod")


def _wait_at(demo: Running, number: int, gate: str, environment: str) -> None:
    step = (gate, False, "waiting")
    wait_until(lambda: step in demo.stage.steps(number, environment), seconds=60, what=f"{gate} of #{number}")


def waits(page: Page, heading: str) -> None:
    """The deployment page says by itself at which gate it waits."""
    expect(page.get_by_role("heading", name=heading)).to_be_visible(timeout=LONG)


def open_approval(page: Page, demo: Running, number: int, environment: str = "prod") -> None:
    """The approver's page, once they were asked and its comparison is there."""
    _wait_at(demo, number, "approval", environment)
    page.goto(f"{demo.here}/{environment}/{number}/approval/")
    expect(page.get_by_text("Being compared")).to_have_count(0, timeout=LONG)


def approve(page: Page, demo: Running, number: int, environment: str = "prod") -> None:
    """Look, and press Approve."""
    open_approval(page, demo, number, environment)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("You approved it.")).to_be_visible()


def deploy(page: Page, environment: str = "prod") -> None:
    """The final button, on the page of the deployment."""
    waits(page, "Waiting for Deploy")
    page.get_by_role("button", name=f"Deploy to {environment}").click()


def served(demo: Running, site: str = "prod") -> str:
    """The version that visitors of a site are served."""
    answer = httpx2.get(demo.sites[site], timeout=10)
    found = re.search(r'data-version="([^"]+)"|[Vv]ersion ([0-9a-z.-]+)', answer.text)
    return (found[1] or found[2]) if found and answer.status_code == 200 else str(answer.status_code)


def abort(page: Page) -> None:
    """Abort Pipeline, and say yes to what it would do."""
    page.get_by_role("button", name="Abort Pipeline").click()
    expect(page.get_by_role("heading", name=re.compile("^Abort"))).to_be_visible()
    page.get_by_role("button", name="Abort Pipeline").click()


def hears(demo: Running, number: int, *expected: tuple[str, str, str], environment: str = "prod") -> None:
    """Each of them is sent that about the deployment, by that channel."""
    found = set(expected)
    wait_until(lambda: found <= _told(demo, number, environment), seconds=30, what=f"{expected} are sent")


def _told(demo: Running, number: int, environment: str) -> set[tuple[str, str, str]]:
    sql = (
        f"SELECT u.email, m.event, m.channel FROM {RECORD} JOIN notify_message m ON m.run_id=d.run_id"
        " JOIN accounts_user u ON u.id=m.user_id WHERE e.name=? AND d.number=? AND m.status='sent'"
    )
    rows = demo.stage.ask(sql, environment, number)
    return {(email.partition("@")[0], event, channel) for email, event, channel in rows}


def add_production(demo: Running, name: str, times: dict[str, str]) -> None:
    """Another production environment on this machine, with other times."""
    stage, base, port = demo.stage, demo.stage.demo.base(name), free_port()
    url = f"http://127.0.0.1:{port}"
    base.mkdir(parents=True)
    demo.sites[name] = url
    stage.clerk("add_environment", name=name, like="prod", who="Ada", url=f"{url}/", pipeline=pipeline_of(url, times))
    stage.clerk("add_target", environment=name, who="Ada", reach="local", base=str(base), db=True, page=url)
    stage.spawn(name, "demo/server.py", "--base", str(base), "--port", str(port))
    ready = "SELECT count(*) FROM instances_target WHERE base=? AND set_up_at IS NOT NULL"
    wait_until(lambda: stage.ask(ready, str(base))[0][0], seconds=40, what=f"{name} is set up")


def change_pipeline(demo: Running, name: str, times: dict[str, str]) -> None:
    """Other times; nothing has been released there, so one person may change it."""
    text = pipeline_of(demo.sites[name], times)
    demo.stage.clerk("change_environment", environment=name, who="Ada", pipeline=text)


def pipeline_of(url: str, times: dict[str, str]) -> str:
    text = PRODUCTION.format(words="Production with times of its own.", url=url)
    for usual, other in times.items():
        assert usual in text
        text = text.replace(usual, other)
    return text


def withdraw(page: Page, demo: Running, number: int, reason: str) -> None:
    """On the page of a UAT deployment: out of promotion."""
    page.goto(f"{demo.here}/uat/{number}/withdraw/")
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("is withdrawn")).to_be_visible()


def let_in_again(page: Page, demo: Running, name: str) -> None:
    """What was rolled back on production may be released there again; nothing to do where it was not."""
    short = demo.stage.commit(name)[:7]
    page.goto(f"{demo.here}/prod/release/")
    refused = page.locator(".refused li").filter(has_text=short)
    if not refused.count():
        return
    page.get_by_text("Refused here after a rollback").click()
    refused.get_by_role("link", name="Let it in again").click()
    page.get_by_label("Reason").fill("It was not the release that was wrong.")
    page.get_by_role("button", name="Let it in again").click()
    expect(page.get_by_text("may be released to")).to_be_visible()


def confirm_proposal(page: Page, demo: Running) -> None:
    """What waits for this person on the front page is a proposal: read it, confirm it."""
    page.goto(demo.address)
    page.get_by_role("link", name=re.compile("^Open ?: Confirm a proposal")).first.click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("Confirmed").first).to_be_visible()


def move_branch(demo: Running, name: str, to: str) -> None:
    """Somebody pushes another commit to the branch, with force."""
    words = ["git", "--git-dir", str(demo.stage.demo.repository), "update-ref", f"refs/heads/{name}", to]
    subprocess.run(words, check=True)


def fetch(page: Page, demo: Running) -> None:
    """Fetch latest changes, to the end."""
    page.goto(f"{demo.here}/")
    page.get_by_role("button", name="Fetch latest changes").click()


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Somebody else holds the site's database: a dump waits for it."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def lost_once_live(current: Path, release: Path, name: str = "app.py") -> Iterator[None]:
    """A file of a release goes in the moment that `current` leads to it: before, the way back would put it there."""

    def lose() -> None:
        wait_until(lambda: current.resolve() == release, seconds=60, what=f"{current} leads to {release}")
        (release / name).unlink()

    thread = threading.Thread(target=lose)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def live(demo: Running, site: str = "prod") -> tuple[Path, str]:
    """The release that `current` leads to, and its commit."""
    release = (demo.stage.demo.base(site) / "current").resolve()
    return release, (release / ".deploynaut-release").read_text().split()[1]
