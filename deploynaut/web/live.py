"""Server-sent events: what a page that watches a run is sent, and when it ends.

Each event carries the id of the last log chunk that was sent, so that a browser that asks again gets every line once.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from deploynaut.draining import draining
from deploynaut.web.tail import BATCH, Line, News, Tail, ask, missed, tails

RIGHTS_AGAIN = 10.0
"""Seconds after which a viewer's rights are asked again."""
KEEP_ALIVE = 15.0
SETTLE = 20.0
"""Seconds that an ended run's stream stays, so that the page learns what became of its messages."""

_NEW_LINE = re.compile("\r\n|\r|\n")

Draw = Callable[[], str | None]
"""The page's live part as this viewer sees it now; None when they may not see it any more. Runs in a thread."""


@dataclass(slots=True)
class Watcher:
    """One viewer's stream. `after`: id of the last chunk they have."""

    run: int
    after: int
    draw: Draw

    async def events(self) -> AsyncIterator[bytes]:
        """Everything from `after` on, until the run has ended, the rights are gone or the process goes down."""
        tail = tails.join(self.run, after=self.after)
        try:
            yield b"retry: 1000\n\n"
            async for event in self._follow(tail):
                yield event
        finally:
            tails.leave(tail)

    async def _follow(self, tail: Tail) -> AsyncIterator[bytes]:
        drawn: object = None
        asked = said = time.monotonic()
        over: float | None = None
        while not draining.is_set():
            async for event in self._lines(tail):
                said = time.monotonic()
                yield event
            latest, now = tail.latest, time.monotonic()
            if latest is not None and (latest.version != drawn or now - asked > RIGHTS_AGAIN):
                page = await ask(self.draw)
                if page is None:
                    yield self._event("gone", "")
                    return
                if latest.version != drawn:
                    yield self._event("page", page)
                drawn, asked, said = latest.version, now, now
            if latest is not None and latest.ended:
                over = over or now
                if self._settled(tail, latest, drawn, waited=now - over):
                    yield self._event("end", "")
                    return
            if now - said > KEEP_ALIVE:
                said = now
                yield b": still here\n\n"
            await self._wait(tail, drawn)

    async def _lines(self, tail: Tail) -> AsyncIterator[bytes]:
        while True:
            lines = tail.lines(self.after)
            # Further back than the tail remembers: this viewer asks once for itself.
            if lines is None:
                lines = await ask(missed, self.run, after=self.after)
            if not lines:
                return
            for line in lines:
                self.after = line.id
                yield self._event("log", _json(line))

    def _settled(self, tail: Tail, latest: News, drawn: object, *, waited: float) -> bool:
        more = len(latest.lines) >= BATCH
        everything = drawn == latest.version and self.after >= tail.position and not more
        return everything and (latest.told or waited > SETTLE)

    async def _wait(self, tail: Tail, drawn: object) -> None:
        """Until something is new, or half a second has passed."""
        async with tail.changed:
            if tail.latest is not None and (tail.latest.version != drawn or tail.position > self.after):
                return
            try:
                await asyncio.wait_for(tail.changed.wait(), timeout=0.5)
            except TimeoutError:
                return

    def _event(self, name: str, data: str) -> bytes:
        body = "".join(f"data: {line}\n" for line in _NEW_LINE.split(data))
        return f"event: {name}\nid: {self.after}\n{body}\n".encode()


def _json(line: Line) -> str:
    return json.dumps({"step": line.step, "text": line.text})
