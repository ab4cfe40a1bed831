"""What the clock does at the gates: groups asked in turn, times that end, outages across them, planned times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from deploynaut.accounts.models import Grant
from deploynaut.accounts.roles import Role
from deploynaut.deployments.gates import TooEarly
from deploynaut.deployments.managers import CannotBegin
from deploynaut.deployments.models import Deployment
from deploynaut.durable import port
from deploynaut.durable.inline import InlineEngine
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.engine.pipeline import Status
from deploynaut.engine.steps.base import StepResult
from deploynaut.instances.models import Environment, EnvironmentLock, Freeze
from deploynaut.instances.revisions import By, Revision
from deploynaut.runs.models import LogChunk, Run
from deploynaut.runs.runner import advance
from tests.builders import NOW, make_commit, make_deployment, make_environment, make_instance, make_user

pytestmark = pytest.mark.django_db(transaction=True)
SECOND, MINUTE, HOUR, DAY = (timedelta(**{name: 1}) for name in ("seconds", "minutes", "hours", "days"))
GROUPS = """
steps:
  - approval:
      ask: [[mia@acme.example], [nobody@acme.example], [instance-managers], [rob@acme.example], [kim@acme.example]]
      escalate_after: 2h
"""


class Worker:
    """A worker with a clock that the test moves: it looks at what its reconciler would find, and at nothing else."""

    def __init__(self) -> None:
        self.now = NOW
        self.worked: list[str] = []

    def look(self, at: datetime) -> None:
        """What a worker does that runs at this moment; between two looks none was there."""
        self.now = at
        for pk, _ in Run.objects.get_queryset().movable(now=at):
            if Run.objects.get(pk=pk).kind == "deployment":
                advance(pk, clock=lambda: self.now)

    def run_until(self, until: datetime, *, every: timedelta = 10 * MINUTE) -> None:
        """What a worker does that runs all the time."""
        while self.now < until:
            self.look(self.now + every)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Its tasks are done at once, and noted."""
    found = Worker()

    def step(kind: str) -> SimpleNamespace:
        def run(_: object) -> StepResult:
            found.worked.append(kind)
            return StepResult("done")

        return SimpleNamespace(run=run)

    kinds = ("prepare", "backup", "release", "smoke_tests", "roll_back")
    monkeypatch.setattr("deploynaut.engine.steps.STEPS", {kind: step(kind) for kind in kinds})
    monkeypatch.setattr("deploynaut.deployments.context.context", lambda *_: None)
    with port.using(InlineEngine(now=NOW)):
        yield found


@pytest.fixture
def prod() -> Environment:
    return make_environment(make_instance(), "prod", kind="production")


def again(one: Deployment) -> Deployment:
    return Deployment.objects.get_queryset().for_page().get(pk=one.pk)


def told(one: Deployment, event: str) -> list[str]:
    """Who was told by e-mail, in order."""
    found = one.run.messages.filter(event=event, channel="email").order_by("pk")
    return [message.address.partition("@")[0] for message in found]


def log_of(one: Deployment) -> str:
    return "".join(LogChunk.objects.filter(run=one.run).values_list("text", flat=True))


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def asking(prod: Environment) -> Deployment:
    """Mia, then nobody, then Ida (and Rob, who began it), then Rob alone, then Kim, who may not approve."""
    Environment.objects.filter(pk=prod.pk).update(pipeline=GROUPS)
    prod.refresh_from_db()
    make_user("Ida", Role.INSTANCE_MANAGER, instance=prod.instance)
    make_user("Rob", Role.TECHNICAL_STAFF, Role.INSTANCE_MANAGER, instance=prod.instance)
    make_user("Kim", Role.TECHNICAL_STAFF, instance=prod.instance)
    return make_deployment(prod, at="approval", by=make_user("Rob"))


def groups(one: Deployment) -> list[str]:
    """Who was asked, in order, the initiator's own copy left out."""
    return [name for name in told(one, "approval asked") if name != "rob"]


def test_groups_are_asked_in_turn_empty_ones_passed_over_and_the_first_again_after_the_last(
    asking: Deployment, worker: Worker
) -> None:
    worker.run_until(NOW + 7 * HOUR)
    assert groups(asking) == ["mia", "ida", "mia", "ida"]
    assert told(asking, "approval asked").count("rob") == 1, "who began it is told once that it waits"
    assert [user.name for user in again(asking).asked()] == ["Mia", "Ida"]
    assert [user.name for user in again(asking).asked_now()] == ["Ida"]


def test_a_group_is_asked_once_however_often_it_is_looked_at(asking: Deployment, worker: Worker) -> None:
    for _ in range(5):
        advance(asking.run_id, clock=lambda: NOW + HOUR)
        advance(asking.run_id, clock=lambda: NOW + 2 * HOUR + MINUTE)
    assert groups(asking) == ["mia", "ida"]


