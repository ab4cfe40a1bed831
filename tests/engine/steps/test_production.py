"""What production asks of the steps: the package that passed UAT, the same on every host; dry runs; a proven end."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploynaut.engine.connections.base import StillRunning
from deploynaut.engine.packages import PackageStore
from deploynaut.engine.pipeline import Status
from deploynaut.engine.steps.base import StepFailed
from deploynaut.engine.steps.dry_run import dry_run
from tests.engine.steps.lab import Deployment, Environment, dumps, with_options

NOT_BUILT = with_options(build=[["false"]])


def passed_uat(environment: Environment, ref: str, packages: PackageStore) -> str:
    """The digest with which a revision passed UAT; its package is in the store."""
    commit = environment.source.commits[ref]
    made = packages.get(
        mirror=environment.source.mirror, commit=commit, build=None, log=lambda line: None, guard=lambda: None
    )
    return made.digest


@pytest.fixture
def packages(live: Environment, tmp_path: Path) -> PackageStore:
    """A store of this test alone, with what the live release came from."""
    store = PackageStore(tmp_path / "packages")
    live.source = replace(live.source, packages=store)
    passed_uat(live, "1.0", store)
    return store


# --- the package that passed UAT is the one released -----------------------------------------------------------------


def test_the_package_comes_from_the_store_and_nothing_is_built(live: Environment, packages: PackageStore) -> None:
    digest = passed_uat(live, "1.2", packages)
    live.recipe = NOT_BUILT
    deployment = live.deployment("1.2", digest=digest)
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert deployment.facts["prepare"]["digest"] == digest
    assert f"package {digest[:12]} is in the store, as it was tested; nothing is built" in deployment.text


def test_a_lost_package_is_made_again_and_must_be_the_same(live: Environment, packages: PackageStore) -> None:
    digest = passed_uat(live, "1.2", packages)
    shutil.rmtree(packages.directory)
    deployment = live.deployment("1.2", digest=digest)
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert deployment.facts["prepare"]["digest"] == digest


def test_a_package_that_comes_out_different_is_refused_before_anything_is_touched(
    live: Environment, packages: PackageStore
) -> None:
    there, before = live.host.releases(), live.host.content()
    deployment = live.deployment("1.2", digest="0" * 64)
    assert deployment.go() is Status.FAILED, deployment.text
    assert "Release it to UAT again" in deployment.state.cause
    assert (live.host.releases(), live.host.content(), live.host.get("/")) == (there, before, 200)


def test_a_damaged_package_in_the_store_is_not_the_one_that_was_tested(
    live: Environment, packages: PackageStore
) -> None:
    digest = passed_uat(live, "1.2", packages)
    for path in (packages.directory / "layers").glob("[!.]*"):
        if not path.name.endswith(".checked"):
            path.chmod(0o600)
            path.write_bytes(path.read_bytes().replace(b"html", b"htm1"))
    deployment = live.deployment("1.2", digest=digest)
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert "nothing is built" not in deployment.text, "it was made again, and came out the same"


def test_a_release_that_another_package_was_put_under_is_not_made_live(two: Environment) -> None:
    def exchange(deployment: Deployment, host: str, text: str) -> None:
        note = two.hosts[1].base / "releases/2/.deploynaut-release"
        if dumps(text):
            note.write_text(f"2 {'a' * 40} {'b' * 64}\n")

    deployment = two.deployment("1.1", before=exchange)
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert "web2: Release 2 is package bbbbbbbbbbbb there" in deployment.state.cause
    assert [host.live for host in two.hosts] == ["1", "1"]


# --- work that does not end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["a group that does not end", "a migration's process that does not end"])
def test_work_that_cannot_be_proven_gone_ends_with_the_screen_up_and_nothing_put_back(
    live: Environment, moment: str
) -> None:
    def stuck(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.status is not Status.ROLLING_BACK:
            return
        asked = text == "stop_work" if moment == "a group that does not end" else "/environ" in text
        if asked:
            raise StillRunning("Work on web1 did not end within 60 s (4711). End it by hand.", host=host)

    deployment = live.deployment("broken/migration", before=stuck)
    assert deployment.go() is Status.ROLLBACK_FAILED, deployment.text
    assert (live.host.get("/"), live.host.flag.exists()) == (503, True)
    assert "did not end within 60 s" in deployment.text
    assert "put back" not in deployment.text, "data that somebody may be writing are left alone"


# --- dry runs --------------------------------------------------------------------------------------------------------


def rehearsed(environment: Environment, ref: str) -> tuple[dict[str, Any], list[str]]:
    """The facts of a dry run and its log."""
    deployment = environment.deployment(ref)
    deployment.wired = environment.connections()
    facts = dict(dry_run(deployment.context(deployment.state.steps[0])).facts)
    assert not deployment.state.marks
    return facts, deployment.lines


def times(base: Path) -> dict[str, int]:
    """When each path was changed, but for the fence's own notes."""
    found = {str(path.relative_to(base)): path.lstat().st_mtime_ns for path in base.rglob("*")}
    return {name: at for name, at in found.items() if not name.startswith(".deploynaut")}


