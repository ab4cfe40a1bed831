"""One tail a run and process: asks the database what is new, for all who watch that run.

Viewers wait on the tail and never ask the database for news themselves; a viewer that comes from further back is given
what it missed once, by `missed`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from asgiref.sync import SyncToAsync
from django.db import close_old_connections

from deploynaut.draining import draining
from deploynaut.engine.pipeline import Status
from deploynaut.notify.models import Message
from deploynaut.runs.models import LogChunk, Run, StepRun

logger = logging.getLogger(__name__)
T = TypeVar("T")
EVERY = 0.3
KEPT = 400
"""Chunks kept in memory for viewers that are a little behind."""
BATCH = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A chunk of a log. `step` is None for the pipeline's own."""

    id: int
    step: int | None
    text: str


@dataclass(frozen=True, slots=True)
class News:
    """What the database says now. `version` changes when the page should be drawn anew."""

    version: Hashable
    ended: bool
    told: bool
    lines: tuple[Line, ...]


def news(run: int, *, after: int) -> News:
    """What is there now, with the lines after a position. Four small queries."""
    status, abort_by = Run.objects.filter(pk=run).values_list("status", "abort_by").get()
    drawn = ("pk", "status", "attempt", "summary", "deadline", "escalates_at")
    steps = StepRun.objects.filter(run=run).order_by("position").values_list(*drawn)
    messages = Message.objects.filter(run=run).values_list("pk", "status", "result")
    seen = tuple(messages)
    return News(
        version=(status, abort_by, tuple(steps), seen),
        ended=Status(status).ended,
        told=all(state != Message.Status.WAITING for _, state, _ in seen),
        lines=missed(run, after=after),
    )


def missed(run: int, *, after: int) -> tuple[Line, ...]:
    """Up to a batch of lines after a position."""
    found = LogChunk.objects.filter(run=run, id__gt=after).order_by("id")[:BATCH]
    return tuple(Line(chunk.pk, chunk.step_id, chunk.text) for chunk in found)


async def ask(question: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Ask the database from the event loop, in a thread of its own, leaving no connection behind."""

    def asked() -> T:
        try:
            return question(*args, **kwargs)
        finally:
            close_old_connections()

    # A request's own thread ends with the request; the tail outlives the one that began it.
    return await SyncToAsync(asked, thread_sensitive=False)()


@dataclass(slots=True, eq=False)
class Tail:
    """Watches one run while anybody looks. It has every line behind `floor`, up to `position`."""

    run: int
    position: int
    floor: int
    latest: News | None = None
    kept: deque[Line] = field(default_factory=deque)
    viewers: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Ask again and again; tell everybody when something is new."""
        while not draining.is_set():
            try:
                await self._look()
            except Exception:
                logger.exception("the tail of run %s could not read; it tries again", self.run)
            await asyncio.sleep(EVERY)

    async def _look(self) -> None:
        found = await ask(news, self.run, after=self.position)
        before, self.latest = self.latest, found
        if before is not None and not found.lines and found.version == before.version:
            return
        async with self.changed:
            self._keep(found.lines)
            self.changed.notify_all()

    def _keep(self, lines: tuple[Line, ...]) -> None:
        for line in lines:
            if len(self.kept) == KEPT:
                self.floor = self.kept.popleft().id
            self.kept.append(line)
            self.position = line.id

    def lines(self, after: int) -> tuple[Line, ...] | None:
        """The kept lines after a position; None when some of them are not kept any more."""
        if after < self.floor:
            return None
        return tuple(line for line in self.kept if line.id > after)


class Tails:
    """The tails of this process, by event loop and run."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], Tail] = {}

    def join(self, run: int, *, after: int) -> Tail:
        """The tail of the run; the first viewer starts it."""
        key = (id(asyncio.get_running_loop()), run)
        tail = self._open.get(key)
        if tail is None:
            tail = self._open[key] = Tail(run=run, position=after, floor=after)
            tail.task = asyncio.create_task(tail.watch(), name=f"tail of run {run}")
        tail.viewers += 1
        return tail

    def leave(self, tail: Tail) -> None:
        """The last viewer ends it."""
        tail.viewers -= 1
        if tail.viewers == 0 and tail.task is not None:
            tail.task.cancel()
            self._open = {key: other for key, other in self._open.items() if other is not tail}

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._open)


tails = Tails()
