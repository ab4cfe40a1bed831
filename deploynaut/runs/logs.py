"""The one sink of a running step: masks, cleans and bounds what is written, and stores it in chunks.

Lines come from any thread; one thread, the Watch of the run, stores them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

from django.db import DatabaseError

from deploynaut.runs.log_text import clean, stamped
from deploynaut.runs.masking import Mask
from deploynaut.runs.models import LogChunk, Run, StepRun

CHUNK = 60_000
"""Characters a row holds at most."""
HEAD = 25_000_000
TAIL = 1_000_000
"""Characters kept from the beginning of a step's log without asking, and from its end once there is more."""
BATCH = 1_000_000
"""Characters that may wait for the mask; more is masked at once."""
LONGEST_TOLD = 20_000
"""Characters of a failure's text, which is repeated in rows, pages and messages."""


class LogSink:
    """Collects the log of one step; `store()` writes what has come in since."""

    def __init__(self, run: Run, step: StepRun, *, clock: Callable[[], datetime]) -> None:
        self._run, self._step, self._clock = run, step, clock
        self._mask = Mask()
        self._lock, self._storing = threading.Lock(), threading.Lock()
        self._new: list[str] = []
        self._new_size = 0
        self._waiting: list[str] = []
        self._tail: deque[str] = deque()
        self._kept = self._tail_size = self._cut = 0

    def add_secret(self, secret: str) -> None:
        """Mask this value from here on."""
        with self._lock:
            self._mask.add(secret)

    def told(self, text: str) -> str:
        """A text that leaves the step by another way (a cause, facts, a message), made harmless and masked."""
        with self._lock:
            return self._mask.once(clean(text))[:LONGEST_TOLD]

    def write(self, text: str) -> None:
        """One or more lines."""
        lines = stamped(clean(text), now=self._clock())
        with self._lock:
            self._new.append(lines)
            self._new_size += len(lines)
            if self._new_size > BATCH:
                self._mask_new()

    def store(self) -> None:
        """Write to the database what has come in. One at a time: what came first is stored first.

        Raises DatabaseError when it could not be; it is kept for the next time.
        """
        with self._storing:
            with self._lock:
                self._mask_new()
                text, self._waiting = "".join(self._waiting), []
            try:
                self._save(text)
            except DatabaseError:
                with self._lock:
                    self._waiting.insert(0, text)
                raise

    def close(self) -> None:
        """Store everything, with a mark where the middle was cut."""
        with self._lock:
            self._mask_new()
            self._take(self._mask.flush())
            if self._cut:
                self._waiting.append(f"[… {self._cut:,} characters were cut here …]\n")
            self._waiting += self._tail
            self._tail.clear()
        self.store()

    def _mask_new(self) -> None:
        text, self._new, self._new_size = "".join(self._new), [], 0
        self._take(self._mask.feed(text))

    def _take(self, text: str) -> None:
        room = HEAD - self._kept
        if len(text) <= room:
            self._kept += len(text)
            self._waiting.append(text)
            return
        cut = text.rfind("\n", 0, room) + 1 if room > 0 else 0
        self._waiting.append(text[:cut])
        self._kept = HEAD
        self._keep_end(text[cut:])

    def _keep_end(self, text: str) -> None:
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
