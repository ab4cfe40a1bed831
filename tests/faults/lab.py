"""What the kill tests share: a release under witnesses, a worker killed at a moment, and what must hold afterwards."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploynaut.engine.pipeline import Mark
from tests.stage import Never, Stage, wait_until
from tests.witnesses import (
    Prober,
    columns,
    journal,
    leftovers,
    overlaps,
    processes_about,
    secrets_below,
    titles,
)

VERSIONS = {"1.1": "1.1.0", "1.1.1": "1.1.1", "1.2": "1.2.0"}
MADE_TO_FAIL = {"broken/search-500": "1.3.0", "broken/migration": "1.3.1", "slow/migration": "1.4.0"}
OPEN = ("queued", "running", "waiting", "rolling back")
ENDS = {"succeeded": "Succeeded.", "failed": "Failed.", "rolled back": "Rolled back", "aborted": "Aborted by"}
Moment = Callable[["Watched"], bool]


@dataclass
class Watched:
    """A deployment under way on uat, with a visitor who looks every 100 ms, and what was there before it."""

    stage: Stage
    number: int
    prober: Prober
    before: str
    after: str
    data: tuple[list[str], set[str]]
    token: int

    @property
    def base(self) -> Path:
        return self.stage.demo.base("uat")

    @property
    def status(self) -> str:
        return self.stage.status(self.number)

    def running(self, kind: str, *, back: bool = False) -> bool:
        """Whether this step is being done now."""
        return (kind, back, "running") in self.stage.steps(self.number)

    def reached(self, mark: Mark) -> bool:
        """Whether the mark is written."""
        return mark in self.stage.marks(self.number)

    def until(self, moment: Moment, *, seconds: float = 30) -> None:
        """Return at the very moment."""
        end = time.monotonic() + seconds
        while not moment(self):
            if time.monotonic() > end or self.status not in OPEN:
                raise Never(f"the moment did not come; {self.status}\n{self.stage.log(self.number)[-2000:]}")
            time.sleep(0.001)

    def end(self, *, seconds: float = 60) -> str:
        """Wait for the end, and let the visitor look once more."""
        status = self.stage.wait_for_end(self.number, seconds=seconds)
        seen = len(self.prober.seen)
        wait_until(lambda: len(self.prober.seen) > seen + 2, seconds=15, what="the visitor looks again")
        return status

    def check(self, status: str) -> None:
        """One truthful end: what visitors saw, what lies on the target, what the record says."""
        told = f"deployment {self.number}: {status}\n{self.stage.log(self.number)[-4000:]}"
        assert status in ENDS, told
        live = self.after if status == "succeeded" else self.before
        assert self.prober.strange(self.before, self.after) == [], told
        assert (self.prober.seen[-1].status, self.prober.seen[-1].version) == (200, live), told
        order = [version for version in (self.before, self.after, self.before) if version]
        assert _in_order(self.prober.versions, order), f"{self.prober.versions}\n{told}"
        if status != "succeeded":
            assert (titles(self.base), columns(self.base)) == self.data, told
        self._check_record(status, told)
        check_clean(self.stage, self.base, told)
        assert overlaps(self.base) == [], told

    def _check_record(self, status: str, told: str) -> None:
        assert self.stage.outcome(self.number).startswith(ENDS[status]), told
        assert not {state for _, _, state in self.stage.steps(self.number)} & {"running", "pending", "waiting"}, told
        ended = ("succeeded", "failed", "rolled_back", "rollback_failed", "aborted")
        assert len([event for event in self.events() if event in ended]) == 1, f"{self.events()}\n{told}"

    def events(self) -> list[str]:
        """What people were told of, each once."""
        sql = (
            "SELECT DISTINCT o.event FROM notify_message o JOIN deployments_deployment d ON d.run_id=o.run_id"
            " JOIN instances_environment e ON e.id=d.environment_id WHERE e.name='uat' AND d.number=?"
        )
        return [event.replace(" ", "_") for (event,) in self.stage.ask(sql, self.number)]

    def tokens(self) -> list[int]:
        """The tokens under which this deployment has acted on the target, each once, in order."""
        run = f"council/uat_#{self.number}"
        return sorted({entry.token for entry in journal(self.base) if entry.run == run})


@dataclass
class Lab:
    """The stage, and what tests do to it."""

    stage: Stage

    @property
    def base(self) -> Path:
        return self.stage.demo.base("uat")

    def recover(self) -> None:
        """The worker is up and nothing is open: every test begins so."""
        if self.stage.processes["worker"].poll() is not None:
            self.stage.start("worker")
        newest = self.stage.newest()
        if self.stage.status(newest) in OPEN:
            self.stage.wait_for_end(newest, seconds=90)
        assert self.live in VERSIONS, f"{self.live} is live after deployment {newest}: {self.stage.outcome(newest)}"

    @property
    def live(self) -> str:
        """The tag that is live, read on the target."""
        version = (self.base / "current" / "VERSION").read_text().strip()
        return next((tag for tag, name in VERSIONS.items() if name == version), version)

    @property
    def other(self) -> str:
        """A good release that is not live."""
        return "1.2" if self.live != "1.2" else "1.1.1"

    @contextmanager
    def releasing(self, name: str = "") -> Iterator[Watched]:
        """Begin a release of a branch or tag (of a good one when none is named) under the eyes of a visitor."""
        name = name or self.other
        after = {**VERSIONS, **MADE_TO_FAIL}[name]
        data, token = (titles(self.base), columns(self.base)), self.stage.token()
        with Prober(self.stage.demo.url("uat") + "/") as prober:
            wait_until(lambda: prober.seen, seconds=10, what="the visitor sees the site")
            number = self.stage.begin("branch" if "/" in name else "tag", name)
            yield Watched(self.stage, number, prober, VERSIONS[self.live], after, data, token)

    def kill(self) -> None:
        """kill -9 of the worker."""
        self.stage.kill("worker")

    def start(self) -> None:
        """The worker again."""
        self.stage.start("worker")

    def signal(self, number: signal.Signals, name: str = "worker") -> None:
        """Another signal."""
        self.stage.processes[name].send_signal(number)


def check_clean(stage: Stage, base: Path, told: str = "") -> None:
    """No process, no temporary file, no key in the clear is left, on the target or in Deploynaut's own folders."""
    ours = {process.pid for process in stage.processes.values()}
    strangers = {pid: words for pid, words in processes_about(base).items() if pid not in ours}
    assert strangers == {}, f"{strangers}\n{told}"
    assert leftovers(base) == [], told
    wait_until(lambda: not temporary(stage.data), seconds=10, what=f"temporary files go: {temporary(stage.data)}")
    keys = [path for path in secrets_below(stage.data, base) if path.parent != stage.data / "keys"]
    assert keys == [], told


def temporary(data: Path) -> list[str]:
    """Files of Deploynaut's own that live only as long as a run does."""
    folders = [data / "scratch", data / "tmp", data / "packages" / "work", *(data / "mirrors").glob("*.private")]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    found += [path for path in (data / "snapshots").iterdir() if not path.name.endswith((".zst.age", ".json"))]
    return sorted(str(path.relative_to(data)) for path in found)


def _in_order(seen: list[str], order: list[str]) -> bool:
    """Whether `seen` can be read off `order` from left to right."""
    left = iter(order)
    return all(version in left for version in seen)
