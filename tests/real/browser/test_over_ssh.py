"""From nothing to a release in a real browser: an instance with git over ssh, an environment with two SSH targets."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from deploynaut.cli.demo import RECIPE
from deploynaut.engine.connections.host_keys import fingerprint
from tests.real.conftest import SshdHost, SshdHosts
from tests.stage import PEOPLE, Stage, free_port, staged, wait_until
from tests.witnesses import Prober, journal, leftovers, titles

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

LONG = 45_000
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
    shared = found[1].base / "shared"
    shared.mkdir()
    (found[2].base / "shared").symlink_to(shared)
    if os.getuid() == 0:
        shutil.chown(shared, found[1].user)
    return found


def test_an_instance_made_by_hand_is_released_to_two_hosts_and_a_bad_release_is_undone(
    stage: Stage, hosts: list[SshdHost], context: BrowserContext
) -> None:
    git, *targets = hosts
    urls = [_served(stage, number, host) for number, host in enumerate(targets, start=1)]
    page = context.new_page()
    _log_in(page, stage, "ada")
    _create_instance(page, stage, git)
    _create_environment(page, urls)
    for number, host in enumerate(targets):
        _add_target(page, host, page_of=urls[number], first=number == 0)
    stage.clerk("grant", to="Rob", role="technical-staff", instance="valley", who="Ada")
    context.clear_cookies()
    _log_in(page, stage, "rob")

    page.goto(f"{stage.demo.url('web')}/instances/valley/")
    page.get_by_role("button", name="Fetch latest changes").click()
    expect(page.get_by_text("Deploy a tagged release").first).to_be_visible(timeout=LONG)
    _release(page, stage, "Deploy a tagged release", "Tag", "1.1", ends="Succeeded")
    bases = [host.base for host in targets]
    assert [(base / "current" / "VERSION").read_text().strip() for base in bases] == ["1.1.0", "1.1.0"]

    before = titles(bases[0])
    with Prober(f"{urls[0]}/") as first, Prober(f"{urls[1]}/") as second:
        _release(
            page, stage, "Deploy the latest version of a branch", "Branch", "broken/search-500", ends="Rolled back"
        )
    assert [(base / "current" / "VERSION").read_text().strip() for base in bases] == ["1.1.0", "1.1.0"]
    assert titles(bases[0]) == before
    for visitor in (first, second):
        assert visitor.strange("1.1.0", "1.3.0") == []
    for base in bases:
        assert leftovers(base) == []
        assert {entry.run for entry in journal(base)} >= {"valley/uat_#1", "valley/uat_#2"}


# --- what people do --------------------------------------------------------------------------------------------------


def _log_in(page: Page, stage: Stage, who: str) -> None:
    page.goto(f"{stage.demo.url('web')}/login/")
    page.get_by_label("E-mail").first.fill(PEOPLE[who])
    page.get_by_label("Password", exact=True).fill(stage.demo.password)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("link", name=re.compile("instances", re.IGNORECASE)).first).to_be_visible()


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


def _create_environment(page: Page, urls: list[str]) -> None:
    page.get_by_role("link", name=re.compile("Add environment|Add the first one")).first.click()
    page.get_by_label("Name", exact=True).fill("uat")
    page.get_by_label("Kind").select_option("uat")
    page.get_by_label("Address of the site").fill(f"{urls[0]}/")
    page.get_by_label("Recipe options").fill(json.dumps(RECIPE))
    page.get_by_label("Pipeline").fill(PIPELINE.format(*urls))
    page.get_by_role("button", name="Add environment").click()
    expect(page.get_by_role("heading", name="Targets")).to_be_visible()


def _add_target(page: Page, host: SshdHost, *, page_of: str, first: bool) -> None:
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
    (host.directory / "authorized_keys").write_text(key.inner_text() + "\n")
    form.get_by_label("Host", exact=True).fill(host.address)
    form.get_by_label("Port").fill(str(host.port))
    form.get_by_label("User").fill(host.user)
    form.get_by_label("Base path").fill(str(host.base))
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
    page.goto(f"{stage.demo.url('web')}/instances/valley/uat/")
    page.get_by_role("button", name="Deploy a new release").click()
    page.get_by_role("radio", name=way).check()
    page.get_by_label(field, exact=True).select_option(name)
    page.get_by_role("button", name="Begin the release process on uat").click()
    expect(page.locator(".outcome")).to_contain_text("Took", timeout=LONG)
    expect(page.locator(".outcome")).to_contain_text(ends)


def _served(stage: Stage, number: int, host: SshdHost) -> str:
    port = free_port()
    stage.spawn(f"web{number}", "demo/server.py", "--base", str(host.base), "--port", str(port))
    return f"http://127.0.0.1:{port}"
