"""The parts of the steps alone: when data go back, clean-up, set-up, the check of a connection, several hosts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from deploynaut.engine.connections.base import CommandFailed, Fenced, HostUnreachable
from deploynaut.engine.connections.local import Local
from deploynaut.engine.databases.files import SnapshotFiles
from deploynaut.engine.pipeline import Mark, Status
from deploynaut.engine.steps import STEPS
from deploynaut.engine.steps.base import Aborted, StepContext, StepFailed, StepTimedOut, StepType, TargetHost
from deploynaut.engine.steps.check import Line, check_connection
from deploynaut.engine.steps.hosts import on_all
from deploynaut.engine.steps.saving import name_for
from deploynaut.engine.steps.set_up import set_up_target
from deploynaut.engine.steps.site_work import Lines
from deploynaut.engine.steps.way_back import database_goes_back
from tests.engine.steps.lab import Deployment, Environment, with_options

# --- when data go back -----------------------------------------------------------------------------------------------

PREPARED = frozenset({Mark.LAID_OUT})
SAVED = PREPARED | {Mark.SCREEN, Mark.SAVED}
MIGRATED = SAVED | {Mark.MIGRATING}
SWITCHED = SAVED | {Mark.SWITCHING}
OPEN = MIGRATED | {Mark.SWITCHING, Mark.VERIFYING, Mark.OPEN}


@pytest.mark.parametrize(
    ("marks", "production", "code_only", "keep", "goes_back"),
    [
        (frozenset(), False, False, False, False),
        (PREPARED, True, False, False, False),
        (SAVED, False, False, False, False),
        (SAVED, True, False, False, False),
        (MIGRATED, False, False, False, True),
        (MIGRATED, True, False, False, True),
        (SWITCHED, False, False, False, False),
        (SWITCHED, True, False, False, True),
        (OPEN, False, False, False, True),
        (OPEN, True, False, False, True),
        (OPEN, True, True, False, False),
        (SWITCHED, True, True, False, False),
        (OPEN, False, False, True, False),
        (OPEN, True, False, True, True),
    ],
)
def test_when_the_database_goes_back(
    marks: frozenset[Mark], production: bool, code_only: bool, keep: bool, goes_back: bool
) -> None:
    assert database_goes_back(marks=marks, production=production, code_only=code_only, keep=keep) is goes_back


# --- the registry ----------------------------------------------------------------------------------------------------


def test_every_task_of_a_pipeline_has_its_step() -> None:
    assert set(STEPS) >= {"prepare", "backup", "release", "smoke_tests", "roll_back"}
    for kind, step in STEPS.items():
        checked: StepType = step
        assert (checked.kind, bool(checked.label)) == (kind, True)


# --- names -----------------------------------------------------------------------------------------------------------


def test_no_two_runs_share_the_name_of_a_snapshot() -> None:
    """A name of somebody else's would replace a backup that is still needed."""
    long = f"{'a' * 63}/{'b' * 63}"
    runs = ["acme/uat-1 #1", "acme-uat/1 #1", f"{long} #1", f"{long} #2", f"{long} #12345"]
    names = {name_for(cast(StepContext, Named(run)), "before-going-back") for run in runs}
    assert len(names) == len(runs)
    assert all(SnapshotFiles(Path("/snapshots"), "", None).path(name) for name in names)


@dataclass
class Named:
    """As much of a context as a name needs."""

    run: str
    label = StepContext.label


# --- clean-up --------------------------------------------------------------------------------------------------------


def test_after_a_success_the_newest_releases_are_kept(live: Environment) -> None:
    live.more = "keep_releases: 2"
    for ref in ("1.1", "1.2", "main"):
        live.release(ref)
    assert live.host.releases() == {"0", "3", "4"}


def test_pinned_and_foreign_releases_are_never_removed(live: Environment) -> None:
    live.more = "keep_releases: 2"
    live.kept = frozenset({1})
    (live.host.base / "releases/by-hand").mkdir()
    for ref in ("1.1", "1.2", "main"):
        live.release(ref)
    assert live.host.releases() == {"0", "1", "3", "4", "by-hand"}


