"""A test message, or the code for a phone, as a page shows it: being sent, or what the server answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from deploynaut.engine.pipeline import Status
from deploynaut.notify import trials


@dataclass(frozen=True, slots=True)
class Shown:
    """`part`: its place on the page. `answer`: the server's own words, when it took the message; `error`: when not."""

    part: str
    busy: bool = False
    answer: str = ""
    error: str = ""
    at: datetime | None = None


def shown(kind: str, subject: int, *, part: str) -> Shown:
    """The newest one. Two queries."""
    run = trials.latest(kind, subject)
    if run is None:
        return Shown(part)
    if not run.ended:
        return Shown(part, busy=True)
    if run.status == Status.SUCCEEDED:
        step = run.steps.order_by("position").last()
        return Shown(part, answer=step.summary if step else "", at=run.ended_at)
    return Shown(part, error=run.cause or "It failed without a word.", at=run.ended_at)
