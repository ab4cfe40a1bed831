"""From nothing to a release in a real browser: an instance with git over ssh, an environment with two SSH targets."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from deploynaut.cli.demo import RECIPE
from deploynaut.engine.connections.host_keys import fingerprint
from tests.real.browser.playing import LONG, Cast, Running, ends_as
from tests.real.browser.producing import approve, begin_on, deploy, hears, let_in_again, lost_once_live, waits
from tests.real.conftest import SshdHost, SshdHosts
from tests.stage import PEOPLE, Stage, free_port, staged, wait_until
from tests.witnesses import Prober, journal, leftovers, overlaps, processes_about, titles

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PIPELINE = """\
description: Two hosts, over SSH.
steps:
  - backup
  - release
  - smoke_tests: {{attempts: 1}}
smoke_tests:
  home: {{url: "{0}/", contains: "Kererū Valley Council", within: 5s}}
  search: {{url: "{0}/search?q=trees", contains: "Winter planting", within: 5s}}
  second: {{url: "{1}/", contains: "Kererū Valley Council", within: 5s}}
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Web and worker."""
    with staged(tmp_path_factory.mktemp("browser") / "data", "web", "worker") as stage:
        yield stage


@pytest.fixture(scope="module")
def hosts(sshd_hosts: SshdHosts) -> list[SshdHost]:
    """A git server, and two hosts that accept no key of ours yet."""
    found = sshd_hosts(3)
    for host in found:
        (host.directory / "authorized_keys").write_text("")
    for environment in ("uat", "prod"):
        first, second = (Valley.base(environment, host) for host in found[1:])
        for made in (first, second, first / "shared"):
            made.mkdir(exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(made, found[1].user)
        (second / "shared").symlink_to(first / "shared")
    return found


@pytest.fixture(scope="module")
def valley(stage: Stage, hosts: list[SshdHost], browser: Browser) -> Iterator[Valley]:
    """An instance with uat and prod, each on both hosts, made by Ada in the forms."""
    git, *targets = hosts
    play = Cast(browser, Running(stage.demo.url("web"), stage.demo.password, PEOPLE, {}, "", stage, "valley"))
    found = Valley(play, targets)
    _create_instance(play.ada, stage, git)
    for name in ("uat", "prod"):
        found.urls[name] = [_served(stage, name, number, found.base(name, host)) for number, host in enumerate(targets)]
        _create_environment(play.ada, name, found.urls[name])
        for number, host in enumerate(targets):
            _add_target(play.ada, host, found.base(name, host), page_of=found.urls[name][number], first=number == 0)
    for person, role in (("Rob", "technical-staff"), ("Mia", "deployment-manager"), ("Olga", "ops")):
        stage.clerk("grant", to=person, role=role, instance="valley", who="Ada")
    play.rob.goto(f"{play.demo.here}/")
    play.rob.get_by_role("button", name="Fetch latest changes").click()
    expect(play.rob.get_by_text("Deploy a tagged release").first).to_be_visible(timeout=LONG)
    yield found
    play.close()


@dataclass
class Valley:
    """The instance, its people in their browsers, its hosts."""

    play: Cast
    targets: list[SshdHost]
    urls: dict[str, list[str]] = field(default_factory=dict)

    @staticmethod
    def base(environment: str, host: SshdHost) -> Path:
        """Where an environment lies on a host."""
        return host.base if environment == "uat" else host.directory / "prod"

    def bases(self, environment: str) -> list[Path]:
        """The same on every host."""
        return [self.base(environment, host) for host in self.targets]

    def live(self, environment: str) -> list[str]:
        """The version to which `current` leads, on every host."""
        return [(base / "current" / "VERSION").read_text().strip() for base in self.bases(environment)]

    def ours(self, environment: str) -> dict[int, str]:
        """What runs on the hosts for this environment beside the web servers."""
        served = {process.pid for process in self.play.demo.stage.processes.values()}
        found = processes_about(*self.bases(environment))
        return {pid: words for pid, words in found.items() if pid not in served}

    def migrates(self, environment: str) -> bool:
        """Whether the site's own migration runs on a host."""
        return any("migrate.py" in words for words in self.ours(environment).values())

    def release(self, way: str, field: str, name: str, *, ends: str) -> None:
        """To uat, to its end."""
        _release(self.play.rob, self.play.demo.stage, way, field, name, ends=ends)

    def to_production(self, name: str) -> int:
        """Begun, approved, deployed, by the pages; its window is open."""
        rob, mia, demo = self.play.rob, self.play.mia, self.play.demo
        number = begin_on(rob, demo, name)
        approve(mia, demo, number)
        deploy(rob)
        waits(rob, "Rollback window")
        return number


