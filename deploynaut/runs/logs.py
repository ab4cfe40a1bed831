"""The one sink of a running step: masks, cleans and bounds what is written, and stores it in chunks.

Lines come from any thread; one thread, the Watch of the run, stores them.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

from deploynaut.runs.masking import Mask
from deploynaut.runs.models import LogChunk, Run, StepRun, stamped

CHUNK = 60_000
"""Characters a row holds at most."""
HEAD = 25_000_000
TAIL = 1_000_000
"""Characters kept from the beginning of a step's log without asking, and from its end once there is more."""

# Everything a terminal would obey; new lines and tabs stay.
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Text that cannot act on a terminal or a page: colours are dropped, other control characters made visible."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub(
        lambda found: "" if found[0].endswith("m") and len(found[0]) > 1 else "\N{REPLACEMENT CHARACTER}", text
    )


class LogSink:
    """Collects the log of one step; `store()` writes what has come in since."""

    def __init__(self, run: Run, step: StepRun, *, clock: Callable[[], datetime]) -> None:
        self._run, self._step, self._clock = run, step, clock
        self._mask = Mask()
        self._lock, self._storing = threading.Lock(), threading.Lock()
        self._waiting: list[str] = []
        self._tail: deque[str] = deque()
        self._kept = self._tail_size = self._cut = 0

    def add_secret(self, secret: str) -> None:
        """Mask this value from here on."""
        with self._lock:
            self._mask.add(secret)

    def write(self, text: str) -> None:
        """One or more lines."""
        now = self._clock()
        with self._lock:
            self._take(stamped(self._mask.feed(clean(text) + "\n").removesuffix("\n") or "", now=now))

    def store(self) -> None:
        """Write to the database what has come in. One at a time: what came first is stored first."""
        with self._storing:
            with self._lock:
                text, self._waiting = "".join(self._waiting), []
            self._save(text)

    def close(self) -> None:
        """Store everything, with a mark where the middle was cut."""
        with self._lock:
            held = self._mask.flush()
            if held.strip():
                self._take(stamped(held, now=self._clock()))
            if self._cut:
                self._waiting.append(f"[… {self._cut:,} characters were cut here …]\n")
            self._waiting += self._tail
            self._tail.clear()
        self.store()

    def _take(self, text: str) -> None:
        if self._kept + len(text) <= HEAD:
            self._kept += len(text)
            self._waiting.append(text)
            return
        self._tail.append(text[-TAIL:])
        self._tail_size += len(self._tail[-1])
        self._cut += len(text) - len(self._tail[-1])
        while self._tail_size > TAIL and len(self._tail) > 1:
            dropped = len(self._tail.popleft())
            self._tail_size -= dropped
            self._cut += dropped

    def _save(self, text: str) -> None:
        now = self._clock()
        pieces = [text[i : i + CHUNK] for i in range(0, len(text), CHUNK)]
        LogChunk.objects.bulk_create(LogChunk(run=self._run, step=self._step, at=now, text=piece) for piece in pieces)
