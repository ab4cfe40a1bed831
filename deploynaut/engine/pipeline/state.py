"""Where a deployment stands: its status, its steps, and how far it has changed the outside world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum


class Status(StrEnum):
    """The words of a deployment. The last seven are ends; docs/reference/statuses.md says what each promises."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    ROLLING_BACK = "rolling back"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    ABORTED = "aborted"
    EXPIRED = "expired"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    ROLLBACK_FAILED = "rollback failed"

    @property
    def ended(self) -> bool:
        """No event moves an ended deployment."""
        return self not in OPEN


OPEN = frozenset({Status.QUEUED, Status.RUNNING, Status.WAITING, Status.ROLLING_BACK})


class StepStatus(StrEnum):
    """The words of one tile."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    SKIPPED = "skipped"


class Mark(IntEnum):
    """How far a deployment has gone outside; a step writes one before each act that changes something there."""

    LAID_OUT = 1
    SCREEN = 2
    SAVED = 3
    MIGRATING = 4
    SWITCHING = 5
    VERIFYING = 6
    OPEN = 7

    @property
    def word(self) -> str:
        """The mark as people read it: `laid out`, `screen`, ..."""
        return self.name.lower().replace("_", " ")


GATES = frozenset({"approval", "confirm", "rollback_window"})
"""Kinds of step that a person or the clock opens; all others are tasks."""


@dataclass(frozen=True, slots=True)
class Step:
    """One tile. `kind` names the step type; `back` marks the tiles of the way back."""

    kind: str
    status: StepStatus = StepStatus.PENDING
    back: bool = False

    @property
    def is_gate(self) -> bool:
        """Waits for a person or the clock instead of working."""
        return self.kind in GATES


@dataclass(frozen=True, slots=True)
class State:
    """All that `decide` needs to know.

    `marks`: every mark reached so far. `first`: nothing known good to go back to. `screen_was_up`: the site was in
    its maintenance screen before this deployment began. `abort_by`, `rollback_by`: who asked, empty when nobody did.
    `cause`: the first failure, in words. `undoable`: there is a way back; a fetch or a check just fails.
    """

    steps: tuple[Step, ...]
    status: Status = Status.QUEUED
    marks: frozenset[Mark] = frozenset()
    first: bool = False
    screen_was_up: bool = False
    abort_by: str = ""
    rollback_by: str = ""
    code_only: bool = False
    extended: bool = False
    cause: str = ""
    undoable: bool = True

    @property
    def mark(self) -> Mark | None:
        """The highest mark reached."""
        return max(self.marks, default=None)

    @property
    def position(self) -> int | None:
        """Index of the step in hand: the first that is neither done nor out of the question."""
        done = {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.STOPPED, StepStatus.SKIPPED}
        return next((index for index, step in enumerate(self.steps) if step.status not in done), None)

    @property
    def current(self) -> Step | None:
        """The step in hand, or None when all are behind."""
        return None if self.position is None else self.steps[self.position]

    @property
    def touched(self) -> bool:
        """Data or code of the live site may have changed: from the first migration or switch on."""
        return self.mark is not None and self.mark >= Mark.MIGRATING

    @property
    def screened(self) -> bool:
        """The maintenance screen of this deployment went up at some time."""
        return self.mark is not None and self.mark >= Mark.SCREEN

    def with_step(self, status: StepStatus) -> State:
        """The same state with the step in hand in another status."""
        assert self.position is not None
        steps = list(self.steps)
        steps[self.position] = replace(steps[self.position], status=status)
        return replace(self, steps=tuple(steps))
