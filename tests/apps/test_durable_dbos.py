"""DBOS behind the port, without a worker: what a web process does with it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dbos import DBOSClient
from django.db import connections, transaction

from deploynaut.durable import port
from deploynaut.durable.dbos import APPLICATION, DbosEngine, NoQueue
from deploynaut.durable.models import Worker
from deploynaut.durable.port import Wake, WakeState

THREADS = 50
WRITES = 8


@pytest.fixture(scope="module")
def empty_queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("queue") / "queue.sqlite3"
    DbosEngine(file).migrate()
    return file


@pytest.fixture
def engine(empty_queue: Path, tmp_path: Path) -> Iterator[DbosEngine]:
    file = tmp_path / "queue.sqlite3"
    file.write_bytes(empty_queue.read_bytes())
    engine = DbosEngine(file)
    with port.using(engine):
        yield engine
    engine.close()


def test_migrate_leaves_the_file_in_wal_mode_and_may_be_run_again(engine: DbosEngine, tmp_path: Path) -> None:
    engine.migrate()
    with sqlite3.connect(tmp_path / "queue.sqlite3") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.django_db(transaction=True)
def test_a_wake_is_kept_with_the_commit(engine: DbosEngine) -> None:
    with transaction.atomic():
        port.wake("run", 42, "environment:3")
        assert port.live() == []
    (kept,) = port.live()
    assert (kept.wake, kept.state) == (
        Wake(kind="run", id=42, key="environment:3"),
        WakeState.QUEUED,
    )


@pytest.mark.django_db(transaction=True)
def test_a_wake_of_a_transaction_that_rolls_back_is_never_kept(
    engine: DbosEngine,
) -> None:
    with pytest.raises(ValueError, match="no"), transaction.atomic():
        port.wake("run", 42, "environment:3")
        raise ValueError("no")
    assert port.live() == []


@pytest.mark.django_db(transaction=True)
def test_a_delayed_wake_keeps_its_time(engine: DbosEngine) -> None:
    at = port.now() + timedelta(days=7)
    port.wake("run", 42, "environment:3", at=at)
    (kept,) = port.live(WakeState.DELAYED)
    assert kept.wake.at is not None
    assert abs(kept.wake.at - at) < timedelta(seconds=1)


@pytest.mark.django_db(transaction=True)
def test_a_wake_that_cannot_be_kept_is_logged_and_the_page_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("deploynaut"), "propagate", True)
    with port.using(DbosEngine(tmp_path / "nowhere.sqlite3")):
        port.wake("run", 42, "environment:3")
    assert "The wake of run 42 was lost; the reconciler will find the row." in caplog.text
    assert not (tmp_path / "nowhere.sqlite3").exists()


def test_an_unmigrated_queue_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoQueue, match=r"Run `manage\.py migrate` first"):
        DbosEngine(tmp_path / "nowhere.sqlite3").live()


def test_what_ended_long_ago_is_forgotten_and_nothing_else(engine: DbosEngine, tmp_path: Path) -> None:
    for id in (1, 2, 3):
        engine.keep(Wake(kind="run", id=id, key="environment:3"))
    client = DBOSClient(
        system_database_url=f"sqlite:///{tmp_path / 'queue.sqlite3'}",
        application_name=APPLICATION,
    )
    old, fresh = (one.reference for one in engine.live() if one.wake.id != 3)
    client.cancel_workflows([old, fresh])
    client.destroy()
    with sqlite3.connect(tmp_path / "queue.sqlite3") as database:
        database.execute("UPDATE workflow_status SET completed_at = 0 WHERE workflow_uuid = ?", [old])
    assert engine.prune(datetime(2026, 1, 1, tzinfo=UTC)) == 1
    assert [one.wake.id for one in engine.live()] == [3]


@pytest.mark.django_db(transaction=True)
def test_fifty_threads_write_rows_and_wakes_and_none_finds_the_database_locked(
    engine: DbosEngine,
) -> None:
    errors: list[Exception] = []
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        start.wait()
        try:
            for turn in range(WRITES):
                _write(number, turn)
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Worker.objects.count() == THREADS * WRITES
    assert len(engine.live()) == THREADS * WRITES


def _write(number: int, turn: int) -> None:
    now = port.now()
    with transaction.atomic():
        Worker.objects.create(
            host=f"host-{number}",
            name=f"w-{turn}",
            pid=1,
            version="",
            started_at=now,
            beat_at=now,
        )
        port.wake("run", number, f"environment:{turn}")
