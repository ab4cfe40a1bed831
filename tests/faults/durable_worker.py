"""A worker process for the tests: writes what it does into a ledger, holds where the test says so.

Started as `python -m tests.faults.durable_worker NAME [SECONDS OF SILENCE THAT MEAN DEAD]`, in DURABLE_TEST_DATA:

    ledger          one line an event: pid, begin|end|stopped, id
    hold-ID         while this file is there, the handler of ID does not end
    pending         lines "ID KEY": what the reconciler finds
"""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import django

DATA = Path(os.environ["DURABLE_TEST_DATA"])


def main() -> None:
    """Work until asked to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    django.setup()
    from deploynaut.durable import port
    from deploynaut.durable.dbos import DbosEngine
    from deploynaut.durable.management.commands.worker import leave
    from deploynaut.durable.worker import Rhythm, WorkerProcess

    port.register("probe", handle, pending=pending)
    silence = timedelta(seconds=float(sys.argv[2])) if len(sys.argv) > 2 else Rhythm().dead
    rhythm = Rhythm(
        dead=silence,
        beat=silence / 7.5,
        look=silence / 7.5,
        reconcile=timedelta(seconds=0.5),
    )
    WorkerProcess(name=sys.argv[1], queue=DbosEngine(), directory=DATA, rhythm=rhythm).run()
    leave()


def handle(id: int) -> None:
    """Note the beginning, hold as long as the test wants, note the end."""
    from deploynaut.durable import port

    note("begin", id)
    while (DATA / f"hold-{id}").exists():
        if (DATA / "obedient").exists() and port.stopping():
            note("stopped", id)
            return
        time.sleep(0.01)
    note("end", id)


def pending() -> list[tuple[int, str]]:
    """What the test wrote down as ready to move."""
    file = DATA / "pending"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(id), key) for id, key in (line.split() for line in lines)]


def note(event: str, id: int) -> None:
    """One line, whole: O_APPEND."""
    with (DATA / "ledger").open("a") as ledger:
        ledger.write(f"{os.getpid()} {event} {id}\n")


if __name__ == "__main__":
    main()