def test_what_was_due_several_times_in_an_outage_is_asked_once(asking: Deployment, worker: Worker) -> None:
    worker.look(NOW + 9 * HOUR)
    assert groups(asking) == ["mia", "ida"]
    worker.look(NOW + 9 * HOUR + SECOND)
    assert groups(asking) == ["mia", "ida"]
    worker.look(NOW + 11 * HOUR + MINUTE)
    assert groups(asking) == ["mia", "ida", "mia"]


def test_who_comes_into_a_group_is_asked_with_it_and_who_leaves_it_is_not(asking: Deployment, worker: Worker) -> None:
    Grant.objects.filter(user=make_user("Ida")).delete()
    make_user("Zoe", Role.INSTANCE_MANAGER, instance=asking.environment.instance)
    worker.run_until(NOW + 3 * HOUR)
    assert groups(asking) == ["mia", "zoe"]


def test_after_seven_days_it_expires_and_each_of_those_asked_is_told_once(asking: Deployment, worker: Worker) -> None:
    worker.run_until(NOW + 8 * DAY, every=HOUR)
    one = again(asking)
    assert one.status is Status.EXPIRED and sorted(told(one, "expired")) == ["ida", "mia", "rob"]
    assert one.run.ended_at is not None and one.run.ended_at - NOW <= 7 * DAY + 2 * HOUR
    assert "down" not in one.outcome or worker.now - one.run.ended_at > MINUTE


def test_an_answer_ends_the_asking(asking: Deployment, worker: Worker) -> None:
    worker.run_until(NOW + 3 * HOUR)
    asking.approve(by=make_user("Ida"), plan_hash=asking.plan_hash, now=worker.now)
    worker.run_until(NOW + 12 * HOUR)
    assert groups(asking) == ["mia", "ida"] and sorted(set(told(asking, "approved"))) == ["ida", "mia", "rob"]


def test_escalation_does_not_outlive_the_end(asking: Deployment, worker: Worker) -> None:
    """Both are due at the same look: the end counts."""
    worker.look(NOW + 8 * DAY)
    assert groups(asking) == ["mia"] and again(asking).status is Status.EXPIRED


# --- ends, and outages across them -----------------------------------------------------------------------------------


def closes(one: Deployment) -> datetime:
    found = one.run.steps.get(status="waiting").deadline
    assert found is not None
    return found


def test_a_window_that_ends_while_a_worker_is_there_names_no_outage(prod: Environment, worker: Worker) -> None:
    one = make_deployment(prod, at="rollback_window")
    worker.look(closes(one) + 10 * SECOND)
    assert again(one).status is Status.SUCCEEDED and "down" not in again(one).outcome + log_of(one)


def test_after_an_outage_across_its_end_the_window_closes_at_the_first_look_and_the_outage_is_named_once(
    prod: Environment, worker: Worker
) -> None:
    one = make_deployment(prod, at="rollback_window")
    over = closes(one)
    for minutes in (20, 21, 22):
        worker.look(over + minutes * MINUTE)
    done = again(one)
    words = f"The time was over at {over:%H:%M} UTC on 1 July; Deploynaut was down or kept from looking until"
    assert done.status is Status.SUCCEEDED and words in done.outcome and log_of(one).count(words) == 1
    assert told(one, "succeeded") == ["rob"]
    assert words in one.run.messages.get(event="succeeded", channel="email").body


@pytest.mark.parametrize("gate", ["approval", "confirm"])
def test_an_outage_across_the_end_of_another_gate_is_named_too(prod: Environment, worker: Worker, gate: str) -> None:
    one = make_deployment(prod, at=gate)
    over = closes(one)
    worker.look(over + HOUR)
    done = again(one)
    assert done.status is Status.EXPIRED and f"over at {over:%H:%M} UTC" in done.outcome
    assert told(one, "expired").count("rob") == 1


def test_a_rollback_written_before_the_end_counts_though_it_is_read_after_it(prod: Environment, worker: Worker) -> None:
    make_deployment(prod, at="succeeded", commit=make_commit(prod.instance), now=NOW - DAY)
    one = make_deployment(prod, at="rollback_window")
    over = closes(one)
    one.roll_back(by=one.initiator, now=over - SECOND)
    worker.look(over + HOUR)
    done = again(one)
    assert done.status is Status.ROLLED_BACK and "down" not in done.outcome
    assert worker.worked == ["roll_back", "smoke_tests"] and told(one, "succeeded") == []


