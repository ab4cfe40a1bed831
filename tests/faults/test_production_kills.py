"""The worker is killed while gates end: between the end and its message, and anywhere else. Nothing is lost, nothing
is told twice; and a worker that was away across the end closes a window within a minute of its start."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sinks import MailSink, mail_sink
from tests.stage import PROJECT, wait_until

pytestmark = pytest.mark.faults
ENDS = {"expires": "expired", "escalates": "waiting", "unpressed": "expired", "closes": "succeeded"}
TOLD = {"expires": "expired", "escalates": "approval asked", "unpressed": "expired", "closes": "succeeded"}
RUNS = (
    "SELECT e.name, r.status, d.outcome, r.id FROM runs_run r JOIN deployments_deployment d ON d.run_id=r.id"
    " JOIN instances_environment e ON e.id=d.environment_id WHERE e.kind='production'"
)


@dataclass
class Gates:
    """An installation with deployments at their gates, its mail server, and one worker or none."""

    data: Path
    mail: MailSink
    number: int
    worker: subprocess.Popen[bytes] | None = None

    def fill(self, *, seconds: float) -> None:
        """Make it; the gates end within so many seconds from then on."""
        self._run("manage.py", "migrate", "--verbosity=0", settings="deploynaut.settings")
        self._run("-m", "tests.faults.gates_world", str(self.number), str(seconds), settings="deploynaut.settings_test")

    def start(self) -> None:
        """A worker."""
        with (self.data / "worker.log").open("ab") as log:
            words = [sys.executable, "manage.py", "worker"]
            self.worker = subprocess.Popen(words, cwd=PROJECT, env=self._environment(), stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9."""
        assert self.worker is not None
        self.worker.send_signal(signal.SIGKILL)
        self.worker.wait()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the record."""
        with closing(sqlite3.connect(f"file:{self.data / 'app.sqlite3'}?mode=ro", uri=True, timeout=20)) as database:
            return database.execute(sql).fetchall()

    def ended(self) -> int:
        """How many gates have ended, or asked their next group."""
        moved = len([run for _, status, _, run in self.ask(RUNS) if status != "waiting"])
        asked = self.ask("SELECT count(DISTINCT run_id) FROM notify_message WHERE event='approval asked'")
        return moved + int(asked[0][0])

    def unsent(self) -> int:
        """Messages that are written and not sent."""
        return int(self.ask("SELECT count(*) FROM notify_message WHERE status='waiting'")[0][0])

    def _run(self, *words: str, settings: str) -> None:
        environment = {
            **self._environment(),
            "DJANGO_SETTINGS_MODULE": settings,
            "DEPLOYNAUT_TEST_DATA": str(self.data),
        }
        subprocess.run([sys.executable, *words], cwd=PROJECT, env=environment, check=True, timeout=100)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEPLOYNAUT", "DJANGO"))}
        ours = {"DEPLOYNAUT_DATA": str(self.data), "DEPLOYNAUT_SMTP": f"smtp://127.0.0.1:{self.mail.port}"}
        return {**kept, "PYTHONPATH": str(PROJECT), "DJANGO_SETTINGS_MODULE": "deploynaut.settings", **ours}


@pytest.fixture
def gates(tmp_path: Path, long: bool) -> Iterator[Gates]:
    """Eight gates that end; many with the long battery."""
    with mail_sink() as mail:
        found = Gates(tmp_path / "data", mail, number=12 if long else 2)
        found.data.mkdir()
        try:
            yield found
        finally:
            if found.worker is not None and found.worker.poll() is None:
                found.kill()


def check(gates: Gates, *, doubled: int) -> None:
    """Each gate ended once, each person has one row of it, and a mail; `doubled`: mails that may have come twice."""
    rows = gates.ask("SELECT run_id, event, address, channel, status FROM notify_message")
    assert [key for key, count in Counter(row[:4] for row in rows).items() if count > 1] == []
    told: dict[int, set[str]] = {}
    for run, event, address, *_ in rows:
        told.setdefault(run, set()).add(event)
        assert address.endswith("@acme.example")
    for name, status, _, run in gates.ask(RUNS):
        moment = name.rstrip("0123456789")
        assert (status, told.get(run)) == (ENDS[moment], {TOLD[moment]}), name
    assert {status for *_, status in rows} == {"sent"}
    assert len(rows) <= len(gates.mail.mails) <= len(rows) + doubled


@pytest.mark.timeout(900)
def test_a_worker_killed_while_gates_end_loses_nothing_and_tells_nothing_twice(gates: Gates, long: bool) -> None:
    chance, kills = random.Random(3), 0
    gates.fill(seconds=40 if long else 8)
    gates.start()
    total = 4 * gates.number
    # In the moment between an end and its message: the row is written, nobody has sent it.
    wait_until(lambda: gates.ended() and gates.unsent(), seconds=60, what="a gate has ended")
    for _ in range(25 if long else 3):
        gates.kill()
        kills += 1
        gates.start()
        before = gates.ended()
        if before < total:
            wait_until(lambda before=before: gates.ended() > before, seconds=60, what="the next gate has ended")  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.4))
    wait_until(lambda: gates.ended() == total, seconds=90, what="every gate has ended")
    # A message that a killed worker had taken is tried again when its lease is over, after a minute.
    wait_until(lambda: gates.unsent() == 0, seconds=100, what="every message is sent")
    print(f"{kills} kills, {len(gates.mail.mails)} mails")
    check(gates, doubled=kills)


@pytest.mark.timeout(300)
def test_a_worker_that_was_away_across_the_ends_closes_all_within_a_minute_of_its_start(gates: Gates) -> None:
    gates.fill(seconds=1)
    until = time.time() + 6
    wait_until(lambda: time.time() > until, seconds=10, what="their time is over, and nobody is there")
    assert gates.ended() == 0
    began = time.monotonic()
    gates.start()
    wait_until(lambda: gates.ended() == 4 * gates.number, seconds=60, what="every gate has ended")
    print(f"{4 * gates.number} gates, {time.monotonic() - began:.1f} s after the start")
    wait_until(lambda: gates.unsent() == 0, seconds=60, what="every message is sent")
    check(gates, doubled=0)
