"""Production over real sshd on two hosts: what passed UAT is released, and Rollback in the window takes it all back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploynaut.engine.packages.survey import _NOTE
from tests.real.conftest import SshdHosts
from tests.real.fleet import NAME, Fleet
from tests.stage import staged, wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def whole_fleet(tmp_path_factory: pytest.TempPathFactory, sshd_hosts: SshdHosts) -> Iterator[Fleet]:
    """Production on two hosts with 1.1 live; 1.1 and 1.2 passed UAT, which is on this machine."""
    data = tmp_path_factory.mktemp("production") / "data"
    first, second = sshd_hosts(2)
    shared = first.base / "shared"
    shared.mkdir()
    if os.getuid() == 0:
        shutil.chown(shared, first.user)
    (second.base / "shared").symlink_to(shared)
    patience = {"DEPLOYNAUT_PATIENCE": "8", "DEPLOYNAUT_ANSWER_WITHIN": "8"}
    with staged(data, "worker", "uat", **patience) as stage:
        fleet = Fleet(stage, [first, second])
        fleet.set_up(kind="production")
        for tag in ("1.2", "1.1"):
            assert stage.release("tag", tag) == "succeeded", stage.log(stage.newest())
        number = fleet.to_production("tag", "1.1")
        stage.clerk("dismiss", environment=NAME, number=number, who="Rob")
        assert fleet.end(number) == "succeeded", fleet.log(number)
        yield fleet


@pytest.fixture
def fleet(whole_fleet: Fleet) -> Iterator[Fleet]:
    """Both hosts answer, the worker works and nothing is open, whatever a test did."""
    yield whole_fleet
    for host in whole_fleet.hosts:
        if host.process is None:
            host.start()
    if whole_fleet.stage.processes["worker"].poll() is not None:
        whole_fleet.stage.start("worker")
    number = whole_fleet.stage.newest(NAME)
    if whole_fleet.stage.status(number, NAME) in ("queued", "running", "waiting", "rolling back"):
        whole_fleet.stage.clerk("abort", environment=NAME, number=number, who="Mia")
        whole_fleet.end(number)


def test_a_dry_run_changes_nothing_on_any_host(fleet: Fleet) -> None:
    before = [picture(base) for base in fleet.bases]
    with fleet.watched() as visitors:
        run = fleet.stage.clerk("dry_run", environment=NAME, by="tag", value="1.2", who="Rob")
        status, log = _ended(fleet, run)
    assert status == "succeeded", log
    assert [picture(base) for base in fleet.bases] == before
    assert all(visitor.strange("1.1.0") == [] and visitor.screened == 0 for visitor in visitors)
    skipped = [line.split("skipped: ", 1)[1] for line in log.splitlines() if "skipped: " in line]
    first, second = (f"127.0.0.1:{host.port}" for host in fleet.hosts)
    assert skipped[:2] == ["wait at approval", "wait at confirm"] and skipped[-1] == "wait at rollback window"
    assert [line for line in skipped if "put up the maintenance screen" in line] == [
        f"{name}: put up the maintenance screen (maintenance.html) and ask for it" for name in (first, second)
    ]
    assert f"{first}: save the database shared/content.sqlite3 and read it back" in skipped
    assert f"{second}: make current lead to release 2 (now: 1)" in skipped
    assert "the way back, is whole" in log and "home (" in log


def test_a_dry_run_says_what_would_stand_in_the_way(fleet: Fleet) -> None:
    fleet.hosts[1].stop()
    run = fleet.stage.clerk("dry_run", environment=NAME, by="tag", value="1.2", who="Rob")
    status, log = _ended(fleet, run)
    assert status == "failed"
    assert f"127.0.0.1:{fleet.hosts[1].port} cannot be reached" in log


def test_the_package_that_passed_uat_is_the_one_released_and_rollback_takes_everything_back(fleet: Fleet) -> None:
    before, data = fleet.live, fleet.data
    with fleet.watched() as visitors:
        number = fleet.to_production("tag", "1.2")
        assert fleet.live == ["1.2.0", "1.2.0"]
        assert "is in the store, as it was tested; nothing is built" in fleet.log(number)
        assert len({*_digests(fleet, number), _digest_of_uat(fleet, "1.2")}) == 1
        # Hours pass: somebody writes to the site, and the worker is another one when Rollback is pressed.
        _visitor_writes(fleet)
        assert _rows(fleet, number)["news"] == [len(data[0]), len(data[0]) + 1]
        fleet.stage.kill("worker")
        fleet.stage.start("worker")
        fleet.stage.clerk("roll_back", environment=NAME, number=number, who="Rob")
        assert fleet.end(number) == "rolled back", fleet.log(number)
    assert (fleet.live, fleet.data) == (before, data)
    for visitor in visitors:
        assert visitor.strange("1.1.0", "1.2.0") == []
        assert visitor.versions[0] == visitor.versions[-1] == "1.1.0"
    sql = "SELECT count(*) FROM snapshots_snapshot WHERE name LIKE '%before-going-back' AND source='safety'"
    assert fleet.stage.ask(sql)[0][0] >= 1
    fleet.check_clean(fleet.log(number))


def test_counting_rows_neither_takes_the_hold_nor_changes_anything(fleet: Fleet) -> None:
    number = fleet.to_production("tag", "1.2")
    token, before = fleet.stage.token(NAME), [picture(base) for base in fleet.bases]
    assert _rows(fleet, number)["news"][0] == _rows(fleet, number)["news"][1]
    assert fleet.stage.token(NAME) == token
    assert [picture(base) for base in fleet.bases] == before
    fleet.stage.clerk("roll_back", environment=NAME, number=number, who="Rob")
    assert fleet.end(number) == "rolled back", fleet.log(number)
    with pytest.raises(Exception, match="not in it"):
        fleet.stage.clerk("count_rows", environment=NAME, number=number, who="Rob")


def test_abort_in_the_window_is_rollback_and_at_a_gate_before_it_touches_nothing(fleet: Fleet) -> None:
    before, data = fleet.live, fleet.data
    number = fleet.to_production("tag", "1.2")
    fleet.stage.clerk("abort", environment=NAME, number=number, who="Rob")
    assert fleet.end(number) == "rolled back", fleet.log(number)
    assert "aborted by Rob" in fleet.outcome(number)
    assert (fleet.live, fleet.data) == (before, data)
    with fleet.watched() as visitors:
        for gate in ("approval", "confirm"):
            number = fleet.stage.begin("tag", "1.2", environment=NAME)
            fleet.at_gate(number, "approval")
            if gate == "confirm":
                fleet.stage.clerk("approve", environment=NAME, number=number, who="Mia")
                fleet.at_gate(number, "confirm")
            fleet.stage.clerk("abort", environment=NAME, number=number, who="Rob")
            assert fleet.end(number, seconds=10) == "aborted", fleet.log(number)
    assert all(visitor.strange("1.1.0") == [] and visitor.screened == 0 for visitor in visitors)
    fleet.check_clean(fleet.log(number))


def test_a_rollback_that_fails_leaves_the_screen_up_everywhere_until_a_release_succeeds(fleet: Fleet) -> None:
    number = fleet.to_production("tag", "1.2")
    _snapshot(fleet, number).write_bytes(b"not what was stored")
    with fleet.watched() as visitors:
        fleet.stage.clerk("roll_back", environment=NAME, number=number, who="Rob")
        assert fleet.end(number) == "rollback failed", fleet.log(number)
    assert "checksum" in fleet.outcome(number)
    assert all((base / "maintenance.html").exists() for base in fleet.bases)
    assert all(visitor.seen[-1].screen for visitor in visitors)
    told = fleet.stage.ask("SELECT DISTINCT u.name FROM notify_message m JOIN accounts_user u ON u.id=m.user_id"
                           " WHERE m.event='rollback failed'")  # fmt: skip
    assert {name for (name,) in told} >= {"Olga", "Rob"}
    with fleet.watched() as visitors:
        number = fleet.to_production("tag", "1.2")
    assert visitors[0].seen[0].screen and visitors[0].versions == ["1.2.0"]
    fleet.stage.clerk("dismiss", environment=NAME, number=number, who="Rob")
    assert fleet.end(number) == "succeeded", fleet.log(number)
    fleet.check_clean(fleet.log(number))


def test_the_approved_commit_is_deployed_whatever_becomes_of_its_branch(fleet: Fleet) -> None:
    """RA06: the branch is forced elsewhere, its tag is deleted, everything unreachable is pruned."""
    repository, stage = fleet.stage.demo.repository, fleet.stage
    chosen = _commit(repository, on="1.2", files={"VERSION": "1.2.7\n"})
    _git(repository, "branch", "moving", chosen)
    _git(repository, "tag", "moving-tag", chosen)
    _fetched(fleet)
    assert stage.release("branch", "moving") == "succeeded"
    number = stage.begin("branch", "moving", environment=NAME)
    fleet.at_gate(number, "approval")
    stage.clerk("approve", environment=NAME, number=number, who="Mia")
    kept = "SELECT count(*) FROM runs_run WHERE kind='keep_commit' AND status='succeeded'"
    wait_until(lambda: stage.ask(kept)[0][0], seconds=20, what="the commit is held on to")
    _git(repository, "branch", "--force", "moving", _commit(repository, on="1.1", files={"VERSION": "6.6.6\n"}))
    _git(repository, "tag", "--delete", "moving-tag")
    _fetched(fleet)
    (mirror,) = (path for path in (stage.data / "mirrors").iterdir() if path.name.isdigit())
    _git(mirror, "reflog", "expire", "--expire=now", "--all")
    _git(mirror, "gc", "--quiet", "--prune=now")
    shutil.rmtree(stage.data / "packages")  # nor is it the store that saves it
    stage.clerk("start", environment=NAME, number=number, who="Rob")
    fleet.at_gate(number, "rollback_window")
    assert fleet.live == ["1.2.7", "1.2.7"]
    assert len({*_digests(fleet, number), _digest_of_uat(fleet, "moving")}) == 1
    stage.clerk("dismiss", environment=NAME, number=number, who="Rob")
    assert fleet.end(number) == "succeeded", fleet.log(number)


# --- the parts -------------------------------------------------------------------------------------------------------


def picture(base: Path) -> dict[str, tuple[Any, ...]]:
    """Every path with kind, mode, owner, size, time and target. Not the fence's own notes, which tell each command."""
    found = {}
    for path in [base, *base.rglob("*")]:
        name = str(path.relative_to(base))
        if not name.startswith(".deploynaut"):
            seen = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            target = os.readlink(path) if path.is_symlink() else ""
            found[name] = (seen.st_mode, seen.st_uid, seen.st_size, seen.st_mtime_ns, target, content)
    return found


