"""A data directory with worker processes in it, for the tests of the durable room on real DBOS and SQLite."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from deploynaut.durable.dbos import DbosEngine
from deploynaut.durable.port import Wake

PROJECT = Path(__file__).resolve().parents[2]


class Never(AssertionError):
    """What the test waited for did not come."""


@dataclass(frozen=True)
class Event:
    """One line of the ledger."""

    pid: int
    what: str
    id: int


@dataclass
class Home:
    """The directory, the wakes put into it, and the workers that the test started."""

    data: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    queue: DbosEngine = field(init=False)

    def __post_init__(self) -> None:
        self.queue = DbosEngine(self.data / "queue.sqlite3")

    def start(self, name: str = "w1", *, silence: float | None = None) -> subprocess.Popen[bytes]:
        """Start a worker; `silence` shortens the seconds after which the others call a worker dead."""
        words = [
            sys.executable,
            "-m",
            "tests.faults.durable_worker",
            name,
            *([str(silence)] if silence else []),
        ]
        return self._spawn(words)

    def manage(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command of `manage.py`."""
        return self._spawn([sys.executable, str(PROJECT / "manage.py"), *words])

    def wake(self, id: int, key: str = "environment:1", *, at: datetime | None = None) -> None:
        """Put a wake into the queue, as a web process would."""
        self.queue.keep(Wake(kind="probe", id=id, key=key, at=at))

    def hold(self, id: int) -> None:
        """Keep the handler of the id from ending."""
        (self.data / f"hold-{id}").touch()

    def let_go(self, id: int) -> None:
        """Let the handler of the id end."""
        (self.data / f"hold-{id}").unlink()

    def events(self, what: str, id: int | None = None) -> list[Event]:
        """What the ledger says."""
        file = self.data / "ledger"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        found = [Event(int(pid), word, int(number)) for pid, word, number in lines]
        return [event for event in found if event.what == what and id in (None, event.id)]

    def wait(self, condition: Callable[[], object], *, seconds: float = 20) -> float:
        """Until the condition holds; how long that took. Raises Never."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise Never(f"Not within {seconds} s. The ledger: {self.data / 'ledger'}.\n{self.log()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def rows(self) -> dict[str, str]:
        """The workers that have a row, by name: who has claimed it, or nothing."""
        with closing(sqlite3.connect(self.data / "app.sqlite3", timeout=20)) as database:
            return dict(database.execute("SELECT name, taken_by FROM durable_worker").fetchall())

    def log(self) -> str:
        """What the workers wrote."""
        return "\n".join(file.read_text() for file in sorted(self.data.glob("*.log")))

    def close(self) -> None:
        """End whatever the test started."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGKILL)
            worker.wait()
        self.queue.close()

    def _spawn(self, words: list[str]) -> subprocess.Popen[bytes]:
        number = len(self.workers)
        with (self.data / f"{number}.log").open("wb") as log:
            worker = subprocess.Popen(words, cwd=PROJECT, env=environment(self.data), stdout=log, stderr=log)
        self.workers.append(worker)
        return worker


@pytest.fixture(scope="session", name="template")
def a_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated directory, made once."""
    return migrated(tmp_path_factory.mktemp("durable"))


@pytest.fixture(name="home")
def a_home(template: Path, tmp_path: Path) -> Iterator[Home]:
    """A data directory of the test's own; its workers are ended with the test."""
    home = copied(template, tmp_path / "data")
    yield home
    home.close()


def environment(data: Path) -> dict[str, str]:
    """What a process of the smallest project needs to know."""
    settings = {
        "DJANGO_SETTINGS_MODULE": "tests.apps.durable_settings",
        "DURABLE_TEST_DATA": str(data),
    }
    return {**os.environ, "PYTHONPATH": str(PROJECT), **settings}


def migrated(data: Path) -> Path:
    """The directory with both files made."""
    words = [sys.executable, str(PROJECT / "manage.py"), "migrate", "--verbosity=0"]
    subprocess.run(words, cwd=PROJECT, env=environment(data), check=True, timeout=60)
    return data


def copied(template: Path, data: Path) -> Home:
    """A home of its own, made from a migrated directory."""
    shutil.copytree(template, data)
    return Home(data)