def test_an_instance_made_by_hand_is_released_to_two_hosts_and_a_bad_release_is_undone(valley: Valley) -> None:
    valley.release("Deploy a tagged release", "Tag", "1.1", ends="Succeeded")
    bases, urls = valley.bases("uat"), valley.urls["uat"]
    assert valley.live("uat") == ["1.1.0", "1.1.0"]

    before = titles(bases[0])
    with Prober(f"{urls[0]}/") as first, Prober(f"{urls[1]}/") as second:
        valley.release("Deploy the latest version of a branch", "Branch", "broken/search-500", ends="Rolled back")
    assert valley.live("uat") == ["1.1.0", "1.1.0"]
    assert titles(bases[0]) == before
    for visitor in (first, second):
        assert visitor.strange("1.1.0", "1.3.0") == []
    for base in bases:
        assert leftovers(base) == []
        assert {entry.run for entry in journal(base)} >= {"valley/uat_#1", "valley/uat_#2"}


def test_an_abort_pressed_twice_at_once_in_two_browsers_is_one_and_leaves_nothing_on_the_hosts(valley: Valley) -> None:
    rob, mia = valley.play.rob, valley.play.mia
    before = titles(valley.bases("uat")[0])
    _begin(rob, valley.play.demo.stage, "Deploy the latest version of a branch", "Branch", "slow/migration")
    expect(rob.locator('[data-label="Release"]').first).to_contain_text("Running", timeout=LONG)
    wait_until(
        lambda: any("migrate.py" in words for words in valley.ours("uat").values()), seconds=30, what="it migrates"
    )
    address = f"{rob.url.rstrip('/')}/abort/"
    for page in (rob, mia):
        page.goto(address)
    pressed = time.monotonic()
    for page in (rob, mia):
        # Both are under way before either is answered.
        page.evaluate("setTimeout(() => document.querySelector('main form').requestSubmit(), 0)")
    wait_until(lambda: not valley.migrates("uat"), seconds=30, what="the migration is gone")
    assert time.monotonic() - pressed < 30
    rob.goto(address.removesuffix("abort/"))
    ends_as(rob, "aborted by (Rob|Mia)")
    assert valley.ours("uat") == {}
    assert valley.live("uat") == ["1.1.0", "1.1.0"]
    assert titles(valley.bases("uat")[0]) == before
    number = valley.play.demo.stage.newest("uat")
    assert valley.play.demo.stage.log(number, "uat").count("going back: aborted by") == 1


def test_production_on_two_hosts_is_released_and_rolled_back_in_its_window(valley: Valley) -> None:
    rob, bases, urls = valley.play.rob, valley.bases("prod"), valley.urls["prod"]
    valley.to_production("1.1")
    rob.get_by_role("button", name="Dismiss").click()
    ends_as(rob, "Succeeded")
    assert valley.live("prod") == ["1.1.0", "1.1.0"]

    valley.release("Deploy a tagged release", "Tag", "1.2", ends="Succeeded")
    before = titles(bases[0])
    with Prober(f"{urls[0]}/") as first, Prober(f"{urls[1]}/") as second:
        valley.to_production("1.2")
        assert valley.live("prod") == ["1.2.0", "1.2.0"]
        httpx2.post(f"{urls[1]}/edit", data={"title": "Entered in the window", "body": "Text."}, timeout=10)
        rob.get_by_role("button", name="Rollback").click()
        rob.get_by_role("button", name=re.compile("^Rollback")).click()
        ends_as(rob, "Rolled back")
    assert valley.live("prod") == ["1.1.0", "1.1.0"]
    assert titles(bases[0]) == before
    for visitor in (first, second):
        assert visitor.strange("1.1.0", "1.2.0") == []
    for base in bases:
        assert leftovers(base) == []
        assert overlaps(base) == []
    assert valley.ours("prod") == {}


def test_a_rollback_that_fails_on_one_host_leaves_the_screen_up_on_both(valley: Valley) -> None:
    rob, mia, demo = valley.play.rob, valley.play.mia, valley.play.demo
    let_in_again(mia, demo, "1.2")
    old = (valley.bases("prod")[1] / "current").resolve()
    number = valley.to_production("1.2")
    # Somebody tidies up by hand on the second host in the very moment.
    with lost_once_live(old.parents[1] / "current", old):
        rob.get_by_role("button", name="Rollback").click()
        rob.get_by_role("button", name=re.compile("^Rollback")).click()
        ends_as(rob, "Rollback failed")
    assert [httpx2.get(url, timeout=10).status_code for url in valley.urls["prod"]] == [503, 503]
    hears(demo, number, ("olga", "rollback failed", "email"), ("olga", "rollback failed", "text"))
    assert valley.ours("prod") == {}


# --- what people do --------------------------------------------------------------------------------------------------


