"""How a deployment ends, and who is told."""

from __future__ import annotations

from dataclasses import replace

from deploynaut.engine.pipeline.decision import Decision, Notice, To
from deploynaut.engine.pipeline.state import State, Status, StepStatus


def finish(state: State) -> Decision:
    """All steps are behind: which end is it?"""
    return end(state, _outcome(state))


def _outcome(state: State) -> Status:
    if not any(step.back for step in state.steps):
        return Status.SUCCEEDED
    if state.abort_by and not state.touched:
        return Status.ABORTED
    if state.screen_was_up:
        return Status.ROLLBACK_FAILED
    if state.first or not state.touched:
        return Status.FAILED
    return Status.ROLLED_BACK


_TOLD: dict[Status, tuple[To, ...]] = {
    Status.SUCCEEDED: (To.INITIATOR,),
    Status.REJECTED: (To.INITIATOR, To.APPROVERS),
    Status.EXPIRED: (To.INITIATOR, To.APPROVERS),
    Status.ABORTED: (To.INITIATOR, To.APPROVER, To.ACTOR),
    Status.FAILED: (To.INITIATOR, To.APPROVER, To.ACTOR),
    Status.ROLLED_BACK: (To.INITIATOR, To.APPROVER, To.ACTOR),
    Status.ROLLBACK_FAILED: (To.OPS, To.INITIATOR),
}


def end(state: State, status: Status) -> Decision:
    """This end, with whoever is to hear of it."""
    to = _TOLD[status]
    if status is Status.FAILED and state.first and state.screened:
        to = (*to, To.OPS)
    line = f"ended: {status}" + (f" ({state.cause})" if state.cause else "")
    return Decision(replace(leave(state), status=status), (Notice(str(status), to),), line)


def leave(state: State) -> State:
    """What was still to come is out of the question."""
    pending = (StepStatus.PENDING, StepStatus.WAITING)
    steps = tuple(replace(s, status=StepStatus.SKIPPED) if s.status in pending else s for s in state.steps)
    return replace(state, steps=steps)
