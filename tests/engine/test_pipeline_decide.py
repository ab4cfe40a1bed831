"""How one state of a deployment leads to the next: the stories, the abort table, and what holds for every event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploynaut.engine.pipeline import (
    GATES,
    AbortAsked,
    AttendanceTaken,
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
    Step,
    StepStatus,
    TaskFailed,
    TaskStopped,
    TaskSucceeded,
    To,
    WindowExtended,
    decide,
    next_act,
)

UAT = ("prepare", "backup", "release", "smoke_tests")
PRODUCTION = ("approval", "confirm", *UAT, "rollback_window")
MARKS_OF = {
    "prepare": (Mark.LAID_OUT,),
    "backup": (Mark.SCREEN, Mark.SAVED),
    "release": (Mark.MIGRATING, Mark.SWITCHING, Mark.VERIFYING, Mark.OPEN),
}


def a_deployment(*kinds: str, first: bool = False, screen_was_up: bool = False) -> State:
    steps = tuple(Step(kind) for kind in kinds or PRODUCTION)
    return State(steps=steps, first=first, screen_was_up=screen_was_up)


def play(state: State, events: Iterable[Event]) -> tuple[State, list[Decision]]:
    decisions = []
    for event in events:
        decisions.append(decide(state, event))
        state = decisions[-1].state
    return state, decisions


def after(state: State, *events: Event) -> State:
    return play(state, events)[0]


def through(state: State, kind: str) -> State:
    """The state when everything before `kind` has gone well and `kind` is in hand."""
    while state.current is not None and state.current.kind != kind:
        state = done(state)
    return state


def done(state: State) -> State:
    """The step in hand goes well."""
    assert state.current is not None
    kind = state.current.kind
    state = after(state, Claimed())
    if kind in GATES:
        return after(state, GateOpened(kind, by="Rob"))
    return after(state, *(Reached(mark) for mark in MARKS_OF.get(kind, ())), TaskSucceeded())


def at(kind: str, *marks: Mark, kinds: tuple[str, ...] = PRODUCTION, **facts: bool) -> State:
    """A deployment in `kind`, running or waiting, with these marks reached in it."""
    return after(through(a_deployment(*kinds, **facts), kind), Claimed(), *(Reached(mark) for mark in marks))


def finish(state: State) -> State:
    """Everything from here on goes well."""
    while not state.status.ended:
        state = done(state)
    return state


def tiles(state: State) -> list[tuple[str, str]]:
    return [(step.kind, str(step.status)) for step in state.steps]


def told(decision: Decision) -> dict[str, set[To]]:
    return {notice.event: set(notice.to) for notice in decision.notices}


# --- the stories -----------------------------------------------------------------------------------------------------


def test_a_good_release_to_uat_ends_with_success_and_the_initiator_is_told() -> None:
    state = at("smoke_tests", kinds=UAT)
    decision = decide(state, TaskSucceeded())
    assert decision.state.status is Status.SUCCEEDED
    assert told(decision) == {"succeeded": {To.INITIATOR}}


def test_production_waits_for_approval_then_for_deploy_then_for_the_window() -> None:
    state, decisions = play(
        a_deployment(),
        [Claimed(), GateOpened("approval", "Mia"), Claimed(), GateOpened("confirm", "Rob")],
    )
    assert [decision.state.status for decision in decisions] == ["waiting", "queued", "waiting", "queued"]
    assert told(decisions[0]) == {"approval asked": {To.APPROVERS, To.INITIATOR}}
    assert told(decisions[1]) == {"approved": {To.INITIATOR, To.APPROVERS}}
    state = through(state, "rollback_window")
    opened = decide(state, Claimed())
    assert opened.state.status is Status.WAITING
    assert told(opened) == {"window open": {To.INITIATOR}}
    assert decide(opened.state, DeadlinePassed("rollback_window")).state.status is Status.SUCCEEDED
    assert decide(opened.state, GateOpened("rollback_window", "Rob")).state.status is Status.SUCCEEDED


def test_a_gate_looked_at_again_asks_nobody_again() -> None:
    assert decide(at("approval"), Claimed()).notices == ()


def test_a_rejection_ends_it_and_leaves_the_site_alone() -> None:
    decision = decide(at("approval"), GateRefused("approval", by="Mia", reason="not on a Friday"))
    assert decision.state.status is Status.REJECTED
    assert decision.state.cause == "not on a Friday"
    assert {status for _, status in tiles(decision.state)} == {"failed", "skipped"}


@pytest.mark.parametrize("gate", ["approval", "confirm"])
def test_a_gate_that_nobody_answers_expires(gate: str) -> None:
    assert decide(at(gate), DeadlinePassed(gate)).state.status is Status.EXPIRED


def test_a_failed_smoke_test_brings_the_old_release_back() -> None:
    state, decisions = play(at("smoke_tests", kinds=UAT), [TaskFailed("/search answered 500"), Claimed()])
    assert tiles(state)[-3:] == [("smoke_tests", "failed"), ("roll_back", "running"), ("smoke_tests", "pending")]
    assert state.status is Status.ROLLING_BACK
    assert told(decisions[1]) == {"rollback begun": {To.INITIATOR, To.APPROVER}}
    last = decide(after(state, TaskSucceeded(), Claimed()), TaskSucceeded())
    assert last.state.status is Status.ROLLED_BACK
    assert told(last) == {"rolled back": {To.INITIATOR, To.APPROVER, To.ACTOR}}
    assert last.state.cause == "/search answered 500"


@pytest.mark.parametrize("step", ["roll_back", "smoke_tests"])
def test_a_way_back_that_fails_is_told_to_ops(step: str) -> None:
    going_back = after(at("smoke_tests", kinds=UAT), TaskFailed("/search answered 500"))
    decision = decide(after(through(going_back, step), Claimed()), TaskFailed("web1 does not answer"))
    assert decision.state.status is Status.ROLLBACK_FAILED
    assert told(decision) == {"rollback failed": {To.OPS, To.INITIATOR}}
    assert decision.state.cause == "/search answered 500"


def test_a_failure_before_the_site_changed_ends_as_failed_after_the_tests() -> None:
    state = after(at("prepare", Mark.LAID_OUT, kinds=UAT), TaskFailed("no room on web1"))
    assert [(step.kind, step.back) for step in state.steps[-2:]] == [("roll_back", True), ("smoke_tests", True)]
    assert decide(state, Claimed()).notices == ()
    assert finish(state).status is Status.FAILED


def test_an_untouched_site_that_fails_its_tests_is_told_to_ops_without_a_screen() -> None:
    state = after(at("prepare", kinds=UAT), TaskFailed("no room on web1"))
    decision = decide(after(through(state, "smoke_tests"), Claimed()), TaskFailed("/ answered 500"))
    assert decision.state.status is Status.FAILED
    assert told(decision)["site fails untouched"] == {To.OPS}


def test_a_first_deployment_that_fails_goes_back_to_the_screen_alone() -> None:
    state = after(at("release", Mark.MIGRATING, kinds=UAT, first=True), TaskFailed("migration failed"))
    assert [step.kind for step in state.steps if step.back] == ["roll_back"]
    decision = decide(after(state, Claimed()), TaskSucceeded())
    assert decision.state.status is Status.FAILED
    assert told(decision) == {"failed": {To.INITIATOR, To.APPROVER, To.ACTOR, To.OPS}}


def test_a_failure_on_a_site_in_maintenance_always_ends_rollback_failed() -> None:
    state = after(at("prepare", kinds=UAT, screen_was_up=True), TaskFailed("no room on web1"))
    assert finish(state).status is Status.ROLLBACK_FAILED
    assert finish(at("prepare", kinds=UAT, screen_was_up=True)).status is Status.SUCCEEDED


def test_rollback_in_the_window_takes_code_and_database_back() -> None:
    state = after(at("rollback_window"), RollbackAsked("Rob"))
    assert tiles(state)[-3:] == [("rollback_window", "stopped"), ("roll_back", "pending"), ("smoke_tests", "pending")]
    assert (state.rollback_by, state.code_only) == ("Rob", False)
    assert finish(state).status is Status.ROLLED_BACK
    assert after(at("rollback_window"), RollbackAsked("Rob", code_only=True)).code_only


def test_rollback_is_offered_in_the_window_alone() -> None:
    for elsewhere in (at("approval"), at("release"), after(at("rollback_window"), RollbackAsked("Rob"))):
        with pytest.raises(NotAllowed):
            decide(elsewhere, RollbackAsked("Rob"))


@pytest.mark.parametrize("gate", ["approval", "confirm"])
def test_a_changed_plan_goes_back_to_its_approval(gate: str) -> None:
    decision = decide(at(gate), PlanChanged("the smoke tests were edited"))
    assert decision.state.current == Step("approval")
    assert told(decision) == {"void": {To.INITIATOR, To.APPROVERS}}
    assert told(decide(decision.state, Claimed())) == {"approval asked": {To.APPROVERS, To.INITIATOR}}


@pytest.mark.parametrize("kind", ["prepare", "release", "rollback_window"])
def test_from_deploy_on_the_frozen_plan_runs(kind: str) -> None:
    state = at(kind)
    assert decide(state, PlanChanged("the smoke tests were edited")).state == state


def test_the_window_can_be_made_longer_once() -> None:
    longer = after(at("rollback_window"), WindowExtended("rollback_window", by="Rob", reason="still looking"))
    assert longer.extended
    with pytest.raises(NotAllowed):
        decide(longer, WindowExtended("rollback_window", by="Rob", reason="still looking"))


def test_a_manager_takes_over_attendance_at_confirm() -> None:
    assert "Mia attends" in decide(at("confirm"), AttendanceTaken("Mia")).line
    with pytest.raises(NotAllowed):
        decide(at("approval"), AttendanceTaken("Mia"))


def test_escalation_asks_the_next_group() -> None:
    assert told(decide(at("approval"), EscalationDue("approval"))) == {"approval asked": {To.APPROVERS}}
    assert decide(at("confirm"), EscalationDue("confirm")).notices == ()


def test_a_check_that_fails_just_fails() -> None:
    state = replace(a_deployment("fetch"), undoable=False)
    assert after(state, Claimed(), TaskFailed("no such host")).status is Status.FAILED
    assert after(state, Claimed(), AbortAsked("Rob"), TaskStopped("aborted")).status is Status.ABORTED


# --- interruptions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "marks", "status", "current"),
    [
        ("prepare", (), Status.RUNNING, "prepare"),
        ("prepare", (Mark.LAID_OUT,), Status.RUNNING, "prepare"),
        ("backup", (Mark.SCREEN,), Status.RUNNING, "backup"),
        ("backup", (Mark.SCREEN, Mark.SAVED), Status.RUNNING, "backup"),
        ("release", (), Status.RUNNING, "release"),
        ("release", (Mark.MIGRATING,), Status.ROLLING_BACK, "roll_back"),
        ("release", (Mark.MIGRATING, Mark.SWITCHING), Status.RUNNING, "release"),
        ("release", (Mark.SWITCHING, Mark.VERIFYING), Status.RUNNING, "release"),
        ("release", (Mark.SWITCHING, Mark.VERIFYING, Mark.OPEN), Status.RUNNING, "release"),
        ("smoke_tests", (), Status.RUNNING, "smoke_tests"),
    ],
)
@pytest.mark.parametrize("event", [Interrupted(), Claimed()])
def test_what_an_interruption_means_belongs_to_the_mark(
    kind: str, marks: tuple[Mark, ...], status: Status, current: str, event: Event
) -> None:
    state = after(at(kind, *marks), event)
    assert state.current is not None
    assert (state.status, state.current.kind) == (status, current)


def test_an_interrupted_way_back_goes_on() -> None:
    state = after(at("smoke_tests"), TaskFailed("/ answered 500"), Claimed(), Interrupted())
    assert (state.status, state.current) == (Status.ROLLING_BACK, Step("roll_back", StepStatus.RUNNING, back=True))


# --- abort, by moment: the table of the decisions, row by row ---------------------------------------------------------


@pytest.mark.parametrize("gate", ["approval", "confirm"])
def test_abort_while_waiting_leaves_the_site_untouched(gate: str) -> None:
    decision = decide(at(gate), AbortAsked("Rob"))
    assert decision.state.status is Status.ABORTED
    assert told(decision) == {"aborted": {To.INITIATOR, To.APPROVER, To.ACTOR}}
    assert not any(step.back for step in decision.state.steps)


ABORTS = [
    ("prepare", (), ["roll_back"], Status.ABORTED),
    ("prepare", (Mark.LAID_OUT,), ["roll_back"], Status.ABORTED),
    ("backup", (Mark.SCREEN,), ["roll_back"], Status.ABORTED),
    ("backup", (Mark.SCREEN, Mark.SAVED), ["roll_back"], Status.ABORTED),
    ("release", (), ["roll_back"], Status.ABORTED),
    ("release", (Mark.MIGRATING,), ["roll_back", "smoke_tests"], Status.ROLLED_BACK),
    ("release", (Mark.MIGRATING, Mark.SWITCHING), ["roll_back", "smoke_tests"], Status.ROLLED_BACK),
    ("smoke_tests", (), ["roll_back", "smoke_tests"], Status.ROLLED_BACK),
]


@pytest.mark.parametrize("answer", [TaskStopped("aborted by Rob"), TaskSucceeded(), TaskFailed("cut off")])
@pytest.mark.parametrize(("kind", "marks", "back", "outcome"), ABORTS)
def test_abort_in_a_task_waits_for_its_answer(
    kind: str, marks: tuple[Mark, ...], back: list[str], outcome: Status, answer: Event
) -> None:
    asked = after(at(kind, *marks), AbortAsked("Rob"))
    assert asked.status is Status.RUNNING
    state = after(asked, answer)
    assert [step.kind for step in state.steps if step.back] == back
    ended = finish(state)
    assert (ended.status, ended.abort_by, ended.cause) == (outcome, "Rob", "aborted by Rob")


def test_abort_in_the_window_is_the_same_as_rollback() -> None:
    assert finish(after(at("rollback_window"), AbortAsked("Rob"))).status is Status.ROLLED_BACK


def test_abort_between_two_tasks_goes_back_too() -> None:
    assert finish(after(through(a_deployment(), "release"), AbortAsked("Rob"))).status is Status.ABORTED


def test_abort_during_the_way_back_changes_nothing_but_the_log() -> None:
    back = after(at("prepare", Mark.LAID_OUT), TaskFailed("no room on web1"), Claimed())
    decision = decide(back, AbortAsked("Rob"))
    assert decision.state == back
    assert "already going back; it will be finished" in decision.line
    assert finish(decision.state).status is Status.FAILED


# --- what holds for every event ---------------------------------------------------------------------------------------

NAMES = ("", "approval", "confirm", "rollback_window")
EVENTS: tuple[Event, ...] = (
    Claimed(),
    Interrupted(),
    *(Reached(mark) for mark in Mark),
    TaskSucceeded(),
    TaskFailed("it failed"),
    TaskStopped("it was stopped"),
    *(GateOpened(name, "Rob") for name in NAMES),
    *(GateRefused(name, "Mia", "no") for name in NAMES),
    *(EscalationDue(name) for name in NAMES),
    *(DeadlinePassed(name) for name in NAMES),
    PlanChanged("edited"),
    AttendanceTaken("Mia"),
    *(WindowExtended(name, "Rob", "looking") for name in NAMES),
    RollbackAsked("Rob"),
    RollbackAsked("Rob", code_only=True),
    AbortAsked("Rob"),
)
PIPELINES = st.sampled_from([UAT, PRODUCTION])
STATES = st.builds(
    lambda kinds, first, up: a_deployment(*kinds, first=first, screen_was_up=up),
    PIPELINES,
    st.booleans(),
    st.booleans(),
)
STORIES = st.lists(st.sampled_from(EVENTS), max_size=40)


def reached(state: State, story: list[Event]) -> State:
    """Where a story leads: events that are not allowed are answered and change nothing."""
    for event in story:
        try:
            state = decide(state, event).state
        except NotAllowed as refused:
            assert str(refused)
    return state


def every_state() -> list[State]:
    states = [at(kind, kinds=PRODUCTION) for kind in PRODUCTION]
    states += [through(a_deployment(), kind) for kind in PRODUCTION]
    states += [after(at("smoke_tests"), TaskFailed("500")), after(at("smoke_tests"), TaskFailed("500"), Claimed())]
    states += [
        finish(a_deployment()),
        after(at("approval"), GateRefused("approval", "Mia", "no")),
        after(at("approval"), AbortAsked("Rob")),
        after(at("approval"), DeadlinePassed("approval")),
        finish(after(at("prepare"), TaskFailed("no room"))),
        finish(after(at("smoke_tests"), TaskFailed("500"))),
        after(at("smoke_tests"), TaskFailed("500"), Claimed(), TaskFailed("gone")),
    ]
    return states


def test_every_status_is_played_with_every_event() -> None:
    states = every_state()
    assert {state.status for state in states} == set(Status)
    for state in states:
        for event in EVENTS:
            try:
                assert isinstance(decide(state, event), Decision)
            except NotAllowed as refused:
                assert str(refused)


@settings(max_examples=400, deadline=None)
@given(STATES, STORIES, st.sampled_from(EVENTS))
def test_no_event_moves_an_ended_deployment(state: State, story: list[Event], late: Event) -> None:
    state = reached(state, story)
    if state.status.ended:
        assert reached(state, [late]) == state
        assert next_act(state) is Next.NOTHING


@settings(max_examples=400, deadline=None)
@given(STATES, STORIES)
def test_every_open_status_has_a_way_out(state: State, story: list[Event]) -> None:
    state = reached(state, story)
    for _ in range(30):
        if state.status.ended:
            return
        assert next_act(state) is not Next.NOTHING
        state = done(state)
    pytest.fail(f"still {state.status} at {state.current}")


@settings(max_examples=400, deadline=None)
@given(STATES, STORIES)
def test_every_open_deployment_can_be_aborted_or_is_going_back(state: State, story: list[Event]) -> None:
    state = reached(state, story)
    if not state.status.ended:
        asked = decide(state, AbortAsked("Rob")).state
        assert asked.abort_by or asked.status is Status.ROLLING_BACK


LATE = (GateOpened, GateRefused, EscalationDue, DeadlinePassed, WindowExtended)


@settings(max_examples=400, deadline=None)
@given(STATES, STORIES, st.sampled_from([event for event in EVENTS if isinstance(event, LATE)]))
def test_a_late_event_for_another_gate_changes_nothing(state: State, story: list[Event], late: Event) -> None:
    state = reached(state, story)
    assert isinstance(late, LATE)
    if state.current is None or state.current.kind != late.gate:
        assert reached(state, [late]) == state


@settings(max_examples=400, deadline=None)
@given(STATES, STORIES)
def test_success_needs_every_step_and_no_way_back(state: State, story: list[Event]) -> None:
    state = reached(state, story)
    if state.status is Status.SUCCEEDED:
        assert {step.status for step in state.steps} == {StepStatus.SUCCEEDED}
        assert not any(step.back for step in state.steps)


@settings(max_examples=400, deadline=None)
@given(STATES, STORIES)
def test_a_touched_site_never_ends_as_if_nothing_had_been(state: State, story: list[Event]) -> None:
    state = reached(state, story)
    if state.status.ended and state.touched and not state.first:
        assert state.status in (Status.SUCCEEDED, Status.ROLLED_BACK, Status.ROLLBACK_FAILED)


@settings(max_examples=400, deadline=None)
@given(STATES, STORIES, st.sampled_from(EVENTS))
def test_marks_are_never_taken_back(state: State, story: list[Event], event: Event) -> None:
    state = reached(state, story)
    assert reached(state, [event]).marks >= state.marks