def _create_instance(page: Page, stage: Stage, git: SshdHost) -> None:
    """The form, the deploy key enabled on the git server, the server's host key compared and confirmed."""
    page.goto(f"{stage.demo.url('web')}/instances/new/")
    page.get_by_label("Name", exact=True).fill("valley")
    page.get_by_label("Title").fill("Valley")
    page.get_by_label("Repository").fill(f"ssh://{git.user}@127.0.0.1:{git.port}/site.git")
    page.get_by_role("button", name="Create instance").click()
    key = page.locator("#key-text")
    expect(key).to_be_visible(timeout=LONG)
    _enable_deploy_key(stage, git, key.inner_text())
    _confirm(page, git)
    expect(page.get_by_text("The host key is confirmed")).to_be_visible()


def _enable_deploy_key(stage: Stage, git: SshdHost, key: str) -> None:
    """As a forge does it: this key may fetch this repository, and nothing else."""
    repository = git.directory / "site.git"
    shutil.copytree(stage.demo.repository, repository)
    subprocess.run(["chown", "-R", git.user, str(repository)], check=True)
    forced = f'command="git-upload-pack {shlex.quote(str(repository))}",restrict'
    (git.directory / "authorized_keys").write_text(f"{forced} {key}\n")


def _create_environment(page: Page, name: str, urls: list[str]) -> None:
    page.goto(page.url.partition("/valley/")[0] + "/valley/")
    page.get_by_role("link", name=re.compile("Add environment|Add the first one")).first.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Kind").select_option("uat" if name == "uat" else "production")
    page.get_by_label("Address of the site").fill(f"{urls[0]}/")
    page.get_by_label("Recipe options").fill(json.dumps(RECIPE))
    page.get_by_label("Pipeline").fill(PIPELINE.format(*urls))
    page.get_by_role("button", name="Add environment").click()
    expect(page.get_by_role("heading", name="Targets")).to_be_visible()


def _add_target(page: Page, host: SshdHost, base: Path, *, page_of: str, first: bool) -> None:
    """The form, the environment's key on the host, its fingerprint compared, "Check connection" all good."""
    form = page.locator("form", has=page.get_by_role("button", name="Add target"))
    if not form.is_visible():
        page.get_by_text("Add a target", exact=True).click()
    key = form.locator("code.key")

    def shown() -> bool:
        if key.count():
            return True
        page.reload()
        return False

    wait_until(shown, seconds=40, what="the environment's key is shown")
    if not form.is_visible():
        page.get_by_text("Add a target", exact=True).click()
    with (host.directory / "authorized_keys").open("a") as file:
        file.write(key.inner_text() + "\n")
    form.get_by_label("Host", exact=True).fill(host.address)
    form.get_by_label("Port").fill(str(host.port))
    form.get_by_label("User").fill(host.user)
    form.get_by_label("Base path").fill(str(base))
    form.get_by_label("Where this very host answers").fill(page_of)
    form.get_by_label("web: serves pages").check()
    form.get_by_label("db: does what is done once").set_checked(first)
    form.get_by_role("button", name="Add target").click()
    _confirm(page, host)
    row = page.locator("tr", has_text=f"{host.address}:{host.port}")
    expect(row).to_contain_text("Set up", timeout=LONG)
    row.get_by_role("button", name="Check connection").click()
    row = page.locator("tr", has_text=f"{host.address}:{host.port}")
    expect(row).to_contain_text("Connection checked", timeout=LONG)
    assert "NOT OK" not in row.inner_text()


def _confirm(page: Page, host: SshdHost) -> None:
    """The page shows the fingerprint that the host's own key file has; then it is confirmed."""
    real = fingerprint((host.directory / "host_key.pub").read_text())
    form = page.locator("form", has_text=real)
    expect(form).to_be_visible(timeout=LONG)
    form.get_by_role("button", name=re.compile("Confirm the")).click()


def _release(page: Page, stage: Stage, way: str, field: str, name: str, *, ends: str) -> None:
    _begin(page, stage, way, field, name)
    expect(page.locator(".outcome")).to_contain_text("Took", timeout=LONG)
    expect(page.locator(".outcome")).to_contain_text(ends)


def _begin(page: Page, stage: Stage, way: str, field: str, name: str) -> None:
    page.goto(f"{stage.demo.url('web')}/instances/valley/uat/")
    page.get_by_role("button", name="Deploy a new release").click()
    page.get_by_role("radio", name=way).check()
    page.get_by_label(field, exact=True).select_option(name)
    page.get_by_role("button", name="Begin the release process on uat").click()
    expect(page.get_by_role("button", name="Abort Pipeline")).to_be_visible()


def _served(stage: Stage, name: str, number: int, base: Path) -> str:
    port = free_port()
    stage.spawn(f"{name}{number}", "demo/server.py", "--base", str(base), "--port", str(port))
    return f"http://127.0.0.1:{port}"
