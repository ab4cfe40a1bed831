"""What can happen to a deployment. Each event is a fact, told in the past tense.

Gate and deadline events name their gate, so that a late click cannot open the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploynaut.engine.pipeline.state import Mark


@dataclass(frozen=True, slots=True)
class Claimed:
    """A worker has taken the run."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A step is about to change the outside world; written before the act."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class TaskSucceeded:
    """The current task has done and verified its work."""


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """The current task could not do its work; `reason` is a sentence for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class TaskStopped:
    """The current task was ended on request (abort); its work on the targets is proven gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The worker died in the current task and another one has taken over."""


@dataclass(frozen=True, slots=True)
class GateOpened:
    """Somebody opened a gate: approved, pressed Deploy, or dismissed the window."""

    gate: str
    by: str


@dataclass(frozen=True, slots=True)
class GateRefused:
    """Somebody refused at a gate: the approval was rejected."""

    gate: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class EscalationDue:
    """Nobody has answered: the next group is to be asked."""

    gate: str


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The time of a gate is over."""

    gate: str


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """What was approved is no longer what would run."""

    reason: str


@dataclass(frozen=True, slots=True)
class AttendanceTaken:
    """A manager attends the deployment in the initiator's place."""

    by: str


@dataclass(frozen=True, slots=True)
class WindowExtended:
    """The rollback window was made longer, once."""

    gate: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class RollbackAsked:
    """Somebody pressed Rollback in the window."""

    by: str
    code_only: bool = False


@dataclass(frozen=True, slots=True)
class AbortAsked:
    """Somebody pressed Abort Pipeline."""

    by: str


Event = (
    Claimed
    | Reached
    | TaskSucceeded
    | TaskFailed
    | TaskStopped
    | Interrupted
    | GateOpened
    | GateRefused
    | EscalationDue
    | DeadlinePassed
    | PlanChanged
    | AttendanceTaken
    | WindowExtended
    | RollbackAsked
    | AbortAsked
)