def refused(environment: Environment, ref: str) -> str:
    with pytest.raises(StepFailed) as caught:
        rehearsed(environment, ref)
    return str(caught.value)


def test_a_dry_run_names_every_act_in_its_order(live: Environment) -> None:
    live.recipe = with_options(
        shared=["uploads/"], pause=["sh", "pause"], resume=["sh", "resume"], reload=["sh", "reload"]
    )
    before = times(live.host.base)
    facts, lines = rehearsed(live, "1.1")
    assert [act.removeprefix("web1: ").split(" (")[0] for act in facts["skipped"]] == [
        "fill shared/uploads, where nothing is yet",
        "lay out release 2",
        "put up the maintenance screen",
        "pause background work: sh pause",
        "save the database shared/content.sqlite3 and read it back",
        "migrate, in release 2: python3 migrate.py",
        "make current lead to release 2",
        "reload: sh reload",
        "wait until it serves release 2",
        "take the maintenance screen down",
        "resume background work: sh resume",
        "test the new release: home, search",
    ]
    assert [line.removeprefix("skipped: ") for line in lines if line.startswith("skipped: ")] == facts["skipped"]
    assert facts["live"] == {"web1": 1} and [each["ok"] for each in facts["baseline"]] == [True, True]
    assert times(live.host.base) == before


def test_a_dry_run_builds_and_says_when_the_build_fails(live: Environment) -> None:
    live.recipe = NOT_BUILT
    assert "The build `false` ended with status 1" in refused(live, "1.1")


def test_a_dry_run_finds_a_live_release_that_was_edited_and_one_that_is_gone(live: Environment) -> None:
    live.release("1.1")
    (live.host.base / "releases/2/VERSION").write_text("edited by hand")
    said = refused(live, "1.2")
    assert "VERSION" in said and "It is live, so it would not be replaced" in said
    assert (live.host.base / "releases/2/VERSION").read_text() == "edited by hand"
    os.rename(live.host.base / "releases/2", live.directory / "taken-away")
    _, lines = rehearsed(live, "1.2")
    assert any(line.startswith("skipped: web1: lay out release 2 again, the way back") for line in lines)
    assert not (live.host.base / "releases/2").exists()


def test_one_objection_does_not_hide_the_next(live: Environment) -> None:
    live.recipe = NOT_BUILT
    (live.host.base / "current").unlink()
    (live.host.base / "current").mkdir()
    said = refused(live, "1.1")
    assert "not a link" in said and "The build `false`" in said


def test_a_dry_run_tells_of_a_screen_that_is_up(live: Environment) -> None:
    live.host.flag.write_text("put up by Olga")
    _, lines = rehearsed(live, "1.1")
    assert "the maintenance screen is up on web1; only a success takes it down" in lines
    assert live.host.flag.read_text() == "put up by Olga"
