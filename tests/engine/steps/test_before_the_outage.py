"""What `prepare` looks at, proves and refuses, while the live site goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploynaut.engine.packages import PackageStore
from deploynaut.engine.pipeline import Status, parse
from deploynaut.engine.steps import STEPS
from deploynaut.engine.steps.base import KnownGood, StepFailed
from tests.engine.steps.conftest import MakeEnvironment
from tests.engine.steps.lab import Deployment, Environment, Host, served, with_options


def point_current(base: Path, to: str) -> None:
    (base / "current").unlink()
    (base / "current").symlink_to(to)


def test_a_current_link_moved_by_hand_is_told_and_nothing_is_done(live: Environment) -> None:
    live.release("1.1")
    point_current(live.host.base, "releases/1")
    deployment = live.deployment("1.2")
    assert deployment.go() is Status.FAILED, deployment.text
    assert "release 2 should be live. Somebody changed it by hand." in deployment.state.cause
    assert live.host.live == "1"
    assert live.host.releases() == {"0", "1", "2"}


def test_behind_the_screen_a_moved_link_is_a_warning(live: Environment) -> None:
    live.release("1.1")
    point_current(live.host.base, "releases/1")
    live.host.flag.write_text("put up by Olga")
    live.screen_was_up = True
    deployment = live.deployment("1.2")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert "Somebody changed it by hand" in deployment.text


def test_a_real_directory_named_current_is_never_replaced(live: Environment) -> None:
    current = live.host.base / "current"
    current.unlink()
    current.mkdir()
    (current / "precious").write_text("the old site")
    deployment = live.deployment("1.1")
    assert deployment.go() is Status.FAILED
    assert "not a link. It is never replaced" in deployment.state.cause
    assert (current / "precious").read_text() == "the old site"


def test_a_package_that_differs_from_the_tested_one_is_refused(live: Environment) -> None:
    deployment = live.deployment("1.1")
    deployment.wired = live.connections()
    context = replace(deployment.context(deployment.state.steps[0]), digest="0" * 64)
    with pytest.raises(StepFailed, match=r"came out different from the one that was tested.*Release it to UAT again"):
        STEPS["prepare"].run(context)
    assert live.host.releases() == {"0", "1"}


def test_assets_cannot_be_saved_yet_and_that_is_said_before_the_outage(live: Environment) -> None:
    deployment = live.deployment("1.1")
    deployment.wired = live.connections()
    spec = parse("steps:\n  - backup: {assets: true}\n", production=False)
    with pytest.raises(StepFailed, match="cannot save assets yet"):
        STEPS["prepare"].run(replace(deployment.context(deployment.state.steps[0]), spec=spec))


# --- the way back is proven first ------------------------------------------------------------------------------------


@pytest.fixture
def behind(live: Environment) -> Environment:
    """In maintenance after a failed way back: release 2 is live, release 1 is known good."""
    good = live.good
    live.release("1.1")
    live.good = good
    live.host.flag.write_text("put up by Olga")
    live.screen_was_up = True
    return live


def test_a_way_back_that_was_altered_is_laid_out_again(behind: Environment) -> None:
    altered = behind.host.base / "releases/1/templates/front.html"
    whole = altered.read_bytes()
    altered.write_text("defaced")
    deployment = behind.deployment("1.2")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert altered.read_bytes() == whole
    assert "differs from its package: templates/front.html" in deployment.text


def test_a_way_back_that_is_missing_is_laid_out_again(behind: Environment) -> None:
    (behind.host.base / "releases/1").rename(behind.directory / "taken away")
    deployment = behind.deployment("1.2")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert (behind.host.base / "releases/1/app.py").exists()


def test_a_way_back_whose_package_is_lost_is_built_again(behind: Environment) -> None:
    behind.source = replace(behind.source, packages=PackageStore(behind.directory / "empty store"))
    deployment = behind.deployment("1.2")
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert "it is built again" in deployment.text


def test_a_way_back_that_cannot_be_had_refuses_the_release(behind: Environment) -> None:
    behind.good = KnownGood(1, behind.source.commits["1.2"], "0" * 64)
    deployment = behind.deployment("1.2")
    deployment.go()
    assert "came out different, so it is no way back" in deployment.state.cause
    assert behind.host.live == "2"


def test_a_live_release_altered_by_hand_is_named_and_left_alone(live: Environment) -> None:
    altered = live.host.base / "releases/1/templates/front.html"
    altered.write_text("changed on the server")
    deployment = live.deployment("1.1")
    assert deployment.go() is Status.FAILED
    assert "templates/front.html" in deployment.state.cause
    assert "It is live, so it is not replaced" in deployment.state.cause
    assert altered.read_text() == "changed on the server"


def test_a_release_that_vanished_during_the_deployment_is_laid_out_again_on_the_way_back(live: Environment) -> None:
    def lose(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.status is Status.ROLLING_BACK and (live.host.base / "releases/1").exists() and not lost:
            (live.host.base / "releases/1").rename(live.directory / "taken away")
            lost.append(host)

    lost: list[str] = []
    deployment = live.deployment("broken/search-500", before=lose)
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert lost
    assert (live.host.live, live.host.get("/")) == ("1", 200)


# --- shared paths ----------------------------------------------------------------------------------------------------


def test_a_shared_path_is_seeded_once_then_the_link_wins(make_environment: MakeEnvironment) -> None:
    recipe = with_options(shared=["static/", "uploads/", ".env"])
    environment = make_environment(recipe=recipe)
    deployment = environment.release("1.0")
    base = environment.host.base
    assert "shared/static was empty and is filled from the package" in deployment.text
    assert (base / "releases/1/static").readlink() == Path("../../shared/static")
    assert (base / "shared/uploads").is_dir()
    assert (base / "shared/.env").read_text() == ""
    (base / "shared/static/site.css").write_text("edited on the site")
    deployment = environment.release("1.1")
    assert (base / "releases/2/static/site.css").read_text() == "edited on the site"
    assert "the package holds static too; shared/static wins" in deployment.text


def test_a_recipe_may_share_more_than_it_did_when_the_live_release_was_laid_out(live: Environment) -> None:
    live.recipe = with_options(shared=["uploads/"])
    assert live.deployment("1.1").go() is Status.SUCCEEDED


def test_a_new_host_gets_the_release_and_the_way_back_like_the_others(live: Environment) -> None:
    new = Host("web2", live.directory / "web2", roles=frozenset({"web"}))
    new.base.mkdir()
    with served(new):
        live.hosts.append(new)
        live.set_up()
        deployment = live.deployment("broken/search-500")
        assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert [host.live for host in live.hosts] == ["1", "1"]