def test_a_dismiss_written_before_the_end_is_no_outage(prod: Environment, worker: Worker) -> None:
    one = make_deployment(prod, at="rollback_window")
    over = closes(one)
    one.dismiss(by=one.initiator, now=over - SECOND)
    worker.look(over + HOUR)
    assert again(one).status is Status.SUCCEEDED and "down" not in again(one).outcome


@pytest.mark.parametrize("late", [timedelta(0), SECOND, HOUR])
@pytest.mark.parametrize("verb", ["roll_back", "dismiss", "abort"])
def test_a_click_at_or_after_the_end_finds_the_release_kept_though_no_worker_was_there(
    prod: Environment, verb: str, late: timedelta
) -> None:
    one = make_deployment(prod, at="rollback_window")
    with pytest.raises(NotNow, match="The time to answer ended"):
        getattr(one, verb)(by=one.initiator, now=closes(one) + late)
    assert again(one).status is Status.SUCCEEDED and again(one).run.abort_by == ""


@pytest.mark.parametrize("gate", ["approval", "confirm"])
def test_an_abort_after_the_time_to_answer_is_an_expiry(prod: Environment, gate: str) -> None:
    one = make_deployment(prod, at=gate)
    with pytest.raises(NotNow, match="The time to answer ended"):
        one.abort(by=one.initiator, now=closes(one) + SECOND)
    assert again(one).status is Status.EXPIRED


def test_an_extended_window_ends_later_and_the_worker_keeps_to_it(prod: Environment, worker: Worker) -> None:
    one = make_deployment(prod, at="rollback_window")
    over = closes(one)
    one.extend(by=one.initiator, reason="the editors still look", now=over - MINUTE)
    worker.look(over + MINUTE)
    assert again(one).status is Status.WAITING
    worker.look(over + HOUR + SECOND)
    assert again(one).status is Status.SUCCEEDED and "down" not in again(one).outcome


def test_however_often_a_gate_is_looked_at_no_wakes_pile_up(prod: Environment, worker: Worker) -> None:
    one = make_deployment(prod, at="approval")
    engine = port.engine()
    assert isinstance(engine, InlineEngine)
    engine.forget()
    for _ in range(20):
        advance(one.run_id, clock=lambda: NOW + MINUTE)
    assert not [wake for wake in engine.waiting if wake.kind == "run"]


# --- planned for later -----------------------------------------------------------------------------------------------

PLANNED = NOW + 5 * HOUR


@pytest.fixture
def uat() -> Environment:
    uat = make_environment(make_instance())
    for name, role in (("Rob", Role.TECHNICAL_STAFF), ("Mia", Role.DEPLOYMENT_MANAGER), ("Ida", Role.INSTANCE_MANAGER)):
        make_user(name, role, instance=uat.instance)
    return uat


def planned(where: Environment, *, override: str = "", by: str = "Rob") -> Deployment:
    commit = make_commit(where.instance).hex
    return Deployment.objects.begin(
        environment=where, by=make_user(by), revision=Revision(commit, By.COMMIT), now=NOW, scheduled_for=PLANNED,
        override=override,
    )  # fmt: skip


def freeze(where: Environment, begins: str, *, lasts: timedelta = 3 * HOUR) -> Freeze:
    return Freeze.objects.create(
        instance=where.instance, reason="Election day", zone="UTC", begins=begins, lasts=lasts, scope="all",
        by=make_user("Ida"), at=NOW,
    )  # fmt: skip


def test_on_uat_the_work_begins_at_the_planned_time_and_not_before(uat: Environment, worker: Worker) -> None:
    one = planned(uat)
    worker.look(NOW + MINUTE)
    advance(one.run_id, clock=lambda: PLANNED - SECOND)
    assert worker.worked == [] and again(one).status is Status.QUEUED
    worker.look(PLANNED)
    assert again(one).status is Status.SUCCEEDED and worker.worked[0] == "prepare"


def test_a_server_that_is_down_at_the_planned_time_begins_when_it_is_back(uat: Environment, worker: Worker) -> None:
    one = planned(uat)
    worker.look(PLANNED + 9 * HOUR)
    assert again(one).status is Status.SUCCEEDED


def test_a_planned_release_is_aborted_before_its_time_and_then_never_begins(uat: Environment, worker: Worker) -> None:
    one = planned(uat)
    one.abort(by=one.initiator, now=NOW + HOUR)
    assert again(one).status is Status.ABORTED
    worker.look(PLANNED + MINUTE)
    advance(one.run_id, clock=lambda: PLANNED + MINUTE)
    assert worker.worked == []


def test_rights_are_asked_for_again_at_the_planned_time(uat: Environment, worker: Worker) -> None:
    one = planned(uat)
    Grant.objects.filter(user=one.initiator).delete()
    worker.look(PLANNED)
    done = again(one)
    assert done.status is Status.FAILED and "Rob may no longer release to uat of acme" in done.outcome
    assert "prepare" not in worker.worked


