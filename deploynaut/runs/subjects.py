"""What a run belongs to: a deployment, a fetch, a check. Rooms above hand their subject in; runs asks no more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from django.utils.module_loading import import_string

from deploynaut.engine.pipeline import Decision, Event, Mark
from deploynaut.engine.steps.base import StepResult

if TYPE_CHECKING:
    from deploynaut.runs.models import Run, StepRun

T = TypeVar("T")


class Session:
    """What stays open from one step to the next while one worker moves one run: connections, above all.

    `guard` asks the guard of the step in hand, so that what was opened in one step is stopped by the next one's.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._kept: dict[str, Any] = {}
        self._guard: Callable[[], None] = lambda: None

    def guard(self) -> None:
        """Raises Stopped when the step in hand may not go on."""
        self._guard()

    def guarded_by(self, guard: Callable[[], None]) -> None:
        """A new step begins."""
        self._guard = guard

    def keep(self, name: str, make: Callable[[ExitStack], T]) -> T:
        """What was made under this name before, else made now; `make` hands its clean-up to the stack."""
        if name not in self._kept:
            with ExitStack() as unsure:
                self._kept[name] = make(unsure)
                self._stack.push(unsure.pop_all())
        kept: T = self._kept[name]
        return kept

    def close(self) -> None:
        """Let go of everything; whoever needs it again makes it anew."""
        self._kept.clear()
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Work:
    """What the runner lends to a task: where to log, whom to ask, the fence token, and what stays open."""

    token: int
    log: Callable[[str], None]
    guard: Callable[[], None]
    mark: Callable[[Mark], None]
    clock: Callable[[], datetime]
    mask: Callable[[str], None]
    session: Session


class Subject(Protocol):
    """What a run of one kind does and who hears of it."""

    def limit(self, run: Run, step: StepRun) -> timedelta:
        """How long the task may take; then its work is ended."""
        ...

    def opens(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        """When the gate closes by itself; None for never."""
        ...

    def escalates(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        """When the next group is asked at a gate; None for never."""
        ...

    def objection(self, run: Run, step: StepRun, *, now: datetime) -> Event | None:
        """What has become of what a gate waits for: an event that voids or refuses it, else None."""
        ...

    def perform(self, run: Run, step: StepRun, work: Work) -> StepResult:
        """Do the task. Raises StepFailed; Stopped passes through. Called in the worker alone."""
        ...

    def heard(self, run: Run, event: Event, decision: Decision, *, now: datetime) -> None:
        """Something was decided: write what follows, in the same transaction. No I/O."""
        ...


class Simple:
    """A run of one task that just succeeds or fails, without gates.

    `task`: dotted name of a function (run, work) -> StepResult; the web process never loads it.
    """

    def __init__(self, task: str, *, limit: timedelta) -> None:
        self._task, self._limit = task, limit

    def limit(self, run: Run, step: StepRun) -> timedelta:
        """The same for every run of the kind."""
        return self._limit

    def opens(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        """No gates here."""
        return None

    def escalates(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        """No gates here."""
        return None

    def objection(self, run: Run, step: StepRun, *, now: datetime) -> Event | None:
        """No gates here."""
        return None

    def perform(self, run: Run, step: StepRun, work: Work) -> StepResult:
        """Do the one task."""
        task: Callable[[Run, Work], StepResult] = import_string(self._task)
        return task(run, work)

    def heard(self, run: Run, event: Event, decision: Decision, *, now: datetime) -> None:
        """The run's own rows tell all there is to tell."""


_SUBJECTS: dict[str, Subject] = {}


def register(kind: str, subject: Subject) -> None:
    """Hand in what runs of this kind do."""
    _SUBJECTS[kind] = subject


def of(kind: str) -> Subject:
    """The subject of a kind of run. Raises KeyError for a kind nobody handed in."""
    return _SUBJECTS[kind]
