"""RF20: Abort Pipeline at each row of the table of decisions, over real sshd on two hosts.

Each time: told at once, nothing of ours left on any host within 30 s, ended within 60 s (the bar is 120 s), and the
site, its data and its releases as they were.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploynaut.engine.pipeline import Mark
from tests.real.conftest import SshdHosts
from tests.real.fleet import NAME, Fleet
from tests.stage import Stage, staged, wait_until
from tests.witnesses import processes_about

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

GONE_WITHIN = 30.0
ENDED_WITHIN = 60.0
ONCE = "if rm shared/slowly 2>/dev/null; then sleep 300; fi"
"""A command of the site that is slow the first time alone, so that the way back is not."""


class SlowPage:
    """A page that answers at once, or hangs while `armed`."""

    def __init__(self) -> None:
        self.armed, self.hangs = threading.Event(), threading.Event()
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if page.armed.is_set():
                    page.hangs.set()
                    while page.armed.is_set():
                        time.sleep(0.02)
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, format: str, *words: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        self.hangs.clear()
        self.armed.set()
        try:
            yield
        finally:
            self.armed.clear()


@dataclass
class Place:
    """The two hosts, and a page that can be made to hang. `other` is a second clerk, for two clicks at once."""

    fleet: Fleet
    page: SlowPage
    other: Stage


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sshd_hosts: SshdHosts) -> Iterator[Place]:
    """Release 1.1 is live on both hosts."""
    data = tmp_path_factory.mktemp("abort") / "data"
    first, second = sshd_hosts(2)
    shared = first.base / "shared"
    shared.mkdir()
    if os.getuid() == 0:
        shutil.chown(shared, first.user)
    (second.base / "shared").symlink_to(shared)
    with staged(data, "worker", DEPLOYNAUT_PATIENCE="8", DEPLOYNAUT_ANSWER_WITHIN="8") as stage, ExitStack() as stack:
        fleet = Fleet(stage, [first, second])
        fleet.set_up()
        page = SlowPage()
        stack.callback(page.server.shutdown)
        fleet.test_too("slow", page.url)
        other = Stage(data, extra=stage.extra)
        stack.callback(other.stop)
        number, status = fleet.release("1.1")
        assert status == "succeeded", fleet.log(number)
        yield Place(fleet, page, other)


def slowly(fleet: Fleet) -> AbstractContextManager[None]:
    (fleet.bases[0] / "shared/slowly").touch()
    return nullcontext()


@contextlib.contextmanager
def database_locked(fleet: Fleet) -> Iterator[None]:
    """Behind the screen somebody else holds the site's database: the dump waits for it."""
    flag, over = fleet.bases[1] / "maintenance.html", threading.Event()

    def hold() -> None:
        while not flag.exists() and not over.wait(0.01):
            pass
        with closing(sqlite3.connect(fleet.bases[0] / "shared/content.sqlite3", isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            over.wait(60)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    try:
        yield
    finally:
        over.set()
        holder.join()


def running(*words: str) -> Callable[[Fleet], bool]:
    """Whether a process with all these words runs on a host."""
    return lambda fleet: any(all(word in line for word in words) for line in _processes(fleet).values())


def building(fleet: Fleet) -> bool:
    return any("building" in line for line in processes_about(fleet.stage.data / "packages").values())


@dataclass(frozen=True)
class Moment:
    """When Abort is pressed. `prepared`: what makes the moment long; `there`: whether it has come."""

    status: str
    there: Callable[[Fleet], bool]
    options: dict[str, Any] = field(default_factory=dict)
    prepared: Callable[[Fleet], AbstractContextManager[None]] = lambda fleet: nullcontext()
    ref: str = "1.2"


BIG = ["sh", "-c", "head -c 250000000 /dev/urandom >big"]
LOOP = ["sh", "-c", "trap '' TERM INT HUP; : never-ending; while :; do sleep 0.2; done"]
AWAY = ["sh", "-c", f"setsid sh -c {shlex.quote(LOOP[2])} & wait"]
"""Its process is in another group and session than the command's, as daemons are."""

MOMENTS: dict[str, Moment] = {
    "the build": Moment("aborted", building, {"build": [["sh", "-c", ": building; sleep 300"]]}),
    "the upload": Moment("aborted", running("tar -x"), {"build": [BIG]}),
    "the screen, background work being paused": Moment(
        "aborted", running("sleep 299"), {"pause": ["sh", "-c", "if rm shared/slowly; then sleep 299; fi"]}, slowly
    ),
    "the dump": Moment("aborted", running(" dump ", "content.sqlite3"), {"pause": ["sleep", "1"]}, database_locked),
    "a migration that ignores every request to end": Moment("rolled back", running("never-ending"), {"migrate": LOOP}),
    "a migration that has left its process group": Moment("rolled back", running("never-ending"), {"migrate": AWAY}),
    "the switch": Moment("rolled back", running("sleep 300"), {"reload": ["sh", "-c", ONCE]}, slowly),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_abort_ends_the_work_and_the_site_is_as_it_was(place: Place, moment: str) -> None:
    when, fleet = MOMENTS[moment], place.fleet
    fleet.change(**when.options)
    before = _picture(fleet)
    with fleet.watched() as visitors:
        with when.prepared(fleet):
            number = fleet.begin(when.ref)
            wait_until(lambda: when.there(fleet), seconds=40, what=f"{moment}: {fleet.log(number)[-2000:]}")
            _abort(fleet, number)
            _gone(fleet)
        _ended(fleet, number, when.status, before)
    assert all(visitor.strange("1.1.0") == [] for visitor in visitors)


def test_abort_in_the_tests_before_the_release(place: Place) -> None:
    fleet = place.fleet
    fleet.change()
    before = _picture(fleet)
    with fleet.watched() as visitors, place.page.hanging():
        number = fleet.begin("1.2")
        assert place.page.hangs.wait(40), fleet.log(number)
        _abort(fleet, number)
        _ended(fleet, number, "aborted", before)
    assert all(visitor.screened == 0 for visitor in visitors)


def test_abort_in_the_tests_after_the_release_is_rollback(place: Place) -> None:
    fleet = place.fleet
    fleet.change()
    before = _picture(fleet)
    number = fleet.begin("1.2")
    wait_until(lambda: Mark.SAVED in fleet.stage.marks(number, NAME), seconds=40, what="the release begins")
    with place.page.hanging():
        assert place.page.hangs.wait(40), fleet.log(number)
        _abort(fleet, number)
        wait_until(lambda: fleet.stage.status(number, NAME) != "running", seconds=30, what="the tests have ended")
    _ended(fleet, number, "rolled back", before)


def test_abort_while_going_back_is_noted_and_the_way_back_is_finished(place: Place) -> None:
    fleet = place.fleet
    fleet.change(reload=["sh", "-c", "if [ $(cat shared/slowly) = back ]; then rm shared/slowly; sleep 3; fi"])
    before = _picture(fleet)
    (fleet.bases[0] / "shared/slowly").write_text("no\n")
    number = fleet.begin("broken/search-500")
    wait_until(lambda: Mark.OPEN in fleet.stage.marks(number, NAME), seconds=40, what="the bad release is live")
    (fleet.bases[0] / "shared/slowly").write_text("back\n")
    wait_until(lambda: fleet.stage.status(number, NAME) == "rolling back", seconds=40, what="it goes back")
    fleet.stage.clerk("abort", environment=NAME, number=number, who="Rob")
    _ended(fleet, number, "rolled back", before)
    assert "already going back; it will be finished" in fleet.log(number)
    assert "(aborted by" not in fleet.outcome(number), "an abort does not turn a failure into an abort"


def test_two_aborts_at_once_are_one(place: Place) -> None:
    fleet = place.fleet
    fleet.change(migrate=LOOP)
    before = _picture(fleet)
    number = fleet.begin("1.2")
    wait_until(lambda: running("never-ending")(fleet), seconds=40, what="the migration runs")
    place.other.clerk("public_key", environment=NAME)  # starts the second clerk, so that both are ready
    clicks = [
        threading.Thread(
            target=stage.clerk, args=("abort",), kwargs={"environment": NAME, "number": number, "who": who}
        )
        for stage, who in ((fleet.stage, "Rob"), (place.other, "Mia"))
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    _gone(fleet)
    _ended(fleet, number, "rolled back", before)
    assert fleet.log(number).count("going back: aborted by") == 1
    with pytest.raises(Exception, match="ended"):
        fleet.stage.clerk("abort", environment=NAME, number=number, who="Rob")


# --- the parts -------------------------------------------------------------------------------------------------------


def _picture(fleet: Fleet) -> tuple[Any, ...]:
    """What must be the same afterwards on every host: what is live, the data, the releases that are there."""
    releases = [sorted(path.name for path in (base / "releases").iterdir()) for base in fleet.bases]
    return fleet.live, fleet.data, [os.readlink(base / "current") for base in fleet.bases], releases


def _abort(fleet: Fleet, number: int) -> None:
    fleet.stage.clerk("abort", environment=NAME, number=number, who="Rob")
    assert "Rob asked to abort" in fleet.log(number), "told at once"


def _gone(fleet: Fleet) -> None:
    """The work itself: on every host, and what was being built here. The way back may be at work meanwhile."""

    def left() -> bool:
        words = ("sleep 299", "sleep 300", "never-ending", " dump ", "tar -x")
        return not building(fleet) and not any(running(word)(fleet) for word in words)

    wait_until(left, seconds=GONE_WITHIN, what=f"the work is gone: {_processes(fleet)}")


def _ended(fleet: Fleet, number: int, status: str, before: tuple[Any, ...]) -> None:
    assert fleet.end(number, seconds=ENDED_WITHIN) == status, fleet.log(number)
    assert before[:3] == _picture(fleet)[:3]
    if status == "aborted":
        assert before == _picture(fleet), "what was laid out is removed"
        assert "Aborted by Rob" in fleet.outcome(number)
    fleet.check_clean(fleet.log(number))


def _processes(fleet: Fleet) -> dict[int, str]:
    """What runs on the hosts beside their web servers."""
    served = {process.pid for process in fleet.stage.processes.values()}
    return {pid: words for pid, words in processes_about(*fleet.bases).items() if pid not in served}
