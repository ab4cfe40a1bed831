"""Witnesses outside the product: what visitors saw, and what the target's own journal says (reliability.md 5.1)."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx2


@dataclass(frozen=True)
class Seen:
    """One answer to a visitor: seconds since the prober began, HTTP status, version shown, our screen or not."""

    at: float
    status: int
    version: str
    screen: bool


@dataclass
class Prober:
    """Asks the site for its front page every 100 ms, as a visitor would."""

    url: str
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Prober:
        self._over = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._probe, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(10)

    def _probe(self) -> None:
        with httpx2.Client(timeout=5) as http:
            while not self._over.wait(0.1):
                at = time.monotonic() - self._began
                try:
                    answer = http.get(self.url)
                except httpx2.HTTPError:
                    self.seen.append(Seen(at, 0, "", False))
                    continue
                screen = "X-Deploynaut-Maintenance" in answer.headers
                self.seen.append(Seen(at, answer.status_code, version_of(answer.text), screen))

    @property
    def versions(self) -> list[str]:
        """What was served with status 200, each change once, in order."""
        found: list[str] = []
        for seen in self.seen:
            if seen.status == 200 and (not found or found[-1] != seen.version):
                found.append(seen.version)
        return found

    def strange(self, *allowed: str) -> list[Seen]:
        """Answers that were neither an allowed version nor our own screen."""
        return [
            seen
            for seen in self.seen
            if not (seen.status == 200 and seen.version in allowed) and not (seen.status == 503 and seen.screen)
        ]

    @property
    def screened(self) -> float:
        """Seconds during which visitors saw the maintenance screen."""
        return 0.1 * sum(seen.screen for seen in self.seen)


def version_of(page: str) -> str:
    """The version that the demo site shows in its footer."""
    found = re.search(r'data-version="([^"]+)"', page) or re.search(r"[Vv]ersion ([0-9a-z./-]+)", page)
    return found[1] if found else ""


@dataclass(frozen=True)
class Entry:
    """One line of the journal on the target: under which token which run did what. `phase` is `begin` or `end`."""

    token: int
    run: str
    id: str
    group: int
    phase: str
    what: str


def journal(base: Path) -> list[Entry]:
    """The journal that the fence keeps on a target."""
    entries = []
    for line in (base / ".deploynaut" / "journal").read_text(errors="replace").splitlines():
        words = line.split(" ", 6)
        if len(words) > 5 and words[4].isdecimal():  # a full disk may have cut a line
            entries.append(Entry(int(words[1]), words[2], words[3], int(words[4]), words[5], " ".join(words[6:])))
    return entries


def overlaps(base: Path) -> list[Entry]:
    """I2: commands that began under a token while one of another token ran, or after a newer one had begun."""
    running: dict[str, int] = {}
    newest = 0
    wrong = []
    for entry in journal(base):
        if entry.phase == "end":
            running.pop(entry.id, None)
            continue
        if entry.token < newest or set(running.values()) - {entry.token}:
            wrong.append(entry)
        newest = max(newest, entry.token)
        running[entry.id] = entry.token
    return wrong


def titles(base: Path) -> list[str]:
    """The titles of the demo site's news, as its database has them."""
    database = base / "shared" / "content.sqlite3"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as content:
        return [title for (title,) in content.execute("SELECT title FROM news ORDER BY id")]


def columns(base: Path) -> set[str]:
    """The columns of the news table: what migrations have added."""
    database = base / "shared" / "content.sqlite3"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as content:
        return {row[1] for row in content.execute("PRAGMA table_info(news)")}


def processes_about(*places: Path) -> dict[int, str]:
    """Processes that name one of the places on their command line or work in one, by their id."""
    names = [str(place) for place in places]
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = str((entry / "cwd").readlink())
                state = (entry / "stat").read_text().rpartition(") ")[2][:1]
            except OSError:
                continue
            if state != "Z" and any(name in words or where.startswith(name) for name in names):
                found[int(entry.name)] = f"{words} (in {where})"
    return found


SECRETS = (b"PRIVATE KEY-----", b"AGE-SECRET-KEY-")


def secrets_below(*places: Path) -> list[Path]:
    """Files that hold a private key in the clear."""
    return [
        path
        for place in places
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink() and any(word in path.read_bytes() for word in SECRETS)
    ]


def leftovers(base: Path) -> list[str]:
    """What an interrupted deployment could have left on a target: the flag file, half releases, fence files."""
    ours = base / ".deploynaut"
    found = [*(ours / "running").iterdir(), *(ours / "tmp").iterdir(), *base.glob(".*.deploynaut-new")]
    found += [path for path in (base / "releases").iterdir() if not path.name.isdigit()]
    if (base / "maintenance.html").exists():
        found.append(base / "maintenance.html")
    return sorted(str(path.relative_to(base)) for path in found)
