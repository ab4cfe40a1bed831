"""Runs: rows become values and values rows, under a fence token, whoever dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError

from deploynaut.durable import port
from deploynaut.durable.inline import InlineEngine
from deploynaut.engine.connections.base import fenced
from deploynaut.engine.pipeline import (
    AbortAsked,
    Claimed,
    Decision,
    Event,
    GateOpened,
    Mark,
    NotAllowed,
    State,
    Status,
    StepStatus,
)
from deploynaut.engine.steps.base import FencedOff, StepFailed, StepResult, StepTimedOut
from deploynaut.runs import subjects
from deploynaut.runs.log_text import clean
from deploynaut.runs.logs import LogSink
from deploynaut.runs.masking import Mask, forms
from deploynaut.runs.models import Held, Hold, LogChunk, Run, StepRun
from deploynaut.runs.runner import ATTEMPTS, advance
from deploynaut.runs.watch import Watch

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Scripted:
    """A subject whose tasks are given by the test, and which remembers what it heard."""

    def __init__(self) -> None:
        self.tasks: dict[str, Callable[[subjects.Work], StepResult]] = {}
        self.heard_of: list[Decision] = []

    def limit(self, run: Run, step: StepRun) -> timedelta:
        return timedelta(minutes=1)

    def opens(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        return now + timedelta(hours=1)

    def escalates(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        return None

    def objection(self, run: Run, step: StepRun, *, now: datetime) -> Event | None:
        return None

    def perform(self, run: Run, step: StepRun, work: subjects.Work) -> StepResult:
        task = self.tasks.get(step.kind)
        return task(work) if task else StepResult(f"{step.kind} done")

    def heard(self, run: Run, event: Event, decision: Decision, *, now: datetime) -> None:
        self.heard_of.append(decision)


@pytest.fixture
def subject() -> Iterator[Scripted]:
    scripted = Scripted()
    subjects.register("scripted", scripted)
    with port.using(InlineEngine(now=NOON)):
        yield scripted


def begin(*steps: str, undoable: bool = True) -> Run:
    return Run.objects.begin(
        kind="scripted", subject_id=1, title="acme/uat #1", lock_key="environment:1", steps=steps, now=NOON,
        undoable=undoable,
    )  # fmt: skip


def moved(run: Run) -> Run:
    advance(run.pk, clock=lambda: NOON)
    run.refresh_from_db()
    return run


def test_a_run_goes_through_its_steps_and_gives_the_lock_back(subject: Scripted) -> None:
    subject.tasks["prepare"] = lambda work: StepResult("2 hosts", {"digest": "abc"})
    run = moved(begin("prepare", "release"))
    assert run.status == Status.SUCCEEDED
    assert run.facts() == {"prepare": {"digest": "abc"}}
    assert [step.summary for step in run.steps.all()] == ["2 hosts", "release done"]
    assert Hold.objects.get(key="environment:1").run is None


def test_a_failed_task_appends_the_tiles_of_the_way_back(subject: Scripted) -> None:
    def fail(work: subjects.Work) -> StepResult:
        work.mark(Mark.MIGRATING)
        raise StepFailed("The migration failed.")

    subject.tasks["release"] = fail
    run = moved(begin("prepare", "release", "smoke_tests"))
    assert run.status == Status.ROLLED_BACK
    assert [(s.kind, s.back, s.status) for s in run.steps.all()] == [
        ("prepare", False, StepStatus.SUCCEEDED),
        ("release", False, StepStatus.FAILED),
        ("smoke_tests", False, StepStatus.SKIPPED),
        ("roll_back", True, StepStatus.SUCCEEDED),
        ("smoke_tests", True, StepStatus.SUCCEEDED),
    ]
    assert run.steps.get(position=1).error == "The migration failed."


def test_an_unforeseen_error_gives_the_person_a_number_and_no_trace(subject: Scripted) -> None:
    def burst(work: subjects.Work) -> StepResult:
        raise ZeroDivisionError("secret detail")

    subject.tasks["fetch"] = burst
    run = moved(begin("fetch", undoable=False))
    error = run.steps.get().error
    assert run.status == Status.FAILED
    assert error.startswith("Internal error ") and "secret detail" not in error
    assert "secret detail" not in "".join(LogChunk.objects.values_list("text", flat=True))


def test_after_an_old_copy_was_restored_the_token_goes_above_the_targets(subject: Scripted) -> None:
    """Each look would else be refused, and only one number better than the one before."""

    def refused(work: subjects.Work) -> StepResult:
        if work.token <= 57:
            raise fenced(host="web1", newest=57, token=work.token)
        return StepResult("done")

    subject.tasks["prepare"] = refused
    run = moved(begin("prepare"))
    assert run.status == Status.RUNNING and list(Run.objects.get_queryset().movable(now=NOON))
    assert moved(run).status == Status.SUCCEEDED and run.token == 58
    assert "an old copy" in "".join(LogChunk.objects.values_list("text", flat=True))


def test_a_worker_that_was_taken_over_does_not_raise_the_token(subject: Scripted) -> None:
    def taken(work: subjects.Work) -> StepResult:
        Run.objects.take(run.pk, now=NOON)
        raise fenced(host="web1", newest=work.token + 1, token=work.token)

    subject.tasks["prepare"] = taken
    run = begin("prepare")
    moved(run)
    assert Hold.objects.get(key="environment:1").token == run.token == 2


def test_an_unforeseen_error_says_first_what_its_step_did_about_the_site(subject: Scripted) -> None:
    def burst(work: subjects.Work) -> StepResult:
        fault = ZeroDivisionError("secret detail")
        fault.add_note("The maintenance screen is up.")
        raise fault

    subject.tasks["fetch"] = burst
    assert moved(begin("fetch", undoable=False)).cause.startswith("The maintenance screen is up. Internal error ")


def test_a_worker_with_an_older_token_changes_nothing(subject: Scripted) -> None:
    run = begin("prepare")
    first = Run.objects.take(run.pk, now=NOON)
    second = Run.objects.take(run.pk, now=NOON)
    assert first and second and second.token == first.token + 1
    with pytest.raises(FencedOff):
        run.apply(Claimed(), token=first.token, now=NOON)
    run.refresh_from_db()
    assert run.status == Status.QUEUED


def test_a_step_found_running_is_taken_over_and_done_again(subject: Scripted) -> None:
    run = begin("prepare")
    taken = Run.objects.take(run.pk, now=NOON)
    assert taken
    run.apply(Claimed(), token=taken.token, now=NOON)
    assert moved(run).status == Status.SUCCEEDED
    assert "taken over" in "".join(LogChunk.objects.values_list("text", flat=True))


def test_a_migration_that_was_cut_off_is_not_repeated(subject: Scripted) -> None:
    run = begin("release")
    taken = Run.objects.take(run.pk, now=NOON)
    assert taken
    run.apply(Claimed(), token=taken.token, now=NOON)
    run.reach(Mark.MIGRATING, token=taken.token, now=NOON)
    assert moved(run).status == Status.ROLLED_BACK


def test_the_lock_of_an_open_run_is_not_given_to_another(subject: Scripted) -> None:
    first, second = begin("prepare"), begin("prepare")
    Run.objects.take(first.pk, now=NOON)
    with pytest.raises(Held):
        Run.objects.take(second.pk, now=NOON)


def test_an_abort_during_a_task_ends_its_work_and_goes_back(subject: Scripted) -> None:
    begun = threading.Event()

    def slow(work: subjects.Work) -> StepResult:
        begun.set()
        for _ in range(400):
            work.guard()
            threading.Event().wait(0.05)
        return StepResult("never")

    subject.tasks["prepare"] = slow
    run = begin("prepare", "release")
    worker = threading.Thread(target=advance, args=(run.pk,))
    worker.start()
    assert begun.wait(10)
    run.apply(AbortAsked(by="Mia"), now=NOON)
    worker.join(20)
    run.refresh_from_db()
    assert run.status == Status.ABORTED
    assert run.steps.get(position=0).status == StepStatus.STOPPED


def test_an_ended_run_refuses_every_wish(subject: Scripted) -> None:
    run = moved(begin("prepare"))
    with pytest.raises(NotAllowed):
        run.apply(AbortAsked(by="Mia"), now=NOON)


def test_a_gate_waits_as_a_row_and_closes_at_its_deadline(subject: Scripted) -> None:
    run = moved(begin("approval", "prepare"))
    assert run.status == Status.WAITING
    assert Hold.objects.get(key="environment:1").run is None
    advance(run.pk, clock=lambda: NOON + timedelta(hours=2))
    run.refresh_from_db()
    assert run.status == Status.EXPIRED


def test_a_deadline_that_has_passed_is_found_by_the_reconciler(subject: Scripted) -> None:
    run = moved(begin("approval"))
    movable = Run.objects.get_queryset().movable
    assert not list(movable(now=NOON))
    assert list(movable(now=NOON + timedelta(hours=2))) == [(run.pk, "environment:1")]


def test_a_gate_that_could_not_be_written_whole_is_opened_again(
    subject: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting without a deadline would be for ever: nobody looks at it, and it keeps the lock."""
    run = begin("approval", "prepare")

    def busy(*_: object, **__: object) -> datetime:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched, pytest.raises(OperationalError):
        patched.setattr(subject, "opens", busy)
        advance(run.pk, clock=lambda: NOON)
    assert list(Run.objects.get_queryset().movable(now=NOON)) == [(run.pk, "environment:1")]
    assert moved(run).status == Status.WAITING
    assert run.steps.get(position=0).deadline == NOON + timedelta(hours=1)
    assert Hold.objects.get(key="environment:1").run is None


