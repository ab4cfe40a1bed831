"""The pipeline as plain values: what steps there are, where a deployment stands, and what comes next.

Pure: no I/O, no clock. Rows become values at the door of `runs`, `decide` says what follows, values become rows again.
"""

from deploynaut.engine.pipeline.decide import Next, decide, next_act
from deploynaut.engine.pipeline.decision import Decision, NotAllowed, Notice, To
from deploynaut.engine.pipeline.events import (
    AbortAsked,
    AttendanceTaken,
    Claimed,
    DeadlinePassed,
    EscalationDue,
    Event,
    GateOpened,
    GateRefused,
    Interrupted,
    PlanChanged,
    Reached,
    RollbackAsked,
    TaskFailed,
    TaskStopped,
    TaskSucceeded,
    WindowExtended,
)
from deploynaut.engine.pipeline.reading import SpecError
from deploynaut.engine.pipeline.spec import PipelineSpec, parse
from deploynaut.engine.pipeline.state import GATES, Mark, State, Status, Step, StepStatus

__all__ = [
    "GATES",
    "AbortAsked",
    "AttendanceTaken",
    "Claimed",
    "DeadlinePassed",
    "Decision",
    "EscalationDue",
    "Event",
    "GateOpened",
    "GateRefused",
    "Interrupted",
    "Mark",
    "Next",
    "NotAllowed",
    "Notice",
    "PipelineSpec",
    "PlanChanged",
    "Reached",
    "RollbackAsked",
    "SpecError",
    "State",
    "Status",
    "Step",
    "StepStatus",
    "TaskFailed",
    "TaskStopped",
    "TaskSucceeded",
    "To",
    "WindowExtended",
    "decide",
    "next_act",
    "parse",
]
