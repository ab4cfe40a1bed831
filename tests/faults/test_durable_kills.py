"""Worker processes on real DBOS and SQLite: killed, frozen, stopped, started twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from deploynaut.durable.port import WakeState, utc_now
from tests.faults.durable_home import Home, a_home, a_template, environment, migrated  # noqa: F401 (fixtures)

pytestmark = pytest.mark.faults

# The wall clock of a busy machine: what takes 8 s at most is given this much more.
GRACE = 2.0


def test_wakes_of_one_key_run_one_after_the_other_and_a_delayed_one_at_its_time(
    home: Home,
) -> None:
    home.start()
    home.hold(1)
    home.wake(1, "environment:1")
    home.wait(lambda: home.events("begin", 1))
    home.wake(1, "environment:1")  # a spurious one: it comes when the first has ended, and finds nothing to do
    home.wake(2, "environment:1")
    home.wake(3, "environment:2")
    due = utc_now() + timedelta(seconds=1.5)
    home.wake(4, "environment:3", at=due)
    home.wait(lambda: home.events("end", 3))
    assert [one.wake.id for one in home.queue.live(WakeState.DELAYED)] == [4]
    assert not home.events("begin", 2)
    home.let_go(1)
    home.wait(lambda: home.events("end", 2))
    home.wait(lambda: home.events("end", 4))
    assert utc_now() >= due
    assert Counter(event.id for event in home.events("end")) == {1: 2, 2: 1, 3: 1, 4: 1}


def test_a_killed_worker_goes_on_with_its_wakes_when_it_is_back(home: Home) -> None:
    worker = home.start()
    home.hold(1)
    home.wake(1)
    home.wake(2)
    home.wait(lambda: home.events("begin", 1))
    worker.kill()
    worker.wait()
    home.start()
    home.wait(lambda: len(home.events("begin", 1)) == 2, seconds=10)
    assert not home.events("begin", 2), "the second wake of the environment overtook the interrupted one"
    home.let_go(1)
    home.wait(lambda: home.events("end", 2))


def test_nothing_is_lost_and_nothing_overtakes_when_workers_are_killed_at_random(
    home: Home,
) -> None:
    chance = random.Random(7)
    keys = {id: f"environment:{id % 3}" for id in range(1, 25)}
    for id, key in keys.items():
        home.hold(id)
        home.wake(id, key)
    for _ in range(4):
        worker = home.start()
        home.wait(partial(_has_begun_more, home, len(home.events("begin"))))
        for id in sorted(keys)[: chance.randrange(3, 9)]:
            (home.data / f"hold-{id}").unlink(missing_ok=True)
        time.sleep(chance.uniform(0.0, 0.6))
        worker.kill()
        worker.wait()
    for id in keys:
        (home.data / f"hold-{id}").unlink(missing_ok=True)
    home.start()
    home.wait(lambda: {event.id for event in home.events("end")} == set(keys), seconds=40)
    _assert_in_order(home, keys)


def _has_begun_more(home: Home, begun: int) -> bool:
    return len(home.events("begin")) > begun


def _assert_in_order(home: Home, keys: dict[int, str]) -> None:
    for key in set(keys.values()):
        first = [event.id for event in home.events("begin") if keys[event.id] == key]
        assert list(dict.fromkeys(first)) == sorted(id for id in keys if keys[id] == key)


def test_another_worker_takes_over_from_a_killed_one_within_twenty_seconds(
    home: Home,
) -> None:
    home.start("w1")
    home.hold(1)
    home.wake(1)
    home.wait(lambda: home.events("begin", 1))
    home.start("w2")
    home.wait(lambda: "w2" in home.rows())
    home.workers[0].kill()
    took = home.wait(lambda: len(home.events("begin", 1)) == 2, seconds=25)
    print(f"taken over after {took:.1f} s")
    assert took <= 20
    assert {event.pid for event in home.events("begin", 1)} == {worker.pid for worker in home.workers}
    home.let_go(1)
    home.wait(lambda: home.events("end", 1))
    home.wait(lambda: set(home.rows()) == {"w2"})


def test_a_frozen_worker_is_taken_over_once_and_takes_part_again_when_it_thaws(
    home: Home,
) -> None:
    frozen = home.start("w1", silence=2)
    home.hold(1)
    home.wake(1)
    home.wait(lambda: home.events("begin", 1))
    home.start("w2", silence=2)
    home.start("w3", silence=2)
    home.wait(lambda: set(home.rows()) == {"w1", "w2", "w3"})
    frozen.send_signal(signal.SIGSTOP)
    home.wait(lambda: len(home.events("begin", 1)) == 2)
    frozen.send_signal(signal.SIGCONT)
    home.wait(lambda: home.rows().get("w1") == "")
    home.let_go(1)
    # Both runners end; the rows' fence token tells them apart, not the queue.
    home.wait(lambda: len(home.events("end", 1)) == 2)
    home.wait(lambda: not home.queue.live())
    home.wake(2)
    home.wait(lambda: home.events("end", 2))
    assert len(home.events("begin", 1)) == 2


def test_a_row_whose_wake_was_lost_is_woken_by_the_reconciler(home: Home) -> None:
    (home.data / "pending").write_text("7 environment:1\n")
    home.hold(7)
    home.start()
    home.wait(lambda: home.events("begin", 7))
    (home.data / "pending").unlink()
    home.let_go(7)
    home.wait(lambda: home.events("end", 7))


def test_a_lost_queue_file_costs_one_round_of_the_reconciler(home: Home) -> None:
    home.wake(8, at=utc_now() + timedelta(days=7))
    home.queue.close()
    for file in home.data.glob("queue.sqlite3*"):
        file.unlink()
    migrated(home.data)
    (home.data / "pending").write_text("8 environment:1\n")
    home.start()
    home.wait(lambda: home.events("end", 8))


def test_a_worker_asked_to_stop_lets_obedient_work_reach_its_safe_point(
    home: Home,
) -> None:
    (home.data / "obedient").touch()
    worker = home.start()
    home.hold(1)
    home.wake(1)
    home.wait(lambda: home.events("begin", 1))
    worker.terminate()
    assert worker.wait(timeout=8 + GRACE) == 0
    assert home.events("stopped", 1)
    assert home.rows() == {}
    assert not home.queue.live()


def test_a_worker_asked_to_stop_leaves_within_eight_seconds_and_its_work_goes_on_elsewhere(
    home: Home,
) -> None:
    leaving = home.start("w1")
    home.hold(1)
    home.wake(1)
    home.wait(lambda: home.events("begin", 1))
    staying = home.start("w2")
    home.wait(lambda: "w2" in home.rows())
    leaving.terminate()
    assert leaving.wait(timeout=8 + GRACE) == 0
    home.wait(lambda: len(home.events("begin", 1)) == 2, seconds=12)
    assert home.events("begin", 1)[-1].pid == staying.pid
    assert set(home.rows()) == {"w2"}


def test_a_second_worker_of_the_same_name_refuses_to_start(home: Home) -> None:
    first = home.manage("worker", "--name", "w1")
    home.wait(lambda: "w1" in home.rows())
    second = home.manage("worker", "--name", "w1")
    assert second.wait(timeout=20) != 0
    assert f"A worker named w1 runs already (process {first.pid})" in home.log()
    assert first.poll() is None


def test_a_worker_without_a_migrated_queue_says_what_to_do(home: Home) -> None:
    home.queue.close()
    (home.data / "queue.sqlite3").unlink()
    assert home.manage("worker").wait(timeout=20) != 0
    assert "Run `manage.py migrate` first" in home.log()
    assert home.rows() == {}
    assert not (home.data / "queue.sqlite3").exists()


def test_a_worker_ends_with_the_process_that_started_it(home: Home) -> None:
    starter = "import subprocess, sys; subprocess.run([sys.executable, 'manage.py', *sys.argv[1:]])"
    words = [
        sys.executable,
        "-c",
        starter,
        "worker",
        "--name",
        "w1",
        "--die-with-parent",
    ]
    parent = subprocess.Popen(words, env=environment(home.data), stderr=subprocess.DEVNULL)
    home.workers.append(parent)
    home.wait(lambda: "w1" in home.rows())
    worker = int((home.data / "worker-w1.lock").read_text())
    assert worker != parent.pid
    parent.kill()
    home.wait(lambda: not _alive(worker), seconds=8 + GRACE)
    assert home.rows() == {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
