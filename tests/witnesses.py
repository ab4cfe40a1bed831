"""Witnesses outside the product: what visitors saw, and what the target's own journal says (reliability.md 5.1)."""

from __future__ import annotations

import re
import threading
import time
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
    """One line of the journal on the target."""

    token: int
    run: str
    what: str


def journal(base: Path) -> list[Entry]:
    """The journal that the fence keeps on a target: which run did what, under which token."""
    entries = []
    for line in (base / ".deploynaut" / "journal").read_text(errors="replace").splitlines():
        fields = dict(re.findall(r"(\w+)=(\S+)", line))
        if "token" in fields:
            entries.append(Entry(int(fields["token"]), fields.get("run", ""), line))
    return entries


def one_writer_at_a_time(base: Path) -> bool:
    """I2: tokens in the journal never go back, so no older run acted after a newer one had begun."""
    tokens = [entry.token for entry in journal(base)]
    return tokens == sorted(tokens)
