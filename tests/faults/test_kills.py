"""The worker is killed, frozen or asked to stop at each stage of a release: one truthful end, site old or new."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import timedelta

import pytest

from deploynaut.engine.pipeline import Mark
from tests.faults.lab import Lab, Moment, Watched, check_clean
from tests.stage import wait_until
from tests.witnesses import overlaps, processes_about

pytestmark = pytest.mark.faults

BAD, SLOW = "broken/search-500", "slow/migration"


def _killed(lab: Lab, name: str, moment: Moment) -> tuple[Watched, str]:
    """A release whose worker is killed at the moment and started again: the deployment, and how it ended."""
    with lab.releasing(name) as release:
        release.until(moment)
        lab.kill()
        assert release.status in ("queued", "running", "rolling back"), "it had ended before the kill"
        began = time.monotonic()
        lab.start()
        status = release.end()
        print(f"marks {sorted(release.stage.marks(release.number))}, {status} {time.monotonic() - began:.1f} s later")
        release.check(status)
        assert lab.stage.token() >= release.token + 2, "the worker that took over had no newer token"
    return release, status


def test_a_kill_in_the_upload_is_gone_on_with(lab: Lab) -> None:
    release, status = _killed(lab, "", lambda release: release.reached(Mark.LAID_OUT))
    assert status == "succeeded"
    assert len(release.tokens()) == 2
    assert "taken over" in lab.stage.log(release.number)


def test_a_kill_in_the_backup_is_gone_on_with(lab: Lab) -> None:
    release, status = _killed(lab, "", lambda release: release.reached(Mark.SCREEN))
    assert status == "succeeded"
    assert release.prober.screened > 0


def test_a_kill_in_the_migration_puts_everything_back(lab: Lab) -> None:
    def counting(release: Watched) -> bool:
        return release.reached(Mark.MIGRATING) and "counting words" in lab.stage.log(release.number)

    release, status = _killed(lab, SLOW, counting)
    assert status == "rolled back"
    assert "words" not in release.data[1]


def test_nothing_of_a_migration_runs_on_when_its_worker_is_killed(lab: Lab) -> None:
    with lab.releasing(SLOW) as release:
        release.until(lambda release: "counting words: 1" in lab.stage.log(release.number))
        lab.kill()
        wait_until(lambda: not _migrations(lab), seconds=10, what="the migration ends with its worker")
        assert release.prober.seen[-1].screen, "the site opened though nobody has put the data back"
        lab.start()
        assert release.end() == "rolled back"
        release.check("rolled back")


def _migrations(lab: Lab) -> list[str]:
    return [words for words in processes_about(lab.base).values() if "migrate.py" in words]


@pytest.mark.parametrize("mark", [Mark.SWITCHING, Mark.VERIFYING, Mark.OPEN], ids=lambda mark: mark.word)
def test_a_kill_around_the_switch_is_gone_on_with(lab: Lab, mark: Mark) -> None:
    release, status = _killed(lab, "", lambda release: release.reached(mark))
    assert status == "succeeded"
    assert lab.stage.steps(release.number)[-1] == ("smoke_tests", False, "succeeded")


def test_a_kill_in_the_smoke_tests_has_them_run_again(lab: Lab) -> None:
    release, status = _killed(lab, BAD, lambda release: release.running("smoke_tests"))
    assert status == "rolled back"
    assert release.prober.versions[0] == release.before


def test_a_kill_in_the_way_back_is_gone_on_with(lab: Lab) -> None:
    _, status = _killed(lab, BAD, lambda release: release.running("roll_back", back=True))
    assert status == "rolled back"


def test_a_kill_in_the_tests_of_the_way_back_is_gone_on_with(lab: Lab) -> None:
    def last(release: Watched) -> bool:
        return ("roll_back", True, "succeeded") in release.stage.steps(release.number)

    _, status = _killed(lab, BAD, last)
    assert status == "rolled back"


def test_a_worker_killed_again_and_again_gets_there_in_the_end(lab: Lab) -> None:
    with lab.releasing(BAD) as release:
        for moment in (
            lambda release: release.reached(Mark.LAID_OUT),
            lambda release: release.reached(Mark.SCREEN),
            lambda release: release.running("smoke_tests"),
            lambda release: release.running("roll_back", back=True),
        ):
            release.until(moment)
            lab.kill()
            lab.start()
        status = release.end()
        release.check(status)
        assert status == "rolled back"
        assert lab.stage.token() >= release.token + 5


def test_a_worker_asked_to_stop_hands_over_and_the_next_one_finishes(lab: Lab) -> None:
    with lab.releasing(BAD) as release:
        release.until(lambda release: release.running("smoke_tests"))
        began = time.monotonic()
        lab.signal(signal.SIGTERM)
        assert lab.stage.processes["worker"].wait(10) == 0
        assert time.monotonic() - began < 10
        assert release.status in ("running", "rolling back")
        lab.start()
        release.check(release.end())


def test_a_worker_asked_to_stop_in_a_migration_ends_it_and_the_next_one_puts_everything_back(lab: Lab) -> None:
    with lab.releasing(SLOW) as release:
        release.until(lambda release: "counting words: 1" in lab.stage.log(release.number))
        lab.signal(signal.SIGTERM)
        assert lab.stage.processes["worker"].wait(10) == 0
        assert _migrations(lab) == []
        lab.start()
        assert release.end() == "rolled back"
        release.check("rolled back")


def test_killing_web_changes_nothing_in_a_release(lab: Lab) -> None:
    lab.stage.start("web")
    with lab.releasing() as release:
        release.until(lambda release: release.running("prepare"))
        lab.stage.kill("web")
        status = release.end()
        release.check(status)
        assert status == "succeeded"
        assert release.tokens() == [release.token + 1]
    del lab.stage.processes["web"]


def test_a_frozen_worker_is_taken_over_and_harmless_when_it_thaws(lab: Lab) -> None:
    lab.stage.spawn("second", "manage.py", "worker", "--name", "second")
    with lab.releasing(SLOW) as release:
        release.until(lambda release: "counting words: 1" in lab.stage.log(release.number))
        holder, other = _holder(lab)
        began = time.monotonic()
        lab.signal(signal.SIGSTOP, holder)
        try:
            wait_until(lambda: lab.stage.token() > release.token + 1, seconds=40, what="the other worker takes over")
            print(f"taken over after {time.monotonic() - began:.1f} s")
            assert release.end() == "rolled back"
            begun_then = release.tokens()
        finally:
            lab.signal(signal.SIGCONT, holder)
        row = "SELECT count(*) FROM durable_worker"
        wait_until(lambda: lab.stage.ask(row)[0][0] == 2, seconds=20, what="the thawed worker takes part again")
        assert release.tokens() == begun_then
        release.check(release.status)
    lab.signal(signal.SIGTERM, other)
    assert lab.stage.processes[other].wait(10) == 0
    assert lab.stage.release("tag", lab.other) == "succeeded"
    if other == "worker":
        lab.start()
    lab.signal(signal.SIGTERM, "second")
    lab.stage.processes.pop("second").wait(10)


def _holder(lab: Lab) -> tuple[str, str]:
    """Which of the two workers has the migration as its child, and which has not."""
    (migration,) = [pid for pid, words in processes_about(lab.base).items() if "python3 migrate.py" in words]
    with open(f"/proc/{migration}/stat") as stat:
        parent = int(stat.read().rpartition(") ")[2].split()[1])
    names = ["worker", "second"]
    holder = next((name for name in names if lab.stage.processes[name].pid == parent), "")
    if not holder:
        with open(f"/proc/{parent}/stat") as stat:
            above = int(stat.read().rpartition(") ")[2].split()[1])
        holder = next(name for name in names if lab.stage.processes[name].pid == above)
    names.remove(holder)
    return holder, names[0]


@pytest.mark.timeout(3600)
def test_kills_at_random_instants_end_in_one_truthful_state(lab: Lab, long: bool) -> None:
    """RF02. Three instants in the normal run, 200 with --all; DEPLOYNAUT_SEED repeats one."""
    seed = int(os.environ.get("DEPLOYNAUT_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"DEPLOYNAUT_SEED={seed}")
    chance = random.Random(seed)
    for number in range(200 if long else 3):
        name = chance.choice(["", BAD, "broken/migration"])
        instant = timedelta(milliseconds=chance.randrange(0, 4000 if name == BAD else 1500))
        with lab.releasing(name) as release:
            time.sleep(instant.total_seconds())
            lab.kill()
            lab.start()
            status = release.end()
            print(f"{number}: {name or 'good'} killed after {instant}: {status}")
            release.check(status)
            assert status == ("rolled back" if name else "succeeded")


def test_afterwards_the_journal_shows_one_writer_at_a_time_and_nothing_is_left(lab: Lab) -> None:
    assert overlaps(lab.base) == []
    check_clean(lab.stage, lab.base)
