"""The text of a log, in pieces that a page can bear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import QuerySet

from deploynaut.runs.models import LogChunk, Run, StepRun

PAGE = 200
"""Chunks that one page shows at most: the newest. The raw log has all."""


@dataclass(frozen=True, slots=True)
class Text:
    """`upto`: id of the last chunk in it, from which a live page goes on. `cut`: there is more before it."""

    text: str
    upto: int
    cut: bool


def newest(run: Run, step: StepRun | None, *, upto: int | None = None) -> Text:
    """The end of a log, up to a position (the newest there is); of the pipeline's own when `step` is None."""
    upto = last_id(run) if upto is None else upto
    found = list(chunks(run, step).filter(id__lte=upto).order_by("-id")[: PAGE + 1])
    kept = reversed(found[:PAGE])
    return Text(text="".join(chunk.text for chunk in kept), upto=upto, cut=len(found) > PAGE)


def chunks(run: Run, step: StepRun | None) -> QuerySet[LogChunk]:
    """The chunks of one log, in order."""
    return LogChunk.objects.filter(run=run, step=step).order_by("id")


def whole(run: Run, step: StepRun | None) -> Iterator[str]:
    """All of a log, a chunk at a time."""
    yield from chunks(run, step).values_list("text", flat=True).iterator(chunk_size=50)


def last_id(run: Run) -> int:
    """The id of the newest chunk of the run, 0 when there is none."""
    found = LogChunk.objects.filter(run=run).order_by("-id").values_list("id", flat=True).first()
    return found or 0
