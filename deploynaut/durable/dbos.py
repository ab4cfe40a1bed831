"""The port on DBOS Transact, with its rows in a SQLite file of its own, `queue.sqlite3`.

Only public calls of DBOS are used. Its rows are disposable: losing the file costs one round of the reconciler.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    EnqueueOptions,
    WorkflowSerializationFormat,
    WorkflowStatus,
)
from django.conf import settings
from django.db import connections, transaction

from deploynaut.durable import port
from deploynaut.durable.port import LiveWake, Wake, WakeState
from deploynaut.durable.worker import WorkerProcess

log = logging.getLogger(__name__)

APPLICATION: Final = "deploynaut"
# Pinned: a new version of ours goes on with the wakes of the old one.
VERSION: Final = "1"
WORKFLOW: Final = "advance"
WORKER_CONCURRENCY: Final = 20
POLLING_SECONDS: Final = 0.25
# Each look costs the worker about 3 ms, whether something is there or not; a letter may wait a second.
POLLING_OF: Final = {"message": 1.0}
STATES: Final = {
    "DELAYED": WakeState.DELAYED,
    "ENQUEUED": WakeState.QUEUED,
    "PENDING": WakeState.RUNNING,
}
ENDED: Final = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
PRUNE_BATCH: Final = 500


class NoQueue(Exception):
    """The queue's file is not there."""


@DBOS.workflow(
    name=WORKFLOW,
    max_recovery_attempts=1000,
    serialization_type=WorkflowSerializationFormat.PORTABLE,
)
def _advance(kind: str, id: int) -> str:
    """Run one wake. Never changes, so that a wake that an older version put down still fits."""
    try:
        port.books.of(kind).handler(id)
    except Exception:
        # The rows say what should still move; the reconciler asks again. DBOS must not keep the error's content.
        log.exception("The handler of %s %s raised.", kind, id)
        return "raised"
    finally:
        connections.close_all()
    return "done"


