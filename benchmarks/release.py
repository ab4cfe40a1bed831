"""How long a release takes, against Capistrano 3 on the same host: `python -m benchmarks.release`.

One sshd on loopback, one site of 12,000 files and 120 MB, the same commits for both, act by act in turn: first one of
the two, then the other. A ratio is our time over Capistrano's for the same act. Exits with 1 when a median is over its
bar. We have fetched the repository before, as people do; Capistrano's host fetches it by SSH. Neither builds, saves
a database or runs smoke tests. Each of our acts connects anew and reads every file of the release on the host, to
compare it with the package's manifest; a release also proves the release before it, its way back.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import figures, tree
from benchmarks.capistrano import Capistrano
from benchmarks.loopback import agent, loopback
from benchmarks.ours import Ours

WARM_UP = 5
ROOM = 6 * 1024**3


@dataclass
class Act:
    """One thing that both do. `bar`: what the median ratio may be at most. `pairs`: seconds, ours and theirs."""

    name: str
    bar: float
    pairs: list[tuple[float, float]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, pair by pair."""
        return [ours / theirs for ours, theirs in self.pairs]

    @property
    def holds(self) -> bool:
        """Whether the median is within the bar."""
        return median(self.ratios) <= self.bar

    def row(self) -> list[str]:
        """For a table: ratio, spread, bar, and both medians in seconds."""
        ratios = self.ratios
        ours, theirs = (median(times) for times in zip(*self.pairs, strict=True))
        spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
        return [self.name, f"{median(ratios):.2f}", spread, f"{self.bar:.2f}", f"{ours:.2f} s", f"{theirs:.2f} s"]


class Race:
    """Both of them, on one host, with one history."""

    def __init__(self, ours: Ours, theirs: Capistrano, *, commits: list[str]) -> None:
        self.ours = ours
        self.theirs = theirs
        self._commits = iter(commits)
        self._commit = ""
        self._turn = 0

    def next_commit(self) -> None:
        """Both see the next commit."""
        self._commit = next(self._commits)
        self.theirs.point(self._commit)

    def clear(self) -> None:
        """Both begin on an empty host."""
        self.ours.clear()
        self.theirs.clear()

    def release(self, act: Act) -> None:
        """Both release the commit."""
        self._pair(act, lambda: self.ours.release(self._commit), self.theirs.deploy)
        self._compare()

    def roll_back(self, act: Act) -> None:
        """Both go to the release before."""
        self._pair(act, self.ours.roll_back, self.theirs.roll_back)
        self._compare()

    def _pair(self, act: Act, ours: Callable[[], None], theirs: Callable[[], None]) -> None:
        self._turn += 1
        first, second = (ours, theirs) if self._turn % 2 else (theirs, ours)
        took = {first: _timed(first), second: _timed(second)}
        act.pairs.append((took[ours], took[theirs]))
        how = f"  ({self.ours.how[-1]})" if act.name != "rollback" else ""
        print(f"{act.name:22} ours {took[ours]:6.2f} s   Capistrano {took[theirs]:6.2f} s{how}", flush=True)

    def _compare(self) -> None:
        """Neither is fast because it did less: the live releases are equal."""
        words = ["diff", "-rq", "--no-dereference", "-x", "REVISION", "-x", ".deploynaut-release"]
        pair = [str(self.ours.current()), str(self.theirs.current())]
        done = subprocess.run([*words, *pair], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"The two live releases differ:\n{done.stdout[:1000]}")


def run(directory: Path, *, pairs: int) -> list[Act]:
    """Measure everything below a directory that everybody may enter."""
    commits = tree.make(directory / "repository", changes=1 + WARM_UP + pairs)
    served = directory / "served"
    shutil.copytree(directory / "repository", served)
    with loopback(directory / "host") as host:
        for path in (served, *served.rglob("*")):
            shutil.chown(path, host.user)
        ours = Ours(host, repository=directory / "repository", directory=directory / "ours")
        with agent(host.key) as socket:
            theirs = Capistrano(host, repository=served, directory=directory / "theirs", agent=socket)
            return _measure(Race(ours, theirs, commits=commits), pairs=pairs)


def _measure(race: Race, *, pairs: int) -> list[Act]:
    first, changed = Act("first release", 0.40), Act("one changed file", 0.25)
    unchanged, back = Act("unchanged redeploy", 0.20), Act("rollback", 0.10)
    race.next_commit()
    for _ in range(pairs):
        race.clear()
        race.release(first)
    for _ in range(WARM_UP):
        race.next_commit()
        race.release(Act("(not counted)", 0))
    for _ in range(pairs):
        race.next_commit()
        race.release(changed)
        race.release(unchanged)
        race.roll_back(back)
    return [first, changed, unchanged, back]


def _timed(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


@contextmanager
def _place(given: Path | None) -> Iterator[Path]:
    """In memory where there is room: a shared disk makes every figure a figure of the disk."""
    memory = Path("/dev/shm")  # noqa: S108
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(prefix="deploynaut-", dir=given or (memory if roomy else None)) as place:
        Path(place).chmod(0o755)
        yield Path(place)


def _machine(place: Path) -> str:
    """In words, without names."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.split(",")[0]
    cap = subprocess.run(["cap", "--version"], capture_output=True, text=True, check=False).stdout.split("(")[0].strip()
    where = "memory (tmpfs)" if place.is_relative_to("/dev/shm") else "disk"  # noqa: S108
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {memory:.0f} GB, Linux, Python {python}, {ssh}, {cap}; all files in {where}"


def main() -> int:
    """Run, print, write the figures; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where to work; else memory, where there is room")
    parser.add_argument("--dry", action="store_true", help="do not write docs/reference/benchmarks.md")
    given = parser.parse_args()
    with _place(given.directory) as place:
        machine = _machine(place)
        acts = run(place, pairs=given.pairs)
    head = ["act", "ratio", "spread", "bar", "ours", "Capistrano"]
    rows = [act.row() for act in acts]
    print("\n" + figures.table(head, rows) + f"\n{machine}")
    if not given.dry:
        figures.write(
            "release", title="A release, against Capistrano 3", words=WORDS, machine=machine, head=head, rows=rows
        )
    missed = [act.name for act in acts if not act.holds]
    if missed:
        print(f"Over the bar: {', '.join(missed)}.", file=sys.stderr)
    return 1 if missed else 0


WORDS = f"""
Ratios are our time over Capistrano's for the same act, median and spread of alternating pairs; `ours` and `Capistrano`
are the medians of the seconds. One host by SSH on loopback, {tree.FILES:,} files, 120 MB, five releases kept. Ours
connects anew for each act, verifies every file of the release against the package's manifest, and proves the release
before it, the way back; a rollback verifies the release it goes to. The first release includes packaging. The
repository is already fetched for us; Capistrano's host clones or fetches it by SSH from the same loopback. Neither
builds, saves a database or runs smoke tests. The code that releases is already running, as in our worker; `cap` is
started anew, as its users do. Ours is driven through the packages room, as the steps drive it; the steps themselves
pack after the connection is made and prove the way back after laying out, where this does both at the same time.
"""


if __name__ == "__main__":
    sys.exit(main())