def test_a_click_while_a_worker_comes_to_a_gate_is_no_accident(
    subject: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate that the worker has just read is behind; it goes on with the task that is next now."""
    run = moved(begin("approval", "prepare"))
    read = Run.state

    def read_then_clicked(self: Run) -> State:
        state = read(self)
        monkeypatch.setattr(Run, "state", read)
        self.apply(GateOpened("approval", by="Mia"), now=NOON)
        return state

    monkeypatch.setattr(Run, "state", read_then_clicked)
    assert moved(run).status == Status.SUCCEEDED
    assert "worker died" not in "".join(LogChunk.objects.values_list("text", flat=True))
    assert run.steps.get(position=1).deadline is None


def test_a_worker_that_was_overtaken_does_not_give_back_the_lock_of_the_other(subject: Scripted) -> None:
    run = begin("prepare")
    old = Run.objects.take(run.pk, now=NOON)
    new = Run.objects.take(run.pk, now=NOON)
    assert old and new
    token = old.token
    old.refresh_from_db()
    old.release(token=token)
    assert Hold.objects.get(key="environment:1").run == run


def test_an_answer_is_written_though_the_connections_cannot_be_closed(subject: Scripted) -> None:
    def fail(work: subjects.Work) -> StepResult:
        work.session.keep("hosts", lambda stack: stack.callback(burst))
        raise StepFailed("The disk is full.")

    def burst() -> None:
        raise OSError("ssh is gone")

    subject.tasks["fetch"] = fail
    run = begin("fetch", undoable=False)
    with pytest.raises(OSError, match="ssh is gone"):
        advance(run.pk, clock=lambda: NOON)
    run.refresh_from_db()
    assert (run.status, run.cause) == (Status.FAILED, "The disk is full.")


# --- the log ---------------------------------------------------------------------------------------------------------


def test_secrets_are_masked_in_all_their_forms_wherever_a_line_is_cut() -> None:
    secret = "s3cr3t/pass+word=&"
    for form in forms(secret):
        for cut in range(1, len(form)):
            mask = Mask()
            mask.add(secret)
            text = mask.feed("before " + form[:cut]) + mask.feed(form[cut:] + " after") + mask.flush()
            assert form not in text and "***" in text


def test_control_characters_are_shown_and_colours_dropped() -> None:
    assert clean("\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07 a\rb") == "red \ufffd]8;;http://evil\ufffd a\nb"


def test_of_a_line_that_is_written_over_a_thousand_times_the_first_and_last_pieces_are_kept() -> None:
    lines = clean("begin\n" + "\r".join(f"{percent} %" for percent in range(1000)) + "\nend").split("\n")
    assert lines[:2] == ["begin", "0 %"] and lines[-2:] == ["999 %", "end"]
    assert "[… written over 960 times …]" in lines and len(lines) == 43


def test_a_log_keeps_head_and_tail_and_says_what_was_cut(subject: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploynaut.runs.logs.HEAD", 1000)
    monkeypatch.setattr("deploynaut.runs.logs.TAIL", 200)
    run = begin("prepare")
    sink = LogSink(run, run.steps.get(), clock=lambda: NOON)
    for number in range(500):
        sink.write(f"line {number}")
    sink.close()
    text = "".join(LogChunk.objects.filter(step__isnull=False).values_list("text", flat=True))
    assert "line 0\n" in text and "line 499\n" in text and "were cut here" in text
    assert len(text) < 1500


def test_what_a_busy_database_did_not_take_is_stored_later(subject: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin("prepare")
    sink = LogSink(run, run.steps.get(), clock=lambda: NOON)
    sink.write("first")

    def busy(*_: object, **__: object) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched, pytest.raises(OperationalError):
        patched.setattr(type(LogChunk.objects), "bulk_create", busy)
        sink.store()
    sink.write("second")
    sink.close()
    text = "".join(LogChunk.objects.filter(step__isnull=False).values_list("text", flat=True))
    assert text.index("first") < text.index("second")


def test_a_log_that_cannot_be_stored_does_not_lose_the_answer_of_its_step(
    subject: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(LogSink, "close", busy)
    assert moved(begin("prepare")).status == Status.SUCCEEDED


# --- the watch -------------------------------------------------------------------------------------------------------


def watched(step: StepRun, run: Run, *, limit: timedelta) -> Watch:
    watch = Watch(run, step, token=run.token, clock=lambda: NOON)
    watch.within(limit)
    return watch


def test_a_step_out_of_time_is_told_so_each_time_it_asks(subject: Scripted) -> None:
    run = begin("release")
    watch = watched(run.steps.get(), run, limit=timedelta(0))
    for _ in range(2):
        with pytest.raises(StepTimedOut, match="took longer"):
            watch.guard()


def test_the_way_back_out_of_time_may_still_put_the_screen_up(subject: Scripted) -> None:
    run = begin("roll_back")
    step = run.steps.get()
    step.back = True
    watch = watched(step, run, limit=timedelta(0))
    with pytest.raises(StepTimedOut):
        watch.guard()
    watch.guard()


def test_the_way_back_is_finished_whatever_is_asked(subject: Scripted) -> None:
    run = begin("roll_back")
    step = run.steps.get()
    step.back = True
    Run.objects.filter(pk=run.pk).update(abort_by="Mia")
    watch = watched(step, run, limit=timedelta(minutes=1))
    watch._look()
    watch.guard()


def test_a_watch_outlives_a_busy_database(subject: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin("prepare")
    watch = watched(run.steps.get(), run, limit=timedelta(minutes=1))

    def busy(self: Watch) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "_asked_to_stop", busy)
        watch._look()
    Run.objects.filter(pk=run.pk).update(token=99)
    watch._look()
    with pytest.raises(FencedOff):
        watch.guard()


def test_a_step_that_ends_its_worker_again_and_again_is_ended_itself(subject: Scripted) -> None:
    run = begin("prepare", undoable=False)
    for _ in range(20):
        taken = Run.objects.take(run.pk, now=NOON)
        if taken is None:
            break
        # The worker is killed in the step: it has begun, and nobody answers.
        subject.tasks["prepare"] = killed
        with pytest.raises(Killed):
            advance(run.pk, clock=lambda: NOON)
        run.refresh_from_db()
        if run.steps.get().attempt >= ATTEMPTS:
            break
    assert moved(run).status == Status.FAILED
    assert "was cut off" in run.steps.get().error


class Killed(BaseException):
    """As far as the runner can see."""


def killed(work: subjects.Work) -> StepResult:
    raise Killed


def test_a_subject_that_cannot_even_say_how_long_fails_its_step(
    subject: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(run: Run, step: StepRun) -> timedelta:
        raise ValueError("the frozen file is no longer read")

    monkeypatch.setattr(subject, "limit", unreadable)
    assert moved(begin("prepare", undoable=False)).status == Status.FAILED
