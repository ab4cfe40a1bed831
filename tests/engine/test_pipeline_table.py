"""Every state that a release can reach, searched to the end, and what must hold in each; and the committed table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import pytest

from deploynaut.engine.pipeline import (
    AbortAsked,
    Claimed,
    DeadlinePassed,
    Decision,
    EscalationDue,
    Event,
    GateOpened,
    GateRefused,
    Interrupted,
    Mark,
    Next,
    NotAllowed,
    PlanChanged,
    Reached,
    RollbackAsked,
    State,
    Status,
    StepStatus,
    TaskFailed,
    TaskStopped,
    TaskSucceeded,
    WindowExtended,
    decide,
    next_act,
)
from tests.engine.pipeline_moments import EVENTS, FILE, MARKS_OF, PRODUCTION, UAT, begun, table

BEFORE_DEPLOY = ("approval", "confirm")
UNTOUCHED_ENDS = (Status.REJECTED, Status.EXPIRED)
MORE: tuple[Event, ...] = (
    GateRefused("rollback_window", "Mia", "no"),
    *(EscalationDue(gate) for gate in ("confirm", "rollback_window")),
    *(WindowExtended(gate, "Rob", "looking") for gate in ("approval", "confirm")),
)


def test_the_table_is_as_committed_and_read() -> None:
    assert FILE.read_text("utf-8") == table(), "run python -m tests.engine.pipeline_moments and read the difference"


# --- the search ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """One event in one state, and what it led to; `decision` None: it was refused."""

    before: State
    event: Event
    decision: Decision | None

    @property
    def now(self) -> State:
        return self.decision.state if self.decision else self.before

    def __str__(self) -> str:
        return f"{self.event} at {self.before.status}/{self.before.current}, marks {sorted(self.before.marks)}"


def starts() -> dict[str, State]:
    found = {}
    for first in (False, True):
        for up in (False, True):
            words = f"{', first' if first else ''}{', in maintenance before' if up else ''}"
            found[f"uat{words}"] = begun(UAT, first=first, screen_was_up=up)
            found[f"production{words}"] = begun(PRODUCTION, first=first, screen_was_up=up)
    found["production, glass broken"] = begun(PRODUCTION, glass=True)
    return found


def events(state: State) -> Iterator[Event]:
    """All there are; a step is done when its marks are reached, each in its turn (without a migration one less)."""
    ahead = _marks_ahead(state)
    yield from (event for event in EVENTS.values() if not (ahead and isinstance(event, TaskSucceeded)))
    yield from MORE
    yield from map(Reached, ahead[: 2 if ahead[:1] == [Mark.MIGRATING] else 1])


def _marks_ahead(state: State) -> list[Mark]:
    step = state.current
    if step is None or step.status is not StepStatus.RUNNING or step.back:
        return []
    return [mark for mark in MARKS_OF.get(step.kind, ()) if mark > (state.mark or 0)]


def plain(state: State) -> State:
    """Without the words that change nothing, so that the search ends."""
    return replace(state, cause="x" if state.cause else "")


@cache
def moves(name: str) -> tuple[Move, ...]:
    """Every event in every state that can be reached from this start."""
    start = starts()[name]
    seen, todo, found = {start}, [start], []
    while todo:
        state = todo.pop()
        for event in events(state):
            try:
                found.append(Move(state, event, decide(state, event)))
            except NotAllowed as refused:
                assert str(refused)
                found.append(Move(state, event, None))
            after = plain(found[-1].now)
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return tuple(found)


@cache
def states(name: str) -> set[State]:
    """Those the search came through."""
    return {move.before for move in moves(name)}


def broken(name: str, rule: Callable[[Move], bool]) -> list[str]:
    return [str(move) for move in moves(name) if not rule(move)][:5]


every_start = pytest.mark.parametrize("name", starts())


@every_start
def test_the_search_reaches_every_end_there_is(name: str) -> None:
    ends = {state.status for state in states(name) if state.status.ended}
    never = set() if name.startswith("production") else set(UNTOUCHED_ENDS)
    never |= {Status.ROLLED_BACK} if "first" in name or "maintenance" in name else set()
    never |= {Status.FAILED} if "maintenance" in name else set()
    assert ends == {status for status in Status if status.ended} - never
    assert len(states(name)) > 100


# --- ends ------------------------------------------------------------------------------------------------------------


@every_start
def test_no_end_is_left_and_nobody_hears_of_it_twice(name: str) -> None:
    def rule(move: Move) -> bool:
        ended = move.before.status.ended
        return not ended or (move.now == move.before and not (move.decision and move.decision.notices))

    assert not broken(name, rule)


@every_start
def test_each_end_is_told_once_and_nothing_else_is_called_an_end(name: str) -> None:
    ends = {str(status) for status in Status if status.ended}

    def rule(move: Move) -> bool:
        told = Counter(notice.event for notice in move.decision.notices) if move.decision else Counter[str]()
        ending = move.now.status.ended and not move.before.status.ended
        return {event: count for event, count in told.items() if event in ends} == (
            {str(move.now.status): 1} if ending else {}
        )

    assert not broken(name, rule)


@every_start
def test_an_end_leaves_no_tile_open(name: str) -> None:
    behind = {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.STOPPED, StepStatus.SKIPPED}
    for state in states(name):
        assert (state.current is None) == ({step.status for step in state.steps} <= behind)
        if state.status.ended:
            assert state.current is None and next_act(state) is Next.NOTHING


@every_start
def test_success_comes_after_every_step_and_without_a_way_back(name: str) -> None:
    for state in states(name):
        if state.status is Status.SUCCEEDED:
            words = {step.status for step in state.steps if (step.kind, step.status) != ("approval", "skipped")}
            assert words == {StepStatus.SUCCEEDED} and not any(step.back for step in state.steps)


@every_start
def test_what_touched_the_site_is_released_or_put_back_or_known_to_be_broken(name: str) -> None:
    for state in states(name):
        if state.status.ended and state.touched:
            fine = {Status.SUCCEEDED, Status.ROLLED_BACK, Status.ROLLBACK_FAILED}
            assert state.status in (fine | {Status.FAILED} if state.first else fine)
        if state.status in UNTOUCHED_ENDS:
            assert not state.marks


@every_start
def test_a_site_left_in_maintenance_is_never_said_to_have_been_put_back(name: str) -> None:
    for state in states(name):
        if state.screen_was_up and state.status.ended and state.marks:
            assert state.status in (Status.SUCCEEDED, Status.ROLLBACK_FAILED, Status.ABORTED)
            assert state.status is not Status.ABORTED or not state.touched


# --- the way back ----------------------------------------------------------------------------------------------------


@every_start
def test_a_failure_once_the_site_was_touched_begins_the_way_back(name: str) -> None:
    def rule(move: Move) -> bool:
        step = move.before.current
        failed = isinstance(move.event, TaskFailed | TaskStopped) and move.decision is not None
        if not failed or not move.before.touched or step is None or step.back:
            return True
        ahead = move.now.current
        return ahead is not None and ahead.kind == "roll_back" and move.now.status is Status.ROLLING_BACK

    assert not broken(name, rule)


@every_start
def test_who_goes_back_never_goes_forward_again(name: str) -> None:
    ends = {Status.ROLLED_BACK, Status.ROLLBACK_FAILED, Status.FAILED, Status.ABORTED}

    def rule(move: Move) -> bool:
        if move.before.status is not Status.ROLLING_BACK:
            return True
        return move.now.status is Status.ROLLING_BACK or move.now.status in ends

    assert not broken(name, rule)


@every_start
def test_there_is_one_way_back_and_no_forward_tile_is_open_beside_it(name: str) -> None:
    for state in states(name):
        back = [step.kind for step in state.steps if step.back]
        assert back in ([], ["roll_back"], ["roll_back", "smoke_tests"])
        assert [step.back for step in state.steps] == sorted(step.back for step in state.steps)
        if back:
            open_ones = {StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING}
            assert not [step for step in state.steps if not step.back and step.status in open_ones]


@every_start
def test_abort_never_stops_the_way_back_and_never_renames_it(name: str) -> None:
    def rule(move: Move) -> bool:
        going = isinstance(move.event, AbortAsked) and move.before.status is Status.ROLLING_BACK
        return not going or (move.now == move.before and move.decision is not None and bool(move.decision.line))

    assert not broken(name, rule)


@every_start
def test_abort_is_heard_at_every_open_moment(name: str) -> None:
    def rule(move: Move) -> bool:
        return not isinstance(move.event, AbortAsked) or move.before.status.ended or move.decision is not None

    assert not broken(name, rule)


# --- gates -----------------------------------------------------------------------------------------------------------


@every_start
def test_the_clock_of_another_gate_changes_nothing(name: str) -> None:
    def rule(move: Move) -> bool:
        if not isinstance(move.event, DeadlinePassed | EscalationDue):
            return True
        here = move.before.current
        if here is not None and here.kind == move.event.gate:
            return True
        return move.decision is not None and move.now == move.before and not move.decision.notices

    assert not broken(name, rule)


@every_start
def test_a_click_for_another_gate_is_refused(name: str) -> None:
    def rule(move: Move) -> bool:
        if not isinstance(move.event, GateOpened | GateRefused | WindowExtended):
            return True
        here = move.before.current
        return move.decision is None or (here is not None and here.kind == move.event.gate)

    assert not broken(name, rule)


@every_start
def test_a_changed_plan_counts_before_deploy_alone_and_nobody_passes_with_the_old_approval(name: str) -> None:
    def rule(move: Move) -> bool:
        if not isinstance(move.event, PlanChanged) or move.before.status.ended:
            return True
        here, now = move.before.current, move.now.current
        if here is None or here.kind not in BEFORE_DEPLOY:
            return move.now == move.before
        first = "confirm" if "glass" in name else "approval"
        return now is not None and (now.kind, now.status) == (first, StepStatus.PENDING)

    assert not broken(name, rule)


@every_start
def test_no_work_begins_before_approval_and_deploy(name: str) -> None:
    for state in states(name):
        kinds = {step.kind: step.status for step in state.steps if not step.back}
        begun_work = [kind for kind in UAT if kinds[kind] not in (StepStatus.PENDING, StepStatus.SKIPPED)]
        if "approval" in kinds and begun_work:
            allowed = StepStatus.SKIPPED if "glass" in name else StepStatus.SUCCEEDED
            assert kinds["approval"] is allowed and kinds["confirm"] is StepStatus.SUCCEEDED
        if "glass" in name:
            assert kinds["approval"] is StepStatus.SKIPPED


@every_start
def test_steps_are_done_in_their_order_and_one_at_a_time(name: str) -> None:
    working = {StepStatus.RUNNING, StepStatus.WAITING}
    for state in states(name):
        assert len([step for step in state.steps if step.status in working]) <= 1
        seen_open = False
        for step in (step for step in state.steps if not step.back):
            assert not (seen_open and step.status is StepStatus.SUCCEEDED)
            seen_open = seen_open or step.status in (StepStatus.PENDING, *working)
        here = state.current
        if state.status is Status.WAITING:
            assert here is not None and here.is_gate
        if here is not None and here.status is StepStatus.WAITING:
            assert state.status is Status.WAITING


@every_start
def test_rollback_is_there_in_the_window_alone(name: str) -> None:
    def rule(move: Move) -> bool:
        here = move.before.current
        if not isinstance(move.event, RollbackAsked):
            return True
        return (move.decision is not None) == (here is not None and here.kind == "rollback_window")

    assert not broken(name, rule)


# --- it always ends --------------------------------------------------------------------------------------------------


@every_start
def test_from_everywhere_the_worker_and_the_clock_alone_lead_to_an_end(name: str) -> None:
    """Nobody has to click for a deployment to end: not after a kill, not after an abort, not at a gate."""
    alone = (Claimed, Interrupted, TaskSucceeded, TaskFailed, DeadlinePassed)
    ended = {state for state in states(name) if state.status.ended}
    ways = [(move.before, plain(move.now)) for move in moves(name) if isinstance(move.event, alone)]
    while True:
        more = {before for before, after in ways if after in ended} - ended
        if not more:
            break
        ended |= more
    assert states(name) == ended