def _ended(fleet: Fleet, run: int) -> tuple[str, str]:
    """How a run beside the deployments ended, and its log."""
    sql = "SELECT status FROM runs_run WHERE id=? AND ended_at IS NOT NULL"
    wait_until(lambda: fleet.stage.ask(sql, run), seconds=60, what="the run ends")
    lines = fleet.stage.ask("SELECT text FROM runs_logchunk WHERE run_id=? ORDER BY id", run)
    return str(fleet.stage.ask(sql, run)[0][0]), "".join(text for (text,) in lines)


def _rows(fleet: Fleet, number: int) -> dict[str, list[int]]:
    status, log = _ended(fleet, fleet.stage.clerk("count_rows", environment=NAME, number=number, who="Rob"))
    assert status == "succeeded", log
    found: dict[str, list[int]] = fleet.stage.clerk("compared_rows", environment=NAME, number=number)
    return found


def _visitor_writes(fleet: Fleet) -> None:
    with closing(sqlite3.connect(fleet.bases[0] / "shared/content.sqlite3", timeout=10)) as content:
        names = [row[1] for row in content.execute("PRAGMA table_info(news)")]
        columns = ", ".join(names[1:])
        content.execute(f"INSERT INTO news ({columns}) SELECT {columns} FROM news LIMIT 1")
        content.commit()


