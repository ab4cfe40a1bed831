"""What was approved is what runs, by whom it was approved, and only what passed UAT: RA01, RA05, RA07-RA10."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction

from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.deployments.approval import Answer, OnesOwn, TooNew
from deploynaut.deployments.gates import StalePlan, Voided
from deploynaut.deployments.managers import AlreadyOpen, CannotBegin
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.objections import at_the_line
from deploynaut.deployments.promotion import NotPromoted, promotable
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.engine.pipeline import Status
from deploynaut.instances.models import Commit, Environment, Instance, Target
from deploynaut.instances.revisions import By, Revision, RevisionNotFound
from deploynaut.runs.models import Run
from tests.builders import (
    HOST_KEY,
    NOW,
    Story,
    make_commit,
    make_deployment,
    make_environment,
    make_instance,
    make_target,
    make_user,
)

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
SOON = NOW + HOUR / 2
BASE = "smoke_tests: {home: {url: 'https://prod.acme.example/', contains: Welcome}}"


@pytest.fixture
def prod() -> Environment:
    instance = make_instance()
    Commit.objects.filter(instance=instance).update(tree="a" * 40)
    prod = make_environment(instance, "prod", kind="production", pipeline=BASE)
    make_user("Ida", Role.INSTANCE_MANAGER, instance=instance)
    return prod


def at(prod: Environment, moment: str) -> Deployment:
    """Waiting at a gate; `line`: Deploy was pressed and prepare begins."""
    one = make_deployment(prod, at="confirm" if moment == "line" else moment)
    if moment == "line":
        one.start(by=one.initiator, plan_hash=one.plan_hash, now=NOW + HOUR / 4)
    return again(one)


def again(one: Deployment) -> Deployment:
    return Deployment.objects.get_queryset().for_page().get(pk=one.pk)


def begin(prod: Environment, commit: str, *, by: User | None = None, **more: Any) -> Deployment:
    revision = Revision(commit, more.pop("way", By.COMMIT))
    return Deployment.objects.begin(environment=prod, by=by or make_user("Rob"), revision=revision, now=SOON, **more)


# --- RA01: nobody approves their own ---------------------------------------------------------------------------------


def test_a_verified_second_address_of_the_initiator_makes_it_their_own(prod: Environment) -> None:
    one = at(prod, "approval")
    other = make_user("Zoe", Role.INSTANCE_MANAGER, instance=prod.instance)
    EmailAddress.objects.create(user=other, email="ROB+x@acme.example", verified=True)
    with pytest.raises(OnesOwn):
        one.approve(by=other, plan_hash=one.plan_hash, now=SOON)
    with pytest.raises(OnesOwn):
        one.reject(by=other, plan_hash=one.plan_hash, reason="not today", now=SOON)
    assert not one.answers.exists() and again(one).status is Status.WAITING
    assert not AuditEntry.objects.filter(action__in=["approved", "rejected"]).exists()


def test_an_unverified_address_makes_nobody_somebody_else(prod: Environment) -> None:
    one = at(prod, "approval")
    other = make_user("Zoe", Role.INSTANCE_MANAGER, instance=prod.instance)
    EmailAddress.objects.create(user=other, email="rob@acme.example", verified=False)
    one.approve(by=other, plan_hash=one.plan_hash, now=SOON)


def test_a_manager_who_began_it_is_asked_by_no_group_and_approves_by_no_role(prod: Environment) -> None:
    mia = make_user("Mia", Role.DEPLOYMENT_MANAGER, instance=prod.instance)
    one = make_deployment(prod, at="approval", by=mia)
    assert mia not in one.asked()
    with pytest.raises(OnesOwn):
        one.approve(by=mia, plan_hash=one.plan_hash, now=SOON)
    with pytest.raises(NotAllowed):
        one.approve(by=make_user("Ada", Role.ADMINISTRATOR), plan_hash=one.plan_hash, now=SOON)


def test_who_becomes_the_initiators_second_self_after_approving_no_longer_counts(prod: Environment) -> None:
    one = at(prod, "confirm")
    EmailAddress.objects.create(user=make_user("Mia"), email="rob@acme.example", verified=True)
    with pytest.raises(Voided, match="Mia may no longer approve"):
        one.start(by=one.initiator, plan_hash=one.plan_hash, now=SOON)


# --- RA05: the plan that was looked at -------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["approve", "reject", "start"])
@pytest.mark.parametrize("wrong", ["", "0" * 64, "foreign", "upper"])
def test_an_answer_for_another_plan_consumes_nothing(prod: Environment, verb: str, wrong: str) -> None:
    one = at(prod, "confirm" if verb == "start" else "approval")
    other = make_environment(make_instance("other"), "prod", kind="production")
    foreign = make_deployment(other, at="approval")
    given = {"foreign": foreign.plan_hash, "upper": one.plan_hash.upper()}.get(wrong, wrong)
    assert given != one.plan_hash
    more = {"reason": "not today"} if verb == "reject" else {}
    by = one.initiator if verb == "start" else make_user("Mia")
    before = one.answers.count()
    with pytest.raises(StalePlan):
        getattr(one, verb)(by=by, plan_hash=given, now=SOON, **more)
    assert again(one).status is Status.WAITING and one.answers.count() == before
    getattr(one, verb)(by=by, plan_hash=one.plan_hash, now=SOON, **more)


# --- RA07: every field of the plan, changed by itself ----------------------------------------------------------------

Change = Callable[[Environment], object]


def pipeline(text: str) -> Change:
    return lambda prod: Environment.objects.filter(pk=prod.pk).update(pipeline=text)


def target(**fields: object) -> Change:
    return lambda prod: Target.objects.filter(environment=prod).update(**fields)


def home_test(**fields: str) -> str:
    given = {"url": "'https://prod.acme.example/'", "contains": "Welcome", **fields}
    return f"smoke_tests: {{home: {{{', '.join(f'{key}: {value}' for key, value in given.items())}}}}}"


def release_goes_live(prod: Environment) -> None:
    """Another release has succeeded here meanwhile (its rows; a second one cannot be open beside this one)."""
    other = Deployment.objects.get(environment__name="uat")
    run = Run.objects.begin(kind="x", subject_id=0, title="x", lock_key="x", steps=[], now=NOW, status="succeeded")
    other.pk, other.run, other.environment, other.number = None, run, prod, 99
    other.save()


def package_is_another(prod: Environment) -> None:
    Deployment.objects.filter(environment__name="uat").update(digest="b" * 64)


CHANGES: Mapping[str, Change] = {
    "smoke test url": pipeline(home_test(url="'https://prod.acme.example/other'")),
    "smoke test status": pipeline(home_test(status="404")),
    "smoke test contains": pipeline(home_test(contains="Hello")),
    "smoke test lacks": pipeline(home_test(lacks="Error")),
    "smoke test redirect": pipeline(home_test(redirect="/login", status="302")),
    "smoke test may be broken": pipeline(home_test(may_be_broken="true")),
    "smoke test without tls": pipeline(home_test(verify_tls="false")),
    "smoke test added": pipeline(BASE.replace("}}", "}, more: {url: 'https://prod.acme.example/x'}}")),
    "smoke tests gone": pipeline(""),
    "who is asked": pipeline(f"{BASE}\nsteps: [{{approval: {{ask: [[instance-managers]]}}}}]"),
    "order of asking": pipeline(
        f"{BASE}\nsteps: [{{approval: {{ask: [[instance-managers], [deployment-managers]]}}}}]"
    ),
    "assets": pipeline(f"{BASE}\nsteps: [{{backup: {{assets: true}}}}]"),
    "window": pipeline(f"{BASE}\nsteps: [{{rollback_window: {{lasts: 10m}}}}]"),
    "recipe options": lambda prod: Environment.objects.filter(pk=prod.pk).update(recipe_options={"docroot": "public"}),
    "recipe": lambda prod: Environment.objects.filter(pk=prod.pk).update(recipe="silverstripe"),
    "commit's tree": lambda prod: Commit.objects.filter(instance=prod.instance_id).update(tree="c" * 40),
    "package": package_is_another,
    "live release": release_goes_live,
    "target added": lambda prod: make_target(prod, "web7.acme.example"),
    "target removed": target(removed_at=NOW),
    "target not set up": target(set_up_at=None),
    "target address": target(address="elsewhere.example"),
    "target port": target(port=2222),
    "target user": target(user="root"),
    "target base": target(base="/sites/other"),
    "target key": target(host_key=HOST_KEY.replace("2aXy", "2aXz")),
    "target web": target(web=False),
    "target db": target(db=False),
}


@pytest.mark.parametrize("gate", ["approval", "confirm"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_while_it_waits_voids_or_refuses(prod: Environment, gate: str, change: str) -> None:
    one = at(prod, gate)
    old = one.plan_hash
    CHANGES[change](prod)
    with pytest.raises((Voided, NotNow)):
        if gate == "approval":
            one.approve(by=make_user("Mia"), plan_hash=old, now=SOON)
        else:
            one.start(by=one.initiator, plan_hash=old, now=SOON)
    one = again(one)
    assert one.approver is None or one.status.ended
    if not one.status.ended:
        story = Story(one, SOON)
        assert story.begin_step() == "approval" and again(one).plan_hash != old


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_while_it_waits_is_seen_without_a_click(prod: Environment, change: str) -> None:
    from deploynaut.runs.runner import advance

    one = at(prod, "confirm")
    CHANGES[change](prod)
    advance(one.run_id, clock=lambda: SOON)
    assert again(one).approver is None or again(one).status is Status.REJECTED


FROZEN: Mapping[str, Change] = {
    name: change for name, change in CHANGES.items() if name.startswith("target ") and name[7:] not in
    ("added", "removed", "not set up")
}  # fmt: skip


def rewritten(**fields: object) -> Callable[[Deployment], object]:
    return lambda one: Deployment.objects.filter(pk=one.pk).update(**fields)


ROWS: Mapping[str, Callable[[Deployment], object]] = {
    "commit": rewritten(commit="d" * 40),
    "package": rewritten(digest="d" * 64),
    "pipeline": rewritten(pipeline=""),
    "recipe": rewritten(recipe="silverstripe"),
    "recipe options": rewritten(recipe_options={"docroot": "public"}),
    "plan hash": rewritten(plan_hash="d" * 64),
    "target added": lambda one: one.targets.add(make_target(one.environment, "web8.acme.example")),
    "no targets": lambda one: one.targets.clear(),
    "approved by nobody": lambda one: one.answers.all().delete(),
    "rejected": lambda one: one.answers.update(approved=False),
    "approval void": lambda one: one.answers.update(void_at=NOW),
    "approved another plan": lambda one: one.answers.update(plan_hash="d" * 64),
    "approved by the initiator": lambda one: one.answers.update(by=one.initiator),
    "approved by a stranger": lambda one: one.answers.update(by=make_user("Sam")),
    **{name: lambda one, change=change: change(one.environment) for name, change in FROZEN.items()},  # type: ignore[misc]
}


def test_at_the_line_what_was_approved_may_run(prod: Environment) -> None:
    assert at_the_line(at(prod, "line"), now=SOON) == ""


@pytest.mark.parametrize("change", ROWS)
def test_at_the_line_nothing_runs_that_is_not_what_was_approved(prod: Environment, change: str) -> None:
    one = at(prod, "line")
    ROWS[change](one)
    assert at_the_line(again(one), now=SOON)


@pytest.mark.parametrize("change", sorted(set(CHANGES) - set(FROZEN) - {"commit's tree"}))
def test_from_deploy_on_edits_of_the_environment_are_for_the_next_release(prod: Environment, change: str) -> None:
    one = at(prod, "line")
    CHANGES[change](prod)
    assert at_the_line(again(one), now=SOON) == "" and again(one).pipeline == BASE


@pytest.mark.parametrize("text", ["steps: [", "promote_from: elsewhere", "smoke_tests: 5"])
def test_a_pipeline_file_broken_after_deploy_stops_nothing(prod: Environment, text: str) -> None:
    one = at(prod, "line")
    Environment.objects.filter(pk=prod.pk).update(pipeline=text)
    assert at_the_line(again(one), now=SOON) == ""


# --- RA08: only what passed UAT --------------------------------------------------------------------------------------


def uat_of(prod: Environment) -> Environment:
    return prod.instance.environments.get(name="uat")


NEVER_PASSED = ["never", "failed", "rolled back", "running", "withdrawn", "excused", "on test", "elsewhere"]


def released_in_this_way(prod: Environment, way: str) -> str:
    """A commit that must not go to production."""
    uat, commit = uat_of(prod), make_commit(prod.instance)
    match way:
        case "failed" | "rolled back":
            make_deployment(uat, at=way, commit=commit)
        case "running":
            make_deployment(uat, at="smoke_tests", commit=commit)
        case "withdrawn":
            one = make_deployment(uat, at="succeeded", commit=commit)
            one.withdraw(by=one.initiator, reason="it is broken", now=NOW + HOUR / 4)
        case "excused":
            one = make_deployment(uat, at="succeeded", commit=commit)
            Deployment.objects.filter(pk=one.pk).update(excused=True)
        case "on test":
            make_deployment(make_environment(prod.instance, "test", kind="test"), at="succeeded", commit=commit)
        case "elsewhere":
            other = make_instance("other")
            same = Commit.objects.create(
                instance=other, hex=commit.hex, subject="x", author="x", authored_at=NOW, committed_at=NOW
            )
            make_deployment(make_environment(other), at="succeeded", commit=same)
    return commit.hex


@pytest.mark.parametrize("door", ["begin", "instead", "break glass", "planned"])
@pytest.mark.parametrize("way", NEVER_PASSED)
def test_what_has_not_passed_uat_is_not_begun_in_any_way(prod: Environment, way: str, door: str) -> None:
    first = at(prod, "approval")
    commit = released_in_this_way(prod, way)
    if door != "instead":
        first.abort(by=first.initiator, now=SOON)
    doors: dict[str, dict[str, Any]] = {
        "begin": {},
        "instead": {"instead_of": first},
        "break glass": {"by": make_user("Olga"), "break_glass": "the site leaks addresses now"},
        "planned": {"scheduled_for": SOON + HOUR},
    }
    with pytest.raises(NotPromoted):
        begin(prod, commit, **doors[door])
    assert commit not in [one.commit for one in promotable(prod)]
    assert Deployment.objects.filter(environment=prod).count() == 1
    assert door != "instead" or again(first).status is Status.WAITING


def test_what_was_on_production_before_is_no_way_round_uat(prod: Environment) -> None:
    done = at(prod, "succeeded")
    newest = Deployment.objects.get(environment__name="uat")
    newest.withdraw(by=done.initiator, reason="it is broken", now=NOW + HOUR)
    with pytest.raises(NotPromoted, match="it is broken"):
        begin(prod, done.commit, way=By.RELEASE)


@pytest.mark.parametrize("commit", ["f" * 40, "main", "", "' OR 1=1 --"])
def test_what_is_no_commit_of_the_instance_is_not_begun(prod: Environment, commit: str) -> None:
    at(prod, "aborted")
    with pytest.raises((RevisionNotFound, NotPromoted)):
        begin(prod, commit)


@pytest.mark.parametrize("moment", ["approval", "confirm", "line"])
def test_what_is_withdrawn_from_uat_meanwhile_is_refused_and_nobody_is_asked_again(
    prod: Environment, moment: str
) -> None:
    one = at(prod, moment)
    Deployment.objects.get(environment__name="uat").withdraw(by=one.initiator, reason="it is broken", now=SOON)
    if moment == "line":
        assert "it is broken" in at_the_line(again(one), now=SOON)
        return
    with pytest.raises(NotNow, match="it is broken"):
        if moment == "approval":
            one.approve(by=make_user("Mia"), plan_hash=one.plan_hash, now=SOON)
        else:
            one.start(by=one.initiator, plan_hash=one.plan_hash, now=SOON)
    assert again(one).status is Status.REJECTED and again(one).round == 1


def test_withdrawing_works_where_uat_cannot_be_released_to(prod: Environment) -> None:
    """It takes a revision out of promotion: a lock of uat, or a bar, must not keep it in."""
    from deploynaut.instances.models import EnvironmentLock

    uat = make_environment(prod.instance)
    make_deployment(uat, at="succeeded", commit=make_commit(prod.instance), now=NOW - HOUR)
    one = make_deployment(uat, at="succeeded", commit=make_commit(prod.instance))
    EnvironmentLock.objects.create(environment=uat, owner=make_user("Mia"), reason="a demonstration", at=NOW)
    assert one.withdraw(by=one.initiator, reason="it is broken", now=SOON) is None
    assert one.withdrawn_reason == "it is broken" and one.commit not in [each.commit for each in promotable(prod)]


# --- RA09: once ------------------------------------------------------------------------------------------------------


def test_an_approval_is_for_one_deployment(prod: Environment) -> None:
    first = at(prod, "confirm")
    first.abort(by=first.initiator, now=SOON)
    second = begin(prod, first.commit, way=By.RELEASE)
    assert second.plan_hash == first.plan_hash, "the plan is the same, and yet"
    story = Story(second, SOON)
    assert story.begin_step() == "approval" and second.approver is None
    with pytest.raises(NotNow):
        second.start(by=second.initiator, plan_hash=second.plan_hash, now=SOON + HOUR)
    assert at_the_line(again(second), now=SOON) == "There is no approval of this plan"


def test_deploy_is_pressed_once(prod: Environment) -> None:
    one = at(prod, "confirm")
    one.start(by=one.initiator, plan_hash=one.plan_hash, now=SOON)
    with pytest.raises(NotNow, match="deploy pressed"):
        one.start(by=one.initiator, plan_hash=one.plan_hash, now=SOON)


def test_the_database_keeps_a_second_answer_out(prod: Environment) -> None:
    one = at(prod, "confirm")
    with pytest.raises(IntegrityError), transaction.atomic():
        Answer.objects.create(deployment=one, by=make_user("Ida"), approved=False, plan_hash=one.plan_hash, at=NOW)


# --- RA10: rights are asked for at each point ------------------------------------------------------------------------


def without_right(user: User) -> None:
    Grant.objects.filter(user=user).delete()


def disabled(user: User) -> None:
    user.disable(by=None, now=NOW + HOUR / 4)


def elsewhere_alone(user: User) -> None:
    uat = Environment.objects.get(name="uat", instance__name="acme")
    Grant.objects.filter(user=user).update(environment_id=uat.pk)


def given_by_the_initiator(user: User) -> None:
    Grant.objects.filter(user=user).update(given_by=make_user("Rob"), given_at=NOW + HOUR / 4)


LOSSES: Mapping[str, Callable[[User], None]] = {
    "without right": without_right,
    "disabled": disabled,
    "elsewhere alone": elsewhere_alone,
}
every_loss = pytest.mark.parametrize("loss", LOSSES)


@every_loss
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_an_approver_who_has_lost_the_right_between_page_and_click(prod: Environment, verb: str, loss: str) -> None:
    one = at(prod, "approval")
    mia = make_user("Mia")
    LOSSES[loss](mia)
    more = {"reason": "not today"} if verb == "reject" else {}
    with pytest.raises(NotAllowed):
        getattr(one, verb)(by=mia, plan_hash=one.plan_hash, now=SOON, **more)
    assert not one.answers.exists()


@pytest.mark.parametrize("loss", [*LOSSES, "given by the initiator"])
def test_an_approver_who_has_lost_the_right_before_deploy(prod: Environment, loss: str) -> None:
    one = at(prod, "confirm")
    {**LOSSES, "given by the initiator": given_by_the_initiator}[loss](make_user("Mia"))
    with pytest.raises(Voided, match="Mia may no longer approve"):
        one.start(by=one.initiator, plan_hash=one.plan_hash, now=SOON)
    story = Story(again(one), SOON)
    assert story.begin_step() == "approval"
    assert again(one).approver is None and [user.name for user in again(one).asked()] == ["Ida"]


@pytest.mark.parametrize("loss", [*LOSSES, "given by the initiator"])
def test_an_approver_who_has_lost_the_right_before_prepare(prod: Environment, loss: str) -> None:
    one = at(prod, "line")
    {**LOSSES, "given by the initiator": given_by_the_initiator}[loss](make_user("Mia"))
    assert at_the_line(again(one), now=SOON) == "Mia may no longer approve here"


def test_a_right_that_the_initiator_gave_is_too_new_for_a_day(prod: Environment) -> None:
    one = at(prod, "approval")
    given_by_the_initiator(make_user("Mia"))
    with pytest.raises(TooNew):
        one.approve(by=make_user("Mia"), plan_hash=one.plan_hash, now=SOON)


@every_loss
@pytest.mark.parametrize("verb", ["start", "roll_back", "dismiss", "extend", "abort"])
def test_an_initiator_who_has_lost_the_right_acts_as_one_no_more(prod: Environment, verb: str, loss: str) -> None:
    one = at(prod, "confirm" if verb in ("start", "abort") else "rollback_window")
    LOSSES[loss](one.initiator)
    more: dict[str, dict[str, object]] = {"start": {"plan_hash": one.plan_hash}, "extend": {"reason": "still looking"}}
    with pytest.raises(NotAllowed):
        getattr(one, verb)(by=one.initiator, now=SOON, **more.get(verb, {}))
    assert again(one).status is Status.WAITING


@every_loss
def test_an_initiator_who_has_lost_the_right_before_prepare(prod: Environment, loss: str) -> None:
    one = at(prod, "line")
    LOSSES[loss](one.initiator)
    assert at_the_line(again(one), now=SOON) == "Rob may no longer release to prod of acme"


@every_loss
def test_who_has_taken_over_and_lost_the_right_before_prepare(prod: Environment, loss: str) -> None:
    one = at(prod, "confirm")
    ida = make_user("Ida")
    one.take_over(by=ida, now=SOON)
    one.start(by=ida, plan_hash=one.plan_hash, now=SOON)
    assert at_the_line(again(one), now=SOON) == ""
    LOSSES[loss](ida)
    assert at_the_line(again(one), now=SOON) == "Ida may no longer release to prod of acme"


def test_who_broke_the_glass_and_lost_that_right_before_prepare(prod: Environment) -> None:
    ended, olga = at(prod, "aborted"), make_user("Olga")
    one = begin(prod, ended.commit, by=olga, break_glass="the site leaks addresses now")
    Story(one, SOON).begin_step()
    one.start(by=olga, plan_hash=one.plan_hash, now=SOON + HOUR)
    assert at_the_line(again(one), now=SOON + HOUR) == ""
    without_right(olga)
    assert "Olga may no longer release" in at_the_line(again(one), now=SOON + HOUR)


def test_what_is_objected_at_the_line_fails_before_anything_was_done(prod: Environment) -> None:
    from deploynaut.deployments.subject import DeploymentSubject
    from deploynaut.engine.steps.base import StepFailed
    from deploynaut.runs.subjects import Session, Work

    one = at(prod, "line")
    without_right(make_user("Mia"))
    Story(one, SOON).begin_step()
    work = Work(token=1, log=print, guard=lambda: None, mark=lambda _: None, clock=lambda: SOON, mask=print,
                session=Session())  # fmt: skip
    with pytest.raises(StepFailed, match="Mia may no longer approve here"):
        DeploymentSubject().perform(one.run, one.run.steps.get(kind="prepare"), work)


# --- and one at a time -----------------------------------------------------------------------------------------------


def test_waiting_is_open_too(prod: Environment) -> None:
    one = at(prod, "approval")
    with pytest.raises(AlreadyOpen, match="Rob began acme/prod #1"):
        begin(prod, one.commit, way=By.RELEASE, by=make_user("Ida"))


def test_begin_instead_of_one_that_has_expired_is_just_begin(prod: Environment) -> None:
    one = at(prod, "approval")
    late = NOW + timedelta(days=8)
    revision = Revision(one.commit, By.RELEASE)
    second = Deployment.objects.begin(environment=prod, by=one.initiator, revision=revision, now=late, instead_of=one)
    assert again(one).status is Status.EXPIRED and second.number == 2


def test_nobody_is_aborted_for_a_release_that_cannot_begin(prod: Environment) -> None:
    one = at(prod, "approval")
    Target.objects.filter(environment=prod).update(set_up_at=None)
    with pytest.raises(CannotBegin):
        begin(prod, one.commit, way=By.RELEASE, instead_of=one)
    assert again(one).status is Status.WAITING


def test_of_another_instance_nothing_is_shared(prod: Environment) -> None:
    one = at(prod, "approval")
    other: Instance = make_instance("other")
    foreign = make_user("Finn", Role.INSTANCE_MANAGER, instance=other)
    with pytest.raises(NotAllowed) as refusal:
        one.approve(by=foreign, plan_hash=one.plan_hash, now=SOON)
    assert refusal.value.hidden