@pytest.mark.parametrize("kind", ["freeze", "lock"])
def test_a_freeze_or_lock_that_came_in_between_keeps_it(uat: Environment, worker: Worker, kind: str) -> None:
    one = planned(uat)
    if kind == "freeze":
        freeze(uat, "2026-07-01T16:00")
    else:
        EnvironmentLock.objects.set(uat, by=make_user("Mia"), reason="a demonstration", now=NOW + HOUR)
    worker.look(PLANNED)
    done = again(one)
    assert done.status is Status.FAILED and "prepare" not in worker.worked
    assert ("Election day" if kind == "freeze" else "a demonstration") in done.outcome
    assert done.active is False and told(one, "failed").count("rob") == 1


def test_a_freeze_that_is_over_by_the_planned_time_keeps_nothing(uat: Environment, worker: Worker) -> None:
    freeze(uat, "2026-07-01T12:00", lasts=HOUR)
    one = planned(uat)
    worker.look(PLANNED)
    assert again(one).status is Status.SUCCEEDED


def test_a_freeze_at_the_planned_time_is_overridden_with_a_reason_when_it_is_begun(
    uat: Environment, worker: Worker
) -> None:
    freeze(uat, "2026-07-01T16:00")
    with pytest.raises(CannotBegin, match="Election day"):
        planned(uat)
    one = planned(uat, override="the results page is wrong", by="Mia")
    worker.look(PLANNED)
    assert again(one).status is Status.SUCCEEDED


def to_confirm(prod: Environment, worker: Worker, *, scheduled_for: datetime | None = None) -> Deployment:
    """A production release that has been approved, planned for later where asked."""
    first = make_deployment(prod, at="aborted")
    one = Deployment.objects.begin(
        environment=prod, by=first.initiator, revision=Revision(first.commit, By.RELEASE), now=NOW + MINUTE,
        scheduled_for=scheduled_for,
    )  # fmt: skip
    worker.look(NOW + 2 * MINUTE)
    one.approve(by=make_user("Mia"), plan_hash=one.plan_hash, now=NOW + 3 * MINUTE)
    worker.look(NOW + 4 * MINUTE)
    return again(one)


def test_on_production_the_planned_time_opens_deploy_and_its_day_begins_then(prod: Environment, worker: Worker) -> None:
    one = to_confirm(prod, worker, scheduled_for=PLANNED)
    with pytest.raises(TooEarly, match="planned for 1 July 2026, 17:00"):
        one.start(by=one.initiator, plan_hash=one.plan_hash, now=PLANNED - SECOND)
    assert closes(one) == PLANNED + DAY
    worker.run_until(PLANNED + MINUTE, every=HOUR)
    assert worker.worked == [], "somebody still presses Deploy"
    one.start(by=one.initiator, plan_hash=one.plan_hash, now=worker.now)
    worker.look(worker.now + SECOND)
    assert worker.worked[:1] == ["prepare"]


def test_a_request_for_a_planned_release_expires_as_any_other(prod: Environment, worker: Worker) -> None:
    first = make_deployment(prod, at="aborted")
    one = Deployment.objects.begin(
        environment=prod, by=first.initiator, revision=Revision(first.commit, By.RELEASE), now=NOW + MINUTE,
        scheduled_for=NOW + 60 * DAY,
    )  # fmt: skip
    worker.look(NOW + 2 * MINUTE)
    assert closes(one) == NOW + 7 * DAY + 2 * MINUTE


def test_a_freeze_keeps_deploy_from_being_pressed_and_the_approval_waits(prod: Environment, worker: Worker) -> None:
    one = to_confirm(prod, worker)
    freeze(prod, "2026-07-01T12:05", lasts=HOUR)
    with pytest.raises(TooEarly, match="Election day"):
        one.start(by=one.initiator, plan_hash=one.plan_hash, now=NOW + 30 * MINUTE)
    assert again(one).approver == make_user("Mia")
    one.start(by=one.initiator, plan_hash=one.plan_hash, now=NOW + 2 * HOUR)


def test_a_lock_between_deploy_and_prepare_keeps_it_and_nothing_is_done(prod: Environment, worker: Worker) -> None:
    one = to_confirm(prod, worker)
    one.start(by=one.initiator, plan_hash=one.plan_hash, now=NOW + 5 * MINUTE)
    EnvironmentLock.objects.set(prod, by=make_user("Mia"), reason="a demonstration", now=NOW + 5 * MINUTE)
    worker.look(NOW + 6 * MINUTE)
    done = again(one)
    assert done.status is Status.FAILED and "a demonstration" in done.outcome and "prepare" not in worker.worked
