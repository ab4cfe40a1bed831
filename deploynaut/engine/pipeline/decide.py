"""One function that knows how one state of a deployment leads to the next.

Rules are those of the decisions ("How a deployment ends", "The way back", "Abort, by moment"); a test plays every event
against every status.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from deploynaut.engine.pipeline.decision import Decision, NotAllowed, Notice, To
from deploynaut.engine.pipeline.ending import end, finish, leave
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
from deploynaut.engine.pipeline.state import Mark, State, Status, Step, StepStatus

BEFORE_DEPLOY = ("approval", "confirm")
"""The gates at which a plan may still change, and a release may still be refused."""


class Next(StrEnum):
    """What a worker does with a run now."""

    TASK = "task"
    GATE = "gate"
    NOTHING = "nothing"


def next_act(state: State) -> Next:
    """Whether the step in hand is a machine's, a person's, or there is none."""
    if state.status.ended or state.current is None:
        return Next.NOTHING
    return Next.GATE if state.current.is_gate else Next.TASK


def decide(state: State, event: Event) -> Decision:
    """The state after the event.

    Raises NotAllowed when the event does not fit: the deployment has ended, or the gate is another one.
    A late deadline or escalation of a gate that is behind changes nothing.
    """
    if state.status.ended:
        return _after_the_end(state, event)
    match event:
        case Claimed() | Interrupted():
            return _taken(state, event)
        case Reached(mark):
            return _reached(state, mark)
        case TaskSucceeded() | TaskFailed() | TaskStopped():
            return _answered(state, event)
        case AbortAsked(by):
            return _abort(state, by)
        case RollbackAsked():
            return _roll_back_asked(state, event)
        case _:
            return _at_gate(state, event)


def _reached(state: State, mark: Mark) -> Decision:
    _running(state)
    return Decision(replace(state, marks=state.marks | {mark}), line=f"mark: {mark.word}")


def _running(state: State) -> Step:
    """The task that a worker is in. Raises NotAllowed when there is none."""
    step = state.current
    if step is None or step.status is not StepStatus.RUNNING:
        raise NotAllowed("No task is running.")
    return step


def _after_the_end(state: State, event: Event) -> Decision:
    if isinstance(event, DeadlinePassed | EscalationDue | Claimed | Interrupted | PlanChanged):
        return Decision(state)
    raise NotAllowed(f"This deployment has ended: {state.status}. Nothing can change it any more.")


# --- a worker takes the run ------------------------------------------------------------------------------------------


def _taken(state: State, event: Claimed | Interrupted) -> Decision:
    step = state.current
    if step is None:
        return finish(state)
    if step.is_gate:
        status = Status.WAITING
        return Decision(replace(state.with_step(StepStatus.WAITING), status=status), _opening(step))
    # A plain claim of a task that is running is one too: whoever ran it is gone.
    interrupted = isinstance(event, Interrupted) or step.status is StepStatus.RUNNING
    if interrupted and _needs_the_way_back(state, step):
        return _failed(state, "The worker died while the database was being migrated.")
    status = Status.ROLLING_BACK if step.back else Status.RUNNING
    line = "taken over after the worker died" if interrupted else f"{step.kind} begins"
    return Decision(replace(state.with_step(StepStatus.RUNNING), status=status), _beginning(state, step), line)


def _needs_the_way_back(state: State, step: Step) -> bool:
    # A migration that was cut off cannot be repeated: half of it may have been done.
    return step.kind == "release" and state.mark is Mark.MIGRATING


def _opening(step: Step) -> tuple[Notice, ...]:
    if step.status is StepStatus.WAITING:
        return ()
    match step.kind:
        case "approval":
            return (Notice("approval asked", (To.APPROVERS, To.INITIATOR)),)
        case "rollback_window":
            return (Notice("window open", (To.INITIATOR,)),)
        case _:
            return ()


def _beginning(state: State, step: Step) -> tuple[Notice, ...]:
    first_back = step.back and step.status is StepStatus.PENDING and step.kind == "roll_back"
    return (Notice("rollback begun", (To.INITIATOR, To.APPROVER)),) if first_back and state.touched else ()


# --- a task answers --------------------------------------------------------------------------------------------------


def _answered(state: State, event: TaskSucceeded | TaskFailed | TaskStopped) -> Decision:
    step = _running(state)
    match event:
        case TaskSucceeded() if state.abort_by and not step.back:
            return _undo(state.with_step(StepStatus.SUCCEEDED))
        case TaskSucceeded():
            return _advance(state.with_step(StepStatus.SUCCEEDED), f"{step.kind} done")
        case TaskStopped(reason) if not step.back:
            return _undo(replace(state.with_step(StepStatus.STOPPED), cause=state.cause or reason))
        case TaskFailed(reason) | TaskStopped(reason):
            return _failed(state, reason)


def _advance(state: State, line: str) -> Decision:
    if state.current is None:
        return finish(state)
    return Decision(state, line=line)


def _failed(state: State, reason: str) -> Decision:
    step = state.current
    assert step is not None
    failed = replace(state.with_step(StepStatus.FAILED), cause=state.cause or reason)
    if not step.back:
        return _undo(failed)
    if step.kind == "smoke_tests" and not failed.touched:
        told = (Notice("site fails untouched", (To.OPS,)),)
        ended = finish(failed)
        return replace(ended, notices=ended.notices + told)
    return end(failed, Status.ROLLBACK_FAILED)


# --- the way back ----------------------------------------------------------------------------------------------------


def _undo(state: State) -> Decision:
    """Puts the tiles of the way back in the place of what was still to come."""
    if not state.undoable:
        return end(state, Status.ABORTED if state.abort_by else Status.FAILED)
    behind = tuple(
        replace(step, status=StepStatus.SKIPPED) if step.status in (StepStatus.PENDING, StepStatus.WAITING) else step
        for step in state.steps
    )
    back = tuple(Step(kind, back=True) for kind in _way_back(state))
    line = f"going back: {state.cause}" if state.cause else "going back"
    return Decision(replace(state, steps=behind + back, status=Status.ROLLING_BACK), line=line)


def _way_back(state: State) -> tuple[str, ...]:
    """Kinds of the tiles of the way back.

    Tests are left out where nothing is there to be tested: a first deployment goes back to the screen alone, a site
    that was in maintenance stays in it, and an abort before the site changed leaves it as it was.
    """
    untouched_abort = bool(state.abort_by) and not state.touched
    if untouched_abort or state.first or state.screen_was_up:
        return ("roll_back",)
    return ("roll_back", "smoke_tests")


def _roll_back_asked(state: State, event: RollbackAsked) -> Decision:
    if state.status is Status.ROLLING_BACK:
        raise NotAllowed("The site is already going back.")
    if state.current is None or state.current.kind != "rollback_window":
        raise NotAllowed("Rollback is offered while the rollback window is open.")
    asked = replace(state, rollback_by=event.by, code_only=event.code_only, cause=f"{event.by} asked for Rollback")
    return _undo(asked.with_step(StepStatus.STOPPED))


# --- abort -----------------------------------------------------------------------------------------------------------


def _abort(state: State, by: str) -> Decision:
    if state.status is Status.ROLLING_BACK:
        # Noted, no more: it must not turn a failure into an abort.
        return Decision(state, line=f"{by} asked to abort: already going back; it will be finished")
    asked = replace(state, abort_by=state.abort_by or by, cause=state.cause or f"aborted by {by}")
    step = state.current
    if step is not None and step.status is StepStatus.RUNNING:
        return Decision(asked, line=f"{by} asked to abort")
    if not state.marks:
        return end(leave(asked), Status.ABORTED)
    return _undo(asked.with_step(StepStatus.STOPPED) if step is not None and step.is_gate else asked)


# --- gates -----------------------------------------------------------------------------------------------------------


def _at_gate(state: State, event: Event) -> Decision:
    gate = _gate(state)
    match event:
        case DeadlinePassed(name) | EscalationDue(name):
            return _due(state, event, gate) if gate and name == gate else Decision(state)
        case GateOpened(name) | GateRefused(name) | WindowExtended(name) if not gate or name != gate:
            raise NotAllowed(f"The deployment is not waiting at {name} any more.")
        case GateOpened():
            return _opened(state, event)
        case GateRefused() if gate in BEFORE_DEPLOY:
            refused = replace(leave(state.with_step(StepStatus.FAILED)), cause=event.reason)
            return end(refused, Status.REJECTED)
        case WindowExtended() if gate == "rollback_window" and not state.extended:
            return Decision(replace(state, extended=True), line=f"window extended by {event.by}: {event.reason}")
        case PlanChanged():
            return _plan_changed(state, event, gate)
        case AttendanceTaken() if gate == "confirm":
            told = (Notice("attendance taken", (To.INITIATOR, To.APPROVERS)),)
            return Decision(state, told, f"{event.by} attends from here on")
        case _:
            raise NotAllowed("That is not possible at this moment.")


def _due(state: State, event: DeadlinePassed | EscalationDue, gate: str) -> Decision:
    if isinstance(event, DeadlinePassed):
        return _expired(state, gate)
    if gate != "approval":
        return Decision(state)
    return Decision(state, (Notice("approval asked", (To.APPROVERS,)),), "nobody has answered: next group")


def _gate(state: State) -> str:
    """The kind of the gate in hand, empty when a machine works."""
    step = state.current
    return step.kind if step is not None and step.is_gate else ""


def _opened(state: State, event: GateOpened) -> Decision:
    notices = (Notice("approved", (To.INITIATOR, To.APPROVERS)),) if event.gate == "approval" else ()
    after = state.with_step(StepStatus.SUCCEEDED)
    if after.current is None:
        return finish(after)
    return Decision(replace(after, status=Status.QUEUED), notices, f"{event.gate} opened by {event.by}")


def _expired(state: State, gate: str) -> Decision:
    if gate == "rollback_window":
        return _advance(state.with_step(StepStatus.SUCCEEDED), "the rollback window has closed")
    cause = f"nobody answered at {gate} in time"
    return end(replace(leave(state.with_step(StepStatus.FAILED)), cause=cause), Status.EXPIRED)


def _plan_changed(state: State, event: PlanChanged, gate: str) -> Decision:
    """Back to the approval gate; only before Deploy was pressed, later the frozen plan runs."""
    if gate not in BEFORE_DEPLOY:
        return Decision(state)
    steps = tuple(_asked_again(step) for step in state.steps)
    notice = Notice("void", (To.INITIATOR, To.APPROVERS))
    return Decision(replace(state, steps=steps, status=Status.QUEUED), (notice,), f"approval void: {event.reason}")


def _asked_again(step: Step) -> Step:
    # An approval that break glass replaced stays out of it: only Deploy is to be pressed on the new plan.
    behind = step.kind not in BEFORE_DEPLOY or step.status is StepStatus.SKIPPED
    return step if behind else replace(step, status=StepStatus.PENDING)