def _digests(fleet: Fleet, number: int) -> list[str]:
    """What the release's own note says on each host; its files were verified against it when it was laid out."""
    notes = [(base / f"releases/{number}/.deploynaut-release").read_text() for base in fleet.bases]
    return [found["digest"] for note in notes if (found := _NOTE.fullmatch(note))]


def _digest_of_uat(fleet: Fleet, name: str) -> str:
    sql = (
        "SELECT d.digest FROM deployments_deployment d JOIN instances_environment e ON e.id=d.environment_id"
        " WHERE e.name='uat' AND d.chosen_name=? ORDER BY d.number DESC"
    )
    return str(fleet.stage.ask(sql, name)[0][0])


def _snapshot(fleet: Fleet, number: int) -> Path:
    sql = (
        "SELECT s.name FROM snapshots_snapshot s JOIN deployments_deployment d ON d.run_id=s.run_id"
        " JOIN instances_environment e ON e.id=d.environment_id WHERE e.name=? AND d.number=? AND s.source='backup'"
    )
    return fleet.stage.data / "snapshots" / f"{fleet.stage.ask(sql, NAME, number)[0][0]}.zst.age"


def _fetched(fleet: Fleet) -> None:
    status, log = _ended(fleet, fleet.stage.clerk("fetch", instance="council", who="Rob"))
    assert status == "succeeded", log


def _commit(repository: Path, *, on: str, files: dict[str, str]) -> str:
    """A commit on top of a tag with some files changed; no branch leads to it yet."""
    tree = _git(repository, "ls-tree", f"{on}^{{tree}}").splitlines()
    for name, text in files.items():
        blob = _git(repository, "hash-object", "-w", "--stdin", stdin=text)
        tree = [line for line in tree if not line.endswith(f"\t{name}")] + [f"100644 blob {blob}\t{name}"]
    made = _git(repository, "mktree", stdin="\n".join(tree) + "\n")
    return _git(repository, "commit-tree", made, "-p", f"{on}^{{commit}}", "-m", f"Changes {', '.join(files)}")


def _git(directory: Path, *words: str, stdin: str = "") -> str:
    who = {"GIT_AUTHOR_NAME": "Ana", "GIT_AUTHOR_EMAIL": "a@acme.example", "GIT_COMMITTER_NAME": "Ana",
           "GIT_COMMITTER_EMAIL": "a@acme.example"}  # fmt: skip
    done = subprocess.run(
        ["git", "-C", str(directory), *words], input=stdin, capture_output=True, text=True, env={**os.environ, **who}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
