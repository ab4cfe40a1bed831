"""Whole releases over real sshd on two hosts: good ones, bad ones, aborted ones, and hosts that change or die."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploynaut.engine.connections.host_keys import fingerprint
from deploynaut.engine.pipeline import Mark
from tests.real.conftest import SshdHosts
from tests.real.fleet import NAME, Fleet, small_disk
from tests.stage import staged, wait_until
from tests.witnesses import processes_about, secrets_below

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def whole_fleet(tmp_path_factory: pytest.TempPathFactory, sshd_hosts: SshdHosts) -> Iterator[Fleet]:
    """Release 1.1 is live on both hosts. A host has 8 s to answer, and the way back 8 s of patience."""
    data = tmp_path_factory.mktemp("fleet") / "data"
    first, second = sshd_hosts(2)
    shared = first.base / "shared"
    shared.mkdir()
    if os.getuid() == 0:
        shutil.chown(shared, first.user)
    with (
        small_disk(second.base, second.user),
        staged(data, "worker", DEPLOYNAUT_PATIENCE="8", DEPLOYNAUT_ANSWER_WITHIN="8") as stage,
    ):
        (second.base / "shared").symlink_to(shared)
        fleet = Fleet(stage, [first, second])
        fleet.set_up()
        number, status = fleet.release("1.1")
        assert status == "succeeded", fleet.log(number)
        yield fleet


@pytest.fixture
def fleet(whole_fleet: Fleet) -> Iterator[Fleet]:
    """Both hosts answer, the worker works, both show the same release, and no screen is up."""
    yield whole_fleet
    for host in whole_fleet.hosts:
        if host.process is None:
            host.start()
    if whole_fleet.stage.processes["worker"].poll() is not None:
        whole_fleet.stage.start("worker")


def test_the_targets_were_confirmed_by_a_person_before_anything_was_sent(fleet: Fleet) -> None:
    pinned = [key for (key,) in fleet.stage.ask("SELECT host_key FROM instances_target WHERE reach='ssh' ORDER BY id")]
    assert pinned == [host.host_key for host in fleet.hosts]
    sql = "SELECT count(*) FROM accounts_auditentry WHERE action='host key confirmed'"
    assert fleet.stage.ask(sql)[0][0] == 2


def test_a_good_release_goes_to_both_hosts_together(fleet: Fleet) -> None:
    before, name = fleet.live[0], fleet.other
    with fleet.watched() as visitors:
        number, status = fleet.release(name)
    assert status == "succeeded", fleet.log(number)
    assert [Path(base / "current").readlink().name for base in fleet.bases] == [str(number)] * 2
    assert fleet.live[0] == fleet.live[1] != before
    for visitor in visitors:
        assert visitor.strange(before, fleet.live[0]) == []
        assert visitor.screened > 0
    fleet.check_clean(fleet.log(number))
    # Lockstep: whoever is switched is behind the screen, so no visitor saw one host new while the other was old.
    new = min(seen.at for seen in visitors[0].seen if seen.version == fleet.live[0])
    old = max(seen.at for seen in visitors[1].seen if seen.version == before)
    assert new > old - 0.3


@pytest.mark.parametrize("name", ["broken/search-500", "broken/migration"])
def test_a_bad_release_is_undone_on_both_hosts(fleet: Fleet, name: str) -> None:
    before, data = fleet.live, fleet.data
    with fleet.watched() as visitors:
        number, status = fleet.release(name)
    assert status == "rolled back", fleet.log(number)
    assert (fleet.live, fleet.data) == (before, data)
    for visitor in visitors:
        assert visitor.strange(before[0], "1.3.0") == []
    fleet.check_clean(fleet.log(number))


def test_abort_in_a_migration_ends_it_on_the_host_and_puts_everything_back(fleet: Fleet) -> None:
    before, data = fleet.live, fleet.data
    with fleet.watched() as visitors:
        number = fleet.begin("slow/migration")
        wait_until(lambda: "counting words: 2" in fleet.log(number), seconds=40, what="the migration runs")
        assert _migrations(fleet) != []
        fleet.stage.clerk("abort", environment=NAME, number=number, who="Rob")
        wait_until(lambda: not _migrations(fleet), seconds=30, what="the migration's process group is gone")
        assert fleet.end(number) == "rolled back", fleet.log(number)
    assert "aborted by Rob" in fleet.outcome(number)
    assert (fleet.live, fleet.data) == (before, data)
    assert all(visitor.strange(before[0]) == [] for visitor in visitors)
    fleet.check_clean(fleet.log(number))


def _migrations(fleet: Fleet) -> list[str]:
    return [words for words in processes_about(fleet.bases[0]).values() if "migrate.py" in words]


def test_a_host_with_another_key_is_refused_before_the_log_in(fleet: Fleet) -> None:
    before, host = fleet.live, fleet.hosts[1]
    key = host.directory / "host_key"
    kept = key.read_bytes(), key.with_suffix(".pub").read_bytes()
    host.stop()
    key.unlink()
    key.with_suffix(".pub").unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    log = host.directory / "sshd.log"
    log.write_text("")
    host.start(LogLevel="VERBOSE")
    try:
        with fleet.watched() as visitors:
            number, status = fleet.release(fleet.other)
        assert status == "failed", fleet.log(number)
        assert f"host key of 127.0.0.1:{host.port} has changed" in fleet.outcome(number)
        shown = fingerprint(key.with_suffix(".pub").read_text())
        assert shown in fleet.outcome(number) and fingerprint(host.host_key) in fleet.outcome(number)
        assert "Accepted" not in log.read_text() and "publickey" not in log.read_text()
        assert all(visitor.strange(before[0]) == [] and not visitor.screened for visitor in visitors)
        assert fleet.live == before
    finally:
        host.stop()
        key.write_bytes(kept[0])
        key.with_suffix(".pub").write_bytes(kept[1])
        host.start()
    number, status = fleet.release(fleet.other)
    assert status == "succeeded", fleet.log(number)


def test_a_host_that_cannot_be_reached_at_the_start_stops_the_release_and_nothing_changes(fleet: Fleet) -> None:
    before = fleet.live
    fleet.hosts[1].stop()
    with fleet.watched() as visitors:
        number, status = fleet.release(fleet.other)
    assert status == "failed", fleet.log(number)
    assert f"127.0.0.1:{fleet.hosts[1].port} cannot be reached" in fleet.outcome(number)
    assert fleet.live == before
    assert all(visitor.strange(before[0]) == [] and not visitor.screened for visitor in visitors)
    fleet.hosts[1].start()
    number, status = fleet.release(fleet.other)
    assert status == "succeeded", fleet.log(number)
    fleet.check_clean(fleet.log(number))


def test_a_full_disk_on_one_of_two_hosts_stops_the_release_on_both(fleet: Fleet) -> None:
    before, ballast = fleet.live, fleet.bases[1] / "ballast"
    free = os.statvfs(fleet.bases[1])
    ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 4096))
    try:
        with fleet.watched() as visitors:
            number, status = fleet.release(fleet.other)
        assert status == "failed", fleet.log(number)
        told = fleet.outcome(number)
        assert f"127.0.0.1:{fleet.hosts[1].port}" in told
        assert "free for releases" in told or "disk is full" in told or "No space left" in told
        assert fleet.live == before
        assert all(visitor.strange(before[0]) == [] and not visitor.screened for visitor in visitors)
    finally:
        ballast.unlink()
    number, status = fleet.release(fleet.other)
    assert status == "succeeded", fleet.log(number)
    fleet.check_clean(fleet.log(number))


def test_a_host_that_dies_after_the_switch_leaves_the_screen_on_the_other(fleet: Fleet) -> None:
    before, data = fleet.live, fleet.data
    fleet.change(reload=["sleep", "2"])
    with fleet.watched() as visitors:
        number = fleet.begin(fleet.other)
        wait_until(lambda: fleet.live[1] != before[1], seconds=40, what="the second host is switched")
        fleet.hosts[1].stop()
        status = fleet.end(number, seconds=120)
    assert status == "rollback failed", fleet.log(number)
    assert (fleet.bases[0] / "maintenance.html").exists()
    assert f"127.0.0.1:{fleet.hosts[1].port}" in fleet.log(number)
    told = fleet.stage.ask("SELECT u.name FROM notify_message m JOIN accounts_user u ON u.id=m.user_id"
                           " WHERE m.event='rollback failed'")  # fmt: skip
    assert {name for (name,) in told} >= {"Olga", "Rob"}
    assert all(visitor.seen[-1].screen for visitor in visitors), "both still show the screen"
    assert all(visitor.strange(before[0]) == [] for visitor in visitors)
    fleet.hosts[1].start()
    fleet.change()
    number, status = fleet.release("1.2")
    assert status == "succeeded", fleet.log(number)
    assert fleet.data == data
    assert fleet.live == ["1.2.0", "1.2.0"]
    fleet.check_clean(fleet.log(number))


def test_a_host_that_comes_back_in_time_ends_like_the_other(fleet: Fleet) -> None:
    before = fleet.live
    fleet.change(reload=["sleep", "2"])
    with fleet.watched() as visitors:
        number = fleet.begin(fleet.other)
        wait_until(lambda: fleet.live[1] != before[1], seconds=40, what="the second host is switched")
        fleet.hosts[1].stop()
        wait_until(lambda: "cannot be reached, trying again" in fleet.log(number), seconds=40, what="it is tried again")
        fleet.hosts[1].start()
        status = fleet.end(number, seconds=120)
    assert status in ("succeeded", "rolled back"), fleet.log(number)
    assert fleet.live[0] == fleet.live[1]
    assert all(visitor.strange(before[0], fleet.live[0]) == [] for visitor in visitors)
    fleet.check_clean(fleet.log(number))
    fleet.change()


def test_a_worker_killed_in_the_upload_leaves_no_ssh_no_key_and_no_work_behind(fleet: Fleet) -> None:
    before, stage = fleet.live, fleet.stage
    worker = stage.processes["worker"].pid
    with fleet.watched() as visitors:
        number = fleet.begin(fleet.other)
        wait_until(lambda: Mark.LAID_OUT in stage.marks(number, NAME), seconds=40, what="the upload begins")
        assert _ssh_of(worker) != {}
        stage.kill("worker")
        wait_until(lambda: not _ssh_of(worker), seconds=20, what="every ssh of the killed worker ends")
        stage.start("worker")
        status = fleet.end(number)
    assert status == "succeeded", fleet.log(number)
    assert fleet.live[0] == fleet.live[1] != before[0]
    assert all(visitor.strange(before[0], fleet.live[0]) == [] for visitor in visitors)
    wait_until(lambda: not _rooms(worker), seconds=10, what="its control sockets are gone")
    keys = secrets_below(stage.data, *fleet.bases, *Path("/dev/shm").glob("dn-*"), *Path("/tmp").glob("dn-*-*-*"))
    assert [path for path in keys if path.parent != stage.data / "keys"] == []
    fleet.check_clean(fleet.log(number))


def _rooms(worker: int) -> list[Path]:
    return [room for place in ("/dev/shm", "/tmp") for room in Path(place).glob(f"dn-{worker}-*")]


def _ssh_of(worker: int) -> dict[int, str]:
    return processes_about(*(Path(place) / f"dn-{worker}-" for place in ("/dev/shm", "/tmp")))