@pytest.mark.parametrize(
    "error", [CommandFailed("owned by www-data", host="web1"), HostUnreachable("gone"), ZeroDivisionError("ours")]
)
def test_a_clean_up_that_fails_changes_nothing(live: Environment, error: Exception) -> None:
    def broken(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.current and deployment.state.current.kind == "smoke_tests":
            raise error

    deployment = live.deployment("1.1", before=broken)
    assert deployment.go() is Status.SUCCEEDED, deployment.text
    assert "none the worse" in deployment.text


def test_a_clean_up_that_takes_too_long_changes_nothing(live: Environment) -> None:
    def slow(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.current and deployment.state.current.kind == "smoke_tests":
            raise StepTimedOut("This step took longer than 30 minutes and was ended.")

    assert live.deployment("1.1", before=slow).go() is Status.SUCCEEDED


# --- set-up ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def target(tmp_path: Path) -> TargetHost:
    base = tmp_path / "site"
    base.mkdir()
    return TargetHost("web1", frozenset({"web", "db"}), Local(base, 1, "set-up", lambda: None))


def set_up(target: TargetHost) -> dict[str, object]:
    return set_up_target(target, recipe=with_options(), log=lambda line: None)


def test_a_target_is_set_up_with_the_screen_alone(target: TargetHost) -> None:
    facts = set_up(target)
    base = Path(target.connection.base)
    assert facts["release"] == 0
    assert (base / "current").readlink() == Path("releases/0")
    assert {path.name for path in (base / "releases/0").iterdir()} == {"maintenance.html", ".deploynaut-release"}
    assert (base / "releases/0/.deploynaut-release").read_text() == "0\n"
    assert (base / "shared").is_dir()


def test_setting_up_again_changes_nothing(target: TargetHost) -> None:
    set_up(target)
    base = Path(target.connection.base)
    (base / "releases/7").mkdir()
    (base / "current").unlink()
    (base / "current").symlink_to("releases/7")
    inode = (base / "releases/0").stat().st_ino
    assert set_up(target)["release"] == 7
    assert (base / "releases/0").stat().st_ino == inode


def test_a_release_0_that_was_cut_off_is_made_whole(target: TargetHost) -> None:
    base = Path(target.connection.base)
    (base / "releases/0").mkdir(parents=True)
    (base / "releases/.0.part").mkdir()
    set_up(target)
    assert (base / "releases/0/maintenance.html").exists()
    assert not (base / "releases/.0.part").exists()


def test_a_real_site_is_not_adopted_silently(target: TargetHost) -> None:
    current = Path(target.connection.base) / "current"
    current.mkdir()
    (current / "index.php").write_text("the site")
    with pytest.raises(StepFailed, match="is a real directory or file"):
        set_up(target)
    assert (current / "index.php").read_text() == "the site"


def test_a_foreign_link_is_told(target: TargetHost) -> None:
    (Path(target.connection.base) / "current").symlink_to("/srv/elsewhere")
    with pytest.raises(StepFailed, match="leads to /srv/elsewhere, which is no release"):
        set_up(target)


# --- check connection ------------------------------------------------------------------------------------------------


def check(target: TargetHost) -> list[Line]:
    return check_connection(target, recipe=with_options(), log=lambda line: None)


def test_a_good_target_passes_every_line(target: TargetHost) -> None:
    set_up(target)
    lines = check(target)
    assert [line for line in lines if not line.ok] == []
    said = "\n".join(line.text for line in lines)
    for word in (
        "web1 answers; logged in as",
        "can be written to",
        "MB free",
        "SQLite",
        "current leads to releases/0",
        "UTC",
    ):
        assert word in said


def test_a_target_that_is_not_set_up_is_told_so(target: TargetHost) -> None:
    assert Line(True, "web1 is not set up yet: press Set up") in check(target)


def test_a_base_path_that_is_not_there_is_one_bad_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = TargetHost("web1", frozenset({"web"}), Local(tmp_path / "file" / "site", 1, "check", lambda: None))
    (line,) = check(target)
    assert not line.ok
    assert line.text.startswith("web1 cannot be used: ")


def test_a_current_that_is_no_link_is_a_bad_line(target: TargetHost) -> None:
    (Path(target.connection.base) / "current").mkdir()
    assert any(not line.ok and "not a link" in line.text for line in check(target))


# --- several hosts at once -------------------------------------------------------------------------------------------


def hosts(target: TargetHost) -> list[TargetHost]:
    return [TargetHost(name, frozenset({"web"}), target.connection) for name in ("web1", "web2", "web3")]


def test_each_host_that_failed_is_named_and_the_others_went_on(target: TargetHost) -> None:
    done: list[str] = []

    def act(host: TargetHost) -> None:
        if host.name != "web2":
            raise CommandFailed(f"no room on {host.name}")
        done.append(host.name)

    with pytest.raises(StepFailed, match=r"^It failed: web1: no room on web1 web3: no room on web3$"):
        on_all(hosts(target), act, what="It failed")
    assert done == ["web2"]


@pytest.mark.parametrize("stop", [Fenced("a later run"), Aborted("aborted by Rob"), ZeroDivisionError()])
def test_a_stop_or_a_fault_of_ours_is_not_hidden_among_failures(target: TargetHost, stop: Exception) -> None:
    def act(host: TargetHost) -> None:
        raise stop if host.name == "web3" else CommandFailed("no room")

    with pytest.raises(type(stop)):
        on_all(hosts(target), act, what="It failed")


def test_output_is_cut_into_lines_that_cannot_be_taken_for_ours() -> None:
    said: list[str] = []
    with Lines(said.append) as lines:
        for piece in (b"one\ntw", b"o\n", b"three"):
            lines.hear(piece)
    assert said == ["| one", "| two", "| three"]