class DbosEngine:
    """The engine in production. Every process may wake; one called by `run_worker` handles."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or Path(settings.DEPLOYNAUT_QUEUE)
        self._clients: dict[int, DBOSClient] = {}
        self._lock = threading.Lock()

    def wake(self, wake: Wake) -> None:
        """Keep the wake once the open transaction has committed; a failure is logged, never raised."""
        transaction.on_commit(partial(self._keep_quietly, wake))

    def live(self, *states: WakeState) -> list[LiveWake]:
        """The wakes that have not ended, in these states or in any."""
        found = self._client().list_workflows(
            name=WORKFLOW,
            status=[word for word, state in STATES.items() if state in states or not states],
            application_name=APPLICATION,
            load_input=False,
            load_output=False,
        )
        return [_live(status) for status in found]

    def now(self) -> datetime:
        """The machine's clock."""
        return port.utc_now()

    def migrate(self) -> None:
        """Make the file with its tables, in WAL mode before anything else opens it."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        set_wal(self._file)
        DBOS.migrate(self._url)

    def run_worker(self, name: str) -> None:
        """Handle wakes in this process until it is asked to stop."""
        WorkerProcess(name=name, queue=self, directory=self._file.parent).run()

    # --- What the worker asks of the queue -------------------------------------------------------------------------

    def start(self, executor: str, kinds: Sequence[str]) -> None:
        """Take up the wakes that this executor had, then every other of these kinds."""
        self._require_file()
        for kind in kinds:
            self._register_queue(kind)
        DBOS(config=self._config(executor))
        DBOS.listen_queues(kinds)
        DBOS.launch()

    def stop(self, seconds: int) -> None:
        """Take nothing new, and wait that long for what runs."""
        DBOS.destroy(workflow_completion_timeout_sec=seconds)
        self.close()

    def keep(self, wake: Wake) -> None:
        """Write the wake down. Raises what the database raises."""
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": wake.kind,
            "workflow_id": _reference(wake),
            "app_version": VERSION,
            "queue_partition_key": wake.key,
            "serialization_type": WorkflowSerializationFormat.PORTABLE,
        }
        if wake.at is not None:
            options["delay_seconds"] = max(0.0, (wake.at - self.now()).total_seconds())
        self._client().enqueue(options, wake.kind, wake.id)

    def hand_over(self, wakes: Iterable[LiveWake]) -> None:
        """Put wakes that a dead worker was running back into the queue; they keep their key and come first."""
        for live in wakes:
            self._client().resume_workflow(live.reference, queue_name=live.wake.kind)

    def prune(self, before: datetime) -> int:
        """Forget the wakes that ended before; how many."""
        forgotten = 0
        while batch := self._ended(before):
            self._client().delete_workflows(batch)
            forgotten += len(batch)
        return forgotten

    def close(self) -> None:
        """Let go of this process's connections to the queue."""
        with self._lock:
            client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.destroy()

    # --- Inside ------------------------------------------------------------------------------------------------------

    @property
    def _url(self) -> str:
        return f"sqlite:///{self._file}"

    def _keep_quietly(self, wake: Wake) -> None:
        try:
            self.keep(wake)
        except Exception:
            log.exception(
                "The wake of %s %s was lost; the reconciler will find the row.",
                wake.kind,
                wake.id,
            )

    def _ended(self, before: datetime) -> list[str]:
        found = self._client().list_workflows(
            name=WORKFLOW,
            status=ENDED,
            application_name=APPLICATION,
            completed_before=before.isoformat(),
            limit=PRUNE_BATCH,
            load_input=False,
            load_output=False,
        )
        return [status.workflow_id for status in found]

    def _client(self) -> DBOSClient:
        """The client of this process: a forked child must not use its parent's connections."""
        with self._lock:
            if os.getpid() not in self._clients:
                self._require_file()
                self._clients[os.getpid()] = self._connect()
            return self._clients[os.getpid()]

    def _connect(self) -> DBOSClient:
        return DBOSClient(
            system_database_url=self._url,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            # A page must not hang when the queue cannot be reached: the wake is lost, the reconciler heals.
            retry_connection_errors=False,
        )

    def _require_file(self) -> None:
        # Connecting would make an empty file, which then lacks its tables and WAL.
        if not self._file.exists():
            raise NoQueue(f"{self._file} is not there. Run `manage.py migrate` first.")

    def _register_queue(self, kind: str) -> None:
        self._client().register_queue(
            kind,
            partition_concurrency=1,
            worker_concurrency=WORKER_CONCURRENCY,
            polling_interval_sec=POLLING_OF.get(kind, POLLING_SECONDS),
            on_conflict="always_update",
            application_name=APPLICATION,
        )

    def _config(self, executor: str) -> DBOSConfig:
        return {
            "name": APPLICATION,
            "system_database_url": self._url,
            "application_version": VERSION,
            "executor_id": executor,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "run_migrations": False,
            "sys_db_pool_size": 8,
            "max_executor_threads": 64,
            "enable_otlp": False,
        }


def set_wal(file: Path) -> None:
    """Put a SQLite file into WAL mode, making it where it is missing. Not while somebody writes to it."""
    connection = sqlite3.connect(file, timeout=20)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    finally:
        connection.close()
    if mode != "wal":
        raise NoQueue(f"{file} stays in journal mode {mode}. Is it on a network disk? It must be on a local one.")


def _reference(wake: Wake) -> str:
    # On SQLite wakes of one second tie; DBOS then goes by their names, which so keep the order of arrival.
    return f"{wake.kind}:{time.time_ns():020d}:{secrets.token_hex(6)}:{wake.id}"


def _live(status: WorkflowStatus) -> LiveWake:
    kind, _, _, id = status.workflow_id.split(":")
    due = _moment(status.delay_until_epoch_ms)
    wake = Wake(kind=kind, id=int(id), key=status.queue_partition_key or "", at=due)
    return LiveWake(
        wake=wake,
        state=STATES[status.status],
        reference=status.workflow_id,
        executor=status.executor_id or "",
        taken_at=_moment(status.dequeued_at),
    )


def _moment(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
