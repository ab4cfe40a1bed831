"""The moments of a production release and what may happen in each, for the committed table: `python -m
tests.engine.pipeline_moments` writes it anew. Read the difference against the decisions before you commit it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from deploynaut.engine.pipeline import (
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
    WindowExtended,
    decide,
)

FILE = Path(__file__).with_name("pipeline_table.md")
UAT = ("prepare", "backup", "release", "smoke_tests")
PRODUCTION = ("approval", "confirm", *UAT, "rollback_window")
MARKS_OF: Mapping[str, tuple[Mark, ...]] = {
    "prepare": (Mark.LAID_OUT,),
    "backup": (Mark.SCREEN, Mark.SAVED),
    "release": (Mark.MIGRATING, Mark.SWITCHING, Mark.VERIFYING, Mark.OPEN),
}
GATES = ("approval", "confirm", "rollback_window")

EVENTS: Mapping[str, Event] = {
    "a worker takes it": Claimed(),
    "its worker was killed": Interrupted(),
    "the task is done": TaskSucceeded(),
    "the task fails": TaskFailed("it failed"),
    "the task was stopped": TaskStopped("it was stopped"),
    "approved": GateOpened("approval", "Mia"),
    "rejected": GateRefused("approval", "Mia", "no"),
    "Deploy pressed": GateOpened("confirm", "Rob"),
    "refused at Deploy": GateRefused("confirm", "Deploynaut", "withdrawn"),
    "attendance taken": AttendanceTaken("Mia"),
    "the plan changed": PlanChanged("edited"),
    "the next group is due": EscalationDue("approval"),
    "approval's time is over": DeadlinePassed("approval"),
    "Deploy's time is over": DeadlinePassed("confirm"),
    "the window's time is over": DeadlinePassed("rollback_window"),
    "Dismiss": GateOpened("rollback_window", "Rob"),
    "Rollback": RollbackAsked("Rob"),
    "Rollback, code only": RollbackAsked("Rob", code_only=True),
    "the window is extended": WindowExtended("rollback_window", "Rob", "looking"),
    "Abort": AbortAsked("Rob"),
}


def begun(
    kinds: Iterable[str] = PRODUCTION, *, first: bool = False, screen_was_up: bool = False, glass: bool = False
) -> State:
    """A deployment that nobody has looked at yet; `glass`: break glass stands in for its approval."""
    steps = tuple(Step(kind) for kind in kinds)
    if glass:
        steps = (replace(steps[0], status=StepStatus.SKIPPED), *steps[1:])
    return State(steps=steps, first=first, screen_was_up=screen_was_up)


def after(state: State, *events: Event) -> State:
    """Where these events lead."""
    for event in events:
        state = decide(state, event).state
    return state


def at(kind: str, *marks: Mark, state: State | None = None) -> State:
    """In this step, running or waiting, with these marks reached in it; all before it has gone well."""
    state = state or begun()
    while state.current is not None and state.current.kind != kind:
        state = _done(state)
    return after(state, Claimed(), *map(Reached, marks))


def _done(state: State) -> State:
    assert state.current is not None
    kind = state.current.kind
    state = after(state, Claimed())
    if kind in GATES:
        return after(state, GateOpened(kind, "Rob"))
    return after(state, *map(Reached, MARKS_OF.get(kind, ())), TaskSucceeded())


def moments() -> dict[str, State]:
    """Every moment that people can tell apart, by the name that the table gives it."""
    window, failed = at("rollback_window"), TaskFailed("it failed")
    untouched = after(at("prepare", Mark.LAID_OUT), failed)
    touched = after(at("smoke_tests"), failed)
    back = after(touched, Claimed())
    return {
        "begun": begun(),
        "approval": at("approval"),
        "approved": after(at("approval"), GateOpened("approval", "Mia")),
        "confirm": at("confirm"),
        "Deploy was pressed": after(at("confirm"), GateOpened("confirm", "Rob")),
        "prepare": at("prepare", Mark.LAID_OUT),
        "prepare, abort asked": after(at("prepare", Mark.LAID_OUT), AbortAsked("Rob")),
        "backup": at("backup", Mark.SCREEN),
        "backup, abort asked": after(at("backup", Mark.SCREEN), AbortAsked("Rob")),
        "release, before any change": at("release"),
        "release, migrating": at("release", Mark.MIGRATING),
        "release, switching": at("release", Mark.MIGRATING, Mark.SWITCHING),
        "release, abort asked": after(at("release", Mark.MIGRATING), AbortAsked("Rob")),
        "smoke tests": at("smoke_tests"),
        "window": window,
        "window, extended": after(window, WindowExtended("rollback_window", "Rob", "looking")),
        "going back, untouched": after(untouched, Claimed()),
        "tests of the way back, untouched": after(untouched, Claimed(), TaskSucceeded(), Claimed()),
        "going back": back,
        "tests of the way back": after(back, TaskSucceeded(), Claimed()),
        "succeeded": after(window, GateOpened("rollback_window", "Rob")),
        "rejected": after(at("approval"), GateRefused("approval", "Mia", "no")),
        "aborted": after(at("approval"), AbortAsked("Rob")),
        "expired": after(at("approval"), DeadlinePassed("approval")),
        "failed": after(untouched, Claimed(), TaskSucceeded(), Claimed(), TaskSucceeded()),
        "rolled back": after(back, TaskSucceeded(), Claimed(), TaskSucceeded()),
        "rollback failed": after(back, failed),
    }


def word(state: State) -> str:
    """Where it stands, in a few words."""
    if state.status.ended:
        return str(state.status)
    assert state.current is not None
    step = state.current
    place = f"{'back: ' if step.back else ''}{step.kind.replace('_', ' ')}"
    asked = ", abort asked" if state.abort_by and state.status is not Status.ROLLING_BACK else ""
    return f"{'next: ' if step.status is StepStatus.PENDING else ''}{place}{asked}"


def cell(state: State, event: Event) -> str:
    """What the event does there: `refused`, `nothing`, or where it leads and who is told."""
    try:
        decision = decide(state, event)
    except NotAllowed:
        return "refused"
    return _words(state, decision)


def _words(before: State, decision: Decision) -> str:
    told = "; ".join(f"{one.event}: {', '.join(one.to)}" for one in decision.notices)
    same = decision.state == before
    if same and not told:
        return "noted" if decision.line and "asked" in decision.line else "nothing"
    return word(decision.state) + (f" ({told})" if told else "")


def table() -> str:
    """The table, one section a moment; what is refused comes last, in one line."""
    lines = [
        "# What each event does at each moment of a production release",
        "",
        "Written by `python -m tests.engine.pipeline_moments`; a test compares. `next: x`: a worker takes x",
        "next. In brackets: who is told what.",
    ]
    for name, state in moments().items():
        cells = {event: cell(state, EVENTS[event]) for event in EVENTS}
        lines += ["", f"## {name}", ""]
        lines += [f"- {event}: {words}" for event, words in cells.items() if words not in ("refused", "nothing")]
        for words in ("nothing", "refused"):
            those = [event for event, found in cells.items() if found == words]
            lines += [f"- {words}: {', '.join(those)}"] if those else []
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(table(), "utf-8")
