"""A production release from asking for approval to the end of its window, as rows and verbs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from deploynaut.accounts.models import AuditEntry, Grant
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.deployments import objections
from deploynaut.deployments.approval import OnesOwn, TooNew
from deploynaut.deployments.gates import StalePlan, TooEarly, Voided
from deploynaut.deployments.managers import CannotBegin
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.promotion import NotPromoted, promotable
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.engine.pipeline import Status
from deploynaut.instances.models import Environment
from deploynaut.instances.revisions import By, Revision
from deploynaut.instances.roles import change as change_role
from deploynaut.notify.models import Message
from deploynaut.runs.models import Run
from tests.builders import (
    NOW,
    Story,
    make_commit,
    make_deployment,
    make_environment,
    make_instance,
    make_user,
)

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def prod() -> Environment:
    return make_environment(make_instance(), "prod", kind="production")


def at(prod: Environment, state: str) -> Deployment:
    return make_deployment(prod, at=state)


def told(deployment: Deployment, event: str) -> set[str]:
    return {message.address.partition("@")[0] for message in deployment.run.messages.filter(event=event)}


def test_a_release_waits_for_approval_and_tells_who_is_asked(prod: Environment) -> None:
    waiting = at(prod, "approval")
    assert waiting.status is Status.WAITING and [user.name for user in waiting.asked()] == ["Mia"]
    assert told(waiting, "approval asked") == {"mia", "rob"}
    step = waiting.run.steps.get(kind="approval")
    assert step.deadline is not None and step.deadline - waiting.begun_at > timedelta(days=6, hours=23)
    assert step.escalates_at is not None and step.escalates_at < step.deadline


def test_mia_approves_rob_deploys_and_the_window_is_dismissed(prod: Environment) -> None:
    done = at(prod, "succeeded")
    assert done.status is Status.SUCCEEDED and done.approver is not None and done.approver.name == "Mia"
    assert told(done, "approved") == {"rob", "mia"}
    assert told(done, "window open") == {"rob"} and told(done, "succeeded") == {"rob"}


def test_nobody_approves_their_own_release_by_no_role_and_no_second_account(prod: Environment) -> None:
    waiting = at(prod, "approval")
    rob = waiting.initiator
    for role in (Role.DEPLOYMENT_MANAGER, Role.INSTANCE_MANAGER):
        Grant.objects.give(by=None, to=rob, role=role, instance=prod.instance_id, now=NOW)
        with pytest.raises(OnesOwn):
            waiting.approve(by=rob, plan_hash=waiting.plan_hash, now=NOW + HOUR)
    second = make_user("rob+second", Role.DEPLOYMENT_MANAGER, instance=prod.instance)
    with pytest.raises(OnesOwn):
        waiting.reject(by=second, plan_hash=waiting.plan_hash, reason="because", now=NOW + HOUR)
    assert not waiting.answers.exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.TECHNICAL_STAFF, Role.OPS, Role.ADMINISTRATOR])
def test_who_may_not_approve_does_not(prod: Environment, role: Role) -> None:
    waiting = at(prod, "approval")
    with pytest.raises(NotAllowed):
        waiting.approve(by=make_user("Sam", role, instance=prod.instance), plan_hash=waiting.plan_hash, now=NOW + HOUR)


def test_a_right_that_the_initiator_has_just_given_does_not_count(prod: Environment) -> None:
    waiting = at(prod, "approval")
    kim = make_user("Kim")
    Grant.objects.create(user=kim, role=Role.DEPLOYMENT_MANAGER, instance_id=prod.instance_id,
                         given_by=waiting.initiator, given_at=NOW)  # fmt: skip
    with pytest.raises(TooNew):
        waiting.approve(by=kim, plan_hash=waiting.plan_hash, now=NOW + 23 * HOUR)
    waiting.approve(by=kim, plan_hash=waiting.plan_hash, now=NOW + 25 * HOUR)


@pytest.mark.parametrize("wrong", ["", "0" * 64, "plan"])
def test_an_answer_to_another_plan_changes_nothing(prod: Environment, wrong: str) -> None:
    waiting = at(prod, "approval")
    with pytest.raises(StalePlan):
        waiting.approve(by=make_user("Mia"), plan_hash=wrong, now=NOW + HOUR)
    assert not waiting.answers.exists() and waiting.status is Status.WAITING


def test_a_second_answer_is_told_who_was_first(prod: Environment) -> None:
    waiting = at(prod, "approval")
    ida = make_user("Ida", Role.INSTANCE_MANAGER, instance=prod.instance)
    waiting.approve(by=make_user("Mia"), plan_hash=waiting.plan_hash, now=NOW + HOUR)
    with pytest.raises(NotNow, match="Mia, approved, 13:00 UTC on 1 July"):
        waiting.reject(by=ida, plan_hash=waiting.plan_hash, reason="too risky", now=NOW + HOUR)


def test_a_rejection_needs_a_reason_and_ends_it(prod: Environment) -> None:
    waiting = at(prod, "approval")
    with pytest.raises(ValidationError):
        waiting.reject(by=make_user("Mia"), plan_hash=waiting.plan_hash, reason=" \n ", now=NOW + HOUR)
    waiting.reject(by=make_user("Mia"), plan_hash=waiting.plan_hash, reason="Not before the election", now=NOW + HOUR)
    assert waiting.status is Status.REJECTED and "Not before the election" in waiting.outcome
    assert told(waiting, "rejected") == {"rob", "mia"}


def test_an_answer_after_the_deadline_is_an_expiry(prod: Environment) -> None:
    waiting = at(prod, "approval")
    with pytest.raises(NotNow, match="The time to answer ended"):
        waiting.approve(by=make_user("Mia"), plan_hash=waiting.plan_hash, now=NOW + timedelta(days=8))
    assert waiting.status is Status.EXPIRED and not waiting.answers.exists()


@pytest.mark.parametrize("field", ["pipeline", "url of a test", "target", "recipe"])
@pytest.mark.parametrize("state", ["approval", "confirm"])
def test_what_changes_after_the_approval_voids_it(prod: Environment, state: str, field: str) -> None:
    from tests.builders import make_target

    waiting = at(prod, state)
    old = waiting.plan_hash
    changes: dict[str, dict[str, object]] = {
        "pipeline": {"pipeline": "steps: [{rollback_window: {lasts: 2h}}]"},
        "url of a test": {"pipeline": "smoke_tests: {home: {url: 'https://prod.acme.example/'}}"},
        "recipe": {"recipe_options": {"docroot": "public"}},
    }
    if field == "target":
        make_target(prod, "web7.acme.example")
    else:
        Environment.objects.filter(pk=prod.pk).update(**changes[field])
    with pytest.raises(Voided, match="asked again"):
        if state == "approval":
            waiting.approve(by=make_user("Mia"), plan_hash=old, now=NOW + HOUR)
        else:
            waiting.start(by=waiting.initiator, plan_hash=old, now=NOW + HOUR)
    story = Story(waiting, NOW + HOUR)
    story.begin_step()
    again = story.fresh()
    assert again.run.state().current.kind == "approval" and again.plan_hash != old and again.approver is None  # type: ignore[union-attr]
    assert told(again, "void") == {"rob", "mia"} and [user.name for user in again.asked()] == ["Mia"]
    with pytest.raises(StalePlan):
        again.approve(by=make_user("Mia"), plan_hash=old, now=NOW + 2 * HOUR)


@pytest.mark.parametrize(
    "harmless", ["description: Other words", "keep_releases: 9", "notify: {succeeded: [a@b.example]}"]
)
def test_a_harmless_edit_voids_nothing(prod: Environment, harmless: str) -> None:
    waiting = at(prod, "approval")
    Environment.objects.filter(pk=prod.pk).update(pipeline=harmless)
    waiting.approve(by=make_user("Mia"), plan_hash=waiting.plan_hash, now=NOW + HOUR)
    assert waiting.approver is not None


def test_uat_withdrawn_refuses_for_good_and_asks_nobody_again(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    uat = Environment.objects.get(name="uat")
    passed = Deployment.objects.get(environment=uat)
    passed.withdraw(by=waiting.initiator, reason="the search is broken", now=NOW + HOUR)
    with pytest.raises(NotNow, match="the search is broken"):
        waiting.start(by=waiting.initiator, plan_hash=waiting.plan_hash, now=NOW + HOUR)
    assert waiting.status is Status.REJECTED
    assert Message.objects.filter(run=waiting.run, event="approval asked").count() == 2


def test_only_what_passed_uat_can_be_begun(prod: Environment) -> None:
    waiting = at(prod, "aborted")
    other = make_commit(prod.instance)
    with pytest.raises(NotPromoted, match="has never been released to uat"):
        Deployment.objects.begin(
            environment=prod, by=waiting.initiator, revision=Revision(other.hex, By.COMMIT), now=NOW + HOUR
        )
    assert [one.commit for one in promotable(prod)] == [waiting.commit]


def test_an_approver_who_loses_the_right_before_deploy_voids_it(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    Grant.objects.filter(user__name="Mia").delete()
    with pytest.raises(Voided, match="Mia may no longer approve"):
        waiting.start(by=waiting.initiator, plan_hash=waiting.plan_hash, now=NOW + HOUR)


@pytest.mark.parametrize("field", ["pipeline", "role"])
def test_what_changes_has_a_release_that_waits_looked_at_at_once(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """Found by the browser story: the approval became void only when somebody pressed Deploy."""
    waiting = at(prod, "confirm")
    woken: list[int] = []
    monkeypatch.setattr(Run, "wake", lambda run, **when: woken.append(run.pk))
    if field == "pipeline":
        Environment.objects.change(prod, by=None, now=NOW + HOUR, pipeline="steps: [{rollback_window: {lasts: 2h}}]")
    else:
        ida = make_user("Ida")
        change_role(instance=prod.instance, by=None, to=ida, role=Role.OPS, give=True, environment=None, now=NOW)
    assert waiting.run_id in woken


def test_an_initiator_who_is_disabled_cannot_press_deploy_and_a_manager_takes_over(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    ida = make_user("Ida", Role.INSTANCE_MANAGER, instance=prod.instance)
    waiting.initiator.disable(by=None, now=NOW + HOUR)
    with pytest.raises(NotAllowed):
        waiting.start(by=waiting.initiator, plan_hash=waiting.plan_hash, now=NOW + HOUR)
    with pytest.raises(NotNow, match="attends this release"):
        waiting.start(by=ida, plan_hash=waiting.plan_hash, now=NOW + HOUR)
    waiting.take_over(by=ida, now=NOW + HOUR)
    assert waiting.attendant == ida and told(waiting, "attendance taken")
    waiting.start(by=ida, plan_hash=waiting.plan_hash, now=NOW + HOUR)
    assert waiting.status is Status.QUEUED


def test_a_planned_release_is_approved_at_once_and_deployed_from_then_on(prod: Environment) -> None:
    first = at(prod, "aborted")
    planned = NOW + 5 * HOUR
    with pytest.raises(ValidationError):
        Deployment.objects.begin(
            environment=prod, by=first.initiator, revision=Revision(first.commit, By.RELEASE), now=NOW,
            scheduled_for=NOW,
        )  # fmt: skip
    waiting = Deployment.objects.begin(
        environment=prod, by=first.initiator, revision=Revision(first.commit, By.RELEASE), now=NOW,
        scheduled_for=planned,
    )  # fmt: skip
    story = Story(waiting, NOW)
    story.begin_step()
    waiting.approve(by=make_user("Mia"), plan_hash=waiting.plan_hash, now=story.later())
    story.begin_step()
    with pytest.raises(TooEarly, match="planned for"):
        waiting.start(by=waiting.initiator, plan_hash=waiting.plan_hash, now=story.later())
    waiting.start(by=waiting.initiator, plan_hash=waiting.plan_hash, now=planned + HOUR)


def test_break_glass_replaces_the_approval_alone(prod: Environment) -> None:
    first = at(prod, "aborted")
    olga = make_user("Olga")
    revision = Revision(first.commit, By.RELEASE)
    with pytest.raises(ValidationError):
        Deployment.objects.begin(environment=prod, by=olga, revision=revision, now=NOW, break_glass="it is urgent")
    with pytest.raises(NotAllowed):
        Deployment.objects.begin(
            environment=prod, by=first.initiator, revision=revision, now=NOW, break_glass="the site leaks addresses now"
        )
    urgent = Deployment.objects.begin(
        environment=prod, by=olga, revision=revision, now=NOW, break_glass="the site leaks addresses now"
    )
    assert told(urgent, "break glass") >= {"mia"}
    story = Story(urgent, NOW)
    assert story.begin_step() == "confirm"
    urgent.start(by=olga, plan_hash=urgent.plan_hash, now=story.later())
    assert story.begin_step() == "prepare"
    assert AuditEntry.objects.filter(action="glass broken", actor=olga).exists()


def test_rollback_in_the_window_goes_back_and_bars_the_revision(prod: Environment) -> None:
    at(prod, "succeeded")
    commit = make_commit(prod.instance)
    uat = Environment.objects.get(name="uat")
    make_deployment(uat, at="succeeded", commit=commit, now=NOW)
    window = make_deployment(prod, at="rollback_window", commit=commit, now=NOW + HOUR)
    window.roll_back(by=window.initiator, now=NOW + HOUR + timedelta(minutes=20))
    assert window.status is Status.ROLLING_BACK
    story = Story(window, NOW + 2 * HOUR)
    while not story.run.ended:
        story.do()
    assert story.fresh().status is Status.ROLLED_BACK
    with pytest.raises(CannotBegin, match="was rolled back"):
        make_deployment(prod, commit=commit, now=NOW + 3 * HOUR)
    bar = prod.bars.get()
    with pytest.raises(NotAllowed):
        bar.lift(by=window.initiator, reason="the data were wrong", now=NOW + 3 * HOUR)
    bar.lift(by=make_user("Mia"), reason="the data were wrong", now=NOW + 3 * HOUR)
    assert make_deployment(prod, commit=commit, now=NOW + 3 * HOUR).number == 3


def test_a_click_after_the_window_has_closed_is_an_expiry_and_success(prod: Environment) -> None:
    window = at(prod, "rollback_window")
    with pytest.raises(NotNow, match="The time to answer ended"):
        window.roll_back(by=window.initiator, now=NOW + 5 * HOUR)
    assert window.status is Status.SUCCEEDED


def test_the_window_is_extended_once_with_a_reason(prod: Environment) -> None:
    window = at(prod, "rollback_window")
    closes = window.run.steps.get(kind="rollback_window").deadline
    assert closes is not None
    with pytest.raises(ValidationError):
        window.extend(by=window.initiator, reason="  ", now=closes - HOUR / 2)
    window.extend(by=window.initiator, reason="waiting for the editors", now=closes - HOUR / 2)
    assert window.run.steps.get(kind="rollback_window").deadline == closes + HOUR
    with pytest.raises(NotNow, match="extended once"):
        window.extend(by=window.initiator, reason="waiting for more", now=closes)


def test_abort_while_waiting_leaves_the_site_untouched_and_lets_the_next_one_begin(prod: Environment) -> None:
    first = at(prod, "approval")
    second = Deployment.objects.begin(
        environment=prod, by=first.initiator, revision=Revision(first.commit, By.RELEASE), now=NOW + HOUR,
        instead_of=first,
    )  # fmt: skip
    first.refresh_from_db()
    first.run.refresh_from_db()
    assert first.status is Status.ABORTED and second.number == 2


def test_without_ops_or_another_approver_production_is_not_begun(prod: Environment) -> None:
    first = at(prod, "aborted")
    revision = Revision(first.commit, By.RELEASE)
    Grant.objects.filter(role=Role.OPS).delete()
    with pytest.raises(CannotBegin, match="Nobody would hear"):
        Deployment.objects.begin(environment=prod, by=first.initiator, revision=revision, now=NOW + HOUR)
    Grant.objects.filter(role=Role.DEPLOYMENT_MANAGER).delete()
    with pytest.raises(CannotBegin, match="Nobody but you"):
        Deployment.objects.begin(environment=prod, by=first.initiator, revision=revision, now=NOW + HOUR)


def changed(prod: Environment, waiting: Deployment) -> Story:
    """The pipeline was edited at the Deploy gate: approval is asked for again, with the new plan."""
    Environment.objects.filter(pk=prod.pk).update(pipeline="steps: [{rollback_window: {lasts: 2h}}]")
    with pytest.raises(Voided):
        waiting.start(by=waiting.attendant, plan_hash=waiting.plan_hash, now=NOW + HOUR)
    story = Story(waiting, NOW + HOUR)
    story.begin_step()
    return story


def test_who_approves_a_plan_that_changed_does_not_press_deploy_on_it_too(prod: Environment) -> None:
    story = changed(prod, at(prod, "confirm"))
    mia, again = make_user("Mia"), story.fresh()
    again.approve(by=mia, plan_hash=again.plan_hash, now=story.later())
    story.begin_step()
    with pytest.raises(NotNow, match="somebody else attends it"):
        story.fresh().take_over(by=mia, now=story.later())


def test_who_attends_does_not_approve_a_plan_that_changed(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    mia = make_user("Mia")
    ida = make_user("Ida", Role.INSTANCE_MANAGER, instance=prod.instance)
    waiting.take_over(by=mia, now=NOW + HOUR)
    again = changed(prod, waiting).fresh()
    assert again.asked() == [ida]
    with pytest.raises(OnesOwn):
        again.approve(by=mia, plan_hash=again.plan_hash, now=NOW + 2 * HOUR)


def test_the_approver_may_attend_what_was_asked_for(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    mia = make_user("Mia")
    waiting.take_over(by=mia, now=NOW + HOUR)
    waiting.start(by=mia, plan_hash=waiting.plan_hash, now=NOW + HOUR)
    assert waiting.status is Status.QUEUED and objections.at_the_line(waiting, now=NOW + HOUR) == ""
