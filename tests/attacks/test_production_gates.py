"""An insider against the promise of two people: second persons of one's own making, forged fields, old rows."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any, cast

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.utils import timezone

from deploynaut.accounts import password_links
from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.roles import Role
from deploynaut.deployments.approval import KeyHeld, OwnMaking, TooNew, require_answer
from deploynaut.deployments.context import context
from deploynaut.deployments.gates import TooEarly, Voided
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.objections import at_the_line
from deploynaut.deployments.promotion import NotPromoted, promotable
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.engine.pipeline import Status, TaskSucceeded
from deploynaut.engine.steps.base import StepFailed
from deploynaut.instances import proposals
from deploynaut.instances.models import Commit, Environment, Freeze, Instance, Proposal
from deploynaut.instances.revisions import By, Revision
from deploynaut.runs.runner import advance
from deploynaut.runs.subjects import Work
from tests.builders import (
    NOW,
    Story,
    make_commit,
    make_deployment,
    make_environment,
    make_instance,
    make_target,
    make_user,
)
from tests.people import log_in

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
SOON = NOW + HOUR


@pytest.fixture
def prod() -> Environment:
    return make_environment(make_instance(), "prod", kind="production")


def again(one: Deployment) -> Deployment:
    return Deployment.objects.get_queryset().for_page().get(pk=one.pk)


# --- second persons of one's own making ------------------------------------------------------------------------------


def manager(name: str, instance: Instance) -> User:
    return make_user(name, Role.INSTANCE_MANAGER, instance=instance)


def give(by: User, to: User, role: Role, instance: Instance | None) -> None:
    Grant.objects.give(by=by, to=to, role=role, now=SOON, instance=instance.pk if instance else None)


def asking_by(by: User, prod: Environment) -> Deployment:
    return make_deployment(prod, at="approval", by=by)


def test_a_chain_of_roles_that_begins_with_the_initiator_makes_no_approver(prod: Environment) -> None:
    rob, kim, lee, max_ = (manager("Rob", prod.instance), *(make_user(name) for name in ("Kim", "Lee", "Max")))
    one = asking_by(rob, prod)
    for by, to in ((rob, kim), (kim, lee)):
        give(by, to, Role.INSTANCE_MANAGER, prod.instance)
    give(lee, max_, Role.DEPLOYMENT_MANAGER, prod.instance)
    for who in (kim, lee, max_):
        with pytest.raises(TooNew, match="24 hours"):
            one.approve(by=who, plan_hash=one.plan_hash, now=SOON + HOUR)
    assert not one.answers.exists()
    require_answer(max_, one, now=SOON + DAY)


def test_taking_the_role_in_between_back_hides_nothing(prod: Environment) -> None:
    rob, kim, lee = manager("Rob", prod.instance), make_user("Kim"), make_user("Lee")
    one = asking_by(rob, prod)
    give(rob, kim, Role.INSTANCE_MANAGER, prod.instance)
    give(kim, lee, Role.DEPLOYMENT_MANAGER, prod.instance)
    Grant.objects.take(by=rob, to=kim, role=Role.INSTANCE_MANAGER, now=SOON, instance=prod.instance_id)
    with pytest.raises(TooNew):
        one.approve(by=lee, plan_hash=one.plan_hash, now=SOON)


def test_a_manager_of_their_own_right_gives_roles_that_count_at_once(prod: Environment) -> None:
    rob, ida, lee = manager("Rob", prod.instance), manager("Ida", prod.instance), make_user("Lee")
    one = asking_by(rob, prod)
    # One more role from the initiator does not make a manager of long standing somebody's hand.
    give(rob, ida, Role.VIEWER, prod.instance)
    give(ida, lee, Role.DEPLOYMENT_MANAGER, prod.instance)
    one.approve(by=lee, plan_hash=one.plan_hash, now=SOON)


def test_a_second_account_of_the_initiator_makes_no_approver(prod: Environment) -> None:
    rob, zoe, kim = make_user("Rob", Role.TECHNICAL_STAFF, instance=prod.instance), make_user("Zoe"), make_user("Kim")
    manager("Zoe", prod.instance)
    EmailAddress.objects.create(user=zoe, email="rob+two@acme.example", verified=True)
    one = asking_by(rob, prod)
    give(zoe, kim, Role.DEPLOYMENT_MANAGER, prod.instance)
    with pytest.raises(TooNew):
        one.approve(by=kim, plan_hash=one.plan_hash, now=SOON)


def test_an_account_opened_by_an_account_that_was_opened_does_not_count(prod: Environment) -> None:
    ada, eve, kim = (make_user(name, Role.ADMINISTRATOR) for name in ("Ada", "Eve", "Kim"))
    make_user("Ada", Role.TECHNICAL_STAFF, instance=prod.instance)
    mia = make_user("Mia", Role.DEPLOYMENT_MANAGER, instance=prod.instance)
    one = asking_by(ada, prod)
    password_links.make(eve, by=ada, now=SOON)
    password_links.make(kim, by=eve, now=SOON)
    password_links.make(mia, by=kim, now=SOON)
    with pytest.raises(KeyHeld, match="password link"):
        one.approve(by=mia, plan_hash=one.plan_hash, now=SOON)
    assert not one.answers.exists()


def test_a_link_by_somebody_else_takes_no_approval_away(prod: Environment) -> None:
    ada = make_user("Ada", Role.ADMINISTRATOR)
    one = asking_by(manager("Rob", prod.instance), prod)
    mia = make_user("Mia")
    password_links.make(mia, by=ada, now=SOON)
    one.approve(by=mia, plan_hash=one.plan_hash, now=SOON)


def test_nobody_is_asked_who_may_not_answer(prod: Environment) -> None:
    ada = make_user("Ada", Role.ADMINISTRATOR)
    make_user("Ada", Role.TECHNICAL_STAFF, instance=prod.instance)
    mia = make_user("Mia", Role.DEPLOYMENT_MANAGER, instance=prod.instance)
    pia = make_user("Pia", Role.DEPLOYMENT_MANAGER, instance=prod.instance)
    password_links.make(mia, by=ada, now=NOW)
    assert asking_by(ada, prod).asked() == [pia]


def test_a_confirmation_by_a_chain_of_ones_own_making_does_not_count(prod: Environment) -> None:
    rob, kim, lee = make_user("Rob", Role.ADMINISTRATOR), make_user("Kim"), make_user("Lee")
    manager("Rob", prod.instance)
    prod.mark_released(NOW)
    found = Environment.objects.change(prod, by=rob, now=NOW, url="https://other.acme.example/")
    assert isinstance(found, Proposal)
    give(rob, kim, Role.ADMINISTRATOR, None)
    give(kim, lee, Role.ADMINISTRATOR, None)
    for who in (kim, lee):
        with pytest.raises(proposals.NotByYou, match="24 hours"):
            proposals.confirm(found, by=who, now=SOON)
    assert Proposal.objects.get().is_open
    proposals.confirm(found, by=lee, now=SOON + DAY)


# --- a reason that nobody asked for ----------------------------------------------------------------------------------


def begin(where: Environment, by: User, commit: str, **more: Any) -> Deployment:
    revision = Revision(commit, By.COMMIT)
    return Deployment.objects.begin(environment=where, by=by, revision=revision, now=NOW, **more)


def test_an_override_given_before_there_is_a_freeze_opens_none_later(prod: Environment) -> None:
    first = make_deployment(prod, at="aborted")
    rob = first.initiator
    one = begin(prod, rob, first.commit, override="just in case there will be a freeze")
    assert one.override == ""
    story = Story(one)
    story.begin_step()
    one.approve(by=make_user("Mia"), plan_hash=one.plan_hash, now=story.later())
    story.begin_step()
    Freeze.objects.create(
        instance=prod.instance, by=make_user("Mia"), at=NOW, reason="Election day", zone="UTC",
        begins="2026-07-01T12:00", lasts=DAY,
    )  # fmt: skip
    with pytest.raises(TooEarly, match="Election day"):
        again(one).start(by=rob, plan_hash=one.plan_hash, now=story.later())


def test_a_forged_override_of_the_form_is_not_kept_either(prod: Environment) -> None:
    first = make_deployment(prod, at="aborted")
    fields = {"by": "release", "release": first.commit, "act": "begin", "override": "because I say so, all of you"}
    answer = log_in("Rob").post("/instances/acme/prod/release/", fields)
    assert answer.status_code == 302
    assert Deployment.objects.latest("pk").override == ""


@pytest.mark.parametrize("field", ["override", "break_glass"])
@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\x1b[2J", "\x00"])
def test_a_reason_with_hidden_text_is_kept_by_no_door(prod: Environment, field: str, hidden: str) -> None:
    first = make_deployment(prod, at="aborted")
    olga, before = make_user("Olga"), Deployment.objects.count()
    by = first.initiator if field == "override" else olga
    with pytest.raises(ValidationError) as refused:
        begin(prod, by, first.commit, **{field: f"the site shows{hidden} other people's letters"})
    assert field in refused.value.message_dict and Deployment.objects.count() == before


def test_a_reason_for_breaking_the_glass_is_kept_on_one_line(prod: Environment) -> None:
    first = make_deployment(prod, at="aborted")
    one = begin(prod, make_user("Olga"), first.commit, break_glass="  the site shows\n\n2026-07-01 approved by Mia ")
    assert one.break_glass == "the site shows 2026-07-01 approved by Mia"


# --- what passed UAT once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["rolled back", "rollback failed"])
def test_what_uat_has_put_back_since_it_passed_is_not_promoted(prod: Environment, ending: str) -> None:
    first = make_deployment(prod, at="aborted")
    uat = prod.instance.environments.get(name="uat")
    commit = Commit.objects.get(hex=first.commit)
    assert [one.commit for one in promotable(prod)] == [first.commit]
    make_deployment(uat, at=ending, commit=commit)
    assert promotable(prod) == []
    with pytest.raises(NotPromoted, match=f"ended as {ending}"):
        begin(prod, first.initiator, first.commit)


def test_what_uat_puts_back_while_production_waits_is_refused_and_nobody_is_asked_again(prod: Environment) -> None:
    one = make_deployment(prod, at="confirm")
    uat = prod.instance.environments.get(name="uat")
    make_deployment(uat, at="rolled back", commit=Commit.objects.get(hex=one.commit))
    with pytest.raises(NotNow, match="ended as rolled back"):
        one.start(by=one.initiator, plan_hash=one.plan_hash, now=SOON)
    assert again(one).status is Status.REJECTED


def test_a_later_attempt_that_never_touched_uat_takes_nothing_back(prod: Environment) -> None:
    first = make_deployment(prod, at="aborted")
    uat = prod.instance.environments.get(name="uat")
    for ending in ("failed", "aborted"):
        make_deployment(uat, at=ending, commit=Commit.objects.get(hex=first.commit))
    begin(prod, first.initiator, first.commit)


# --- rows of another version -----------------------------------------------------------------------------------------

UNREADABLE = "steps:\n  - approval: {ask: [], telepathy: true}\n"
"""A pipeline of a version that knew more, or of one that was less strict."""
ONE = "/instances/acme/prod/1/"
PAGES = (
    *(f"{ONE}{page}" for page in ("", "log/", "approval/", "rollback/", "extend/", "withdraw/", "resolve/")),
    "/", "/instances/acme/", "/instances/acme/prod/", "/instances/acme/prod/release/", "/operations/maintenance/",
)  # fmt: skip
STATES = ("queued", "approval", "confirm", "prepare", "rollback_window", "succeeded", "rolled back", "rollback failed")


def spoil(one: Deployment, how: str) -> Deployment:
    rows = Deployment.objects.filter(pk=one.pk)
    if how == "without a plan":
        rows.update(stored_plan={}, plan_hash="", promoted_from=None)
    if how in ("unreadable", "frozen unreadable"):
        rows.update(pipeline=UNREADABLE)
    if how == "unreadable":
        Environment.objects.filter(pk=one.environment_id).update(pipeline=UNREADABLE)
    return again(one)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("how", ["without a plan", "unreadable"])
def test_pages_of_a_deployment_of_another_version_open(prod: Environment, state: str, how: str) -> None:
    cache.clear()
    spoil(make_deployment(prod, at=state), how)
    for name in ("Rob", "Mia", "Olga"):
        browser = log_in(name)
        for page in PAGES:
            assert browser.get(page).status_code in (200, 302, 403, 404), (name, page)


@pytest.mark.parametrize("state", ["queued", "approval", "confirm"])
def test_what_waits_with_an_unreadable_pipeline_is_refused_in_words(prod: Environment, state: str) -> None:
    one = spoil(make_deployment(prod, at=state), "unreadable")
    advance(one.run_id, clock=lambda: SOON)
    one = again(one)
    assert one.status is Status.REJECTED and "prod.yml:2:25" in one.outcome and "not touched" in one.outcome


@pytest.mark.parametrize("state", ["queued", "approval"])
def test_what_waits_without_a_stored_plan_is_asked_about_anew_or_goes_on_waiting(prod: Environment, state: str) -> None:
    one = spoil(make_deployment(prod, at=state), "without a plan")
    advance(one.run_id, clock=lambda: SOON)
    one = again(one)
    assert one.status is Status.WAITING and len(one.plan_hash) == 64 and one.plan.commit == one.commit


@pytest.mark.parametrize("verb", ["abort", "roll_back", "dismiss", "extend", ""])
def test_a_window_is_closed_by_people_and_clock_though_the_pipeline_is_unreadable(prod: Environment, verb: str) -> None:
    one = spoil(make_deployment(prod, at="rollback_window"), "unreadable")
    if verb:
        more = {"reason": "still looking"} if verb == "extend" else {}
        getattr(one, verb)(by=one.initiator, now=NOW + HOUR / 2, **more)
        assert again(one).status in (Status.ROLLING_BACK, Status.SUCCEEDED, Status.WAITING)
    if verb in ("extend", ""):
        advance(one.run_id, clock=lambda: NOW + DAY)
        assert again(one).status is Status.SUCCEEDED


@pytest.mark.parametrize("state", ["queued", "confirm", "rollback_window"])
def test_a_gate_opens_with_its_usual_times_though_the_frozen_pipeline_is_unreadable(
    prod: Environment, state: str
) -> None:
    before = {"queued": "queued", "confirm": "approval", "rollback_window": "smoke_tests"}[state]
    one = spoil(make_deployment(prod, at=before), "frozen unreadable")
    story = Story(one, SOON)
    if state == "confirm":
        one.approve(by=make_user("Mia"), plan_hash=one.plan_hash, now=SOON)
    if state == "rollback_window":
        story.apply(TaskSucceeded())
    advance(one.run_id, clock=lambda: story.now)
    lasts = {"queued": 7 * DAY, "confirm": DAY, "rollback_window": HOUR}[state]
    assert one.run.steps.get(status="waiting").deadline == story.now + lasts


def test_a_step_with_an_unreadable_pipeline_fails_in_words(prod: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spoil(make_deployment(prod, at="queued"), "frozen unreadable")
    for name in ("hide", "reached", "make", "mirror_of", "packages", "snapshots"):
        monkeypatch.setattr(f"deploynaut.deployments.context.{name}", lambda *args, **more: (), raising=False)
    with pytest.raises(StepFailed, match=r"cannot be read any more: acme/prod\.yml:2:25"):
        context(one, one.run, one.run.steps.get(kind="prepare"), cast("Work", None))


def test_an_excused_pass_of_the_version_before_is_not_promoted(prod: Environment) -> None:
    first = make_deployment(prod, at="aborted")
    passed = promotable(prod)[0]
    passed.run.steps.filter(kind="smoke_tests").update(facts={"excused": ["home"]})
    # The version before had no such column.
    assert not passed.excused
    import_module("deploynaut.deployments.migrations.0004_excused_before").excused(apps, None)
    assert promotable(prod) == []
    with pytest.raises(NotPromoted, match="excused"):
        begin(prod, first.initiator, first.commit)


# --- the record says what happened -----------------------------------------------------------------------------------


def to_the_end(one: Deployment) -> Deployment:
    story = Story(again(one), SOON)
    while not story.run.ended:
        story.do()
    return again(one)


def test_an_abort_while_going_back_is_written_down_as_what_it_is(prod: Environment) -> None:
    make_deployment(prod, at="succeeded")
    two = make_deployment(prod, at="rollback_window", commit=make_commit(prod.instance))
    two.roll_back(by=two.initiator, now=NOW + HOUR / 3)
    two.abort(by=make_user("Mia"), now=NOW + HOUR / 2)
    two = to_the_end(two)
    deeds = set(AuditEntry.objects.about("deployment", two.pk).values_list("actor_name", "action"))
    assert ("Mia", "abort asked for while going back") in deeds and ("Mia", "aborted") not in deeds
    assert two.status is Status.ROLLED_BACK and "Rob asked for Rollback" in two.outcome and "Mia" not in two.outcome


@pytest.mark.parametrize(("code_only", "data"), [(True, "were left as they are"), (False, "are as before")])
def test_code_alone_of_a_first_release_says_that_the_data_stayed(prod: Environment, code_only: bool, data: str) -> None:
    one = make_deployment(prod, at="rollback_window")
    one.roll_back(by=one.initiator, now=NOW + HOUR / 3, code_only=code_only)
    one = to_the_end(one)
    assert one.status is Status.FAILED and f"the data {data}." in one.outcome


def test_who_approves_is_who_is_logged_in_whatever_the_request_says(prod: Environment) -> None:
    cache.clear()
    one = make_deployment(prod, at="approval", now=timezone.now())
    mia = make_user("Mia")
    fields = {"answer": "approve", "plan": one.plan_hash, "by": mia.pk, "approver": mia.pk, "user_id": mia.pk}
    headers = {"X-User": mia.email, "X-Remote-User": mia.email, "X-HTTP-Method-Override": "PUT"}
    page = f"{ONE}approval/?approver={mia.pk}&by={mia.pk}"
    assert log_in("Rob").post(page, fields, headers=headers).status_code == 403
    denied = AuditEntry.objects.filter(result="denied", action="approve").get()
    assert denied.actor_name == "Rob" and not one.answers.exists()
    first, again_ = (log_in("Mia").post(page, {**fields, "by": one.initiator_id}) for _ in range(2))
    assert (first.status_code, again_.status_code) == (302, 409)
    assert [answer.by for answer in one.answers.all()] == [mia]


def test_nobody_is_said_to_be_asked_again_where_the_glass_was_broken(prod: Environment) -> None:
    first = make_deployment(prod, at="aborted")
    olga = make_user("Olga")
    one = begin(prod, olga, first.commit, break_glass="the site shows other people's letters")
    advance(one.run_id, clock=lambda: NOW)
    make_target(prod, "web2.prod.acme.example")
    with pytest.raises(Voided) as refused:
        again(one).start(by=olga, plan_hash=one.plan_hash, now=NOW + HOUR / 4)
    assert "asked again" not in str(refused.value) and "web2" in str(refused.value)
    one = again(one)
    assert not one.asked() and one.plan_hash == one.plan.hash
    advance(one.run_id, clock=lambda: NOW + HOUR / 3)
    again(one).start(by=olga, plan_hash=one.plan_hash, now=NOW + HOUR / 2)
    assert at_the_line(again(one), now=SOON) == ""


@pytest.mark.parametrize("through", ["", "Kim"])
def test_a_role_from_ones_own_hand_breaks_no_glass_for_a_day(prod: Environment, through: str) -> None:
    first = make_deployment(prod, at="aborted")
    ada, reason = make_user("Ada", Role.ADMINISTRATOR), {"break_glass": "the administrator wants it now"}
    giver = make_user(through) if through else ada
    if through:
        give(ada, giver, Role.ADMINISTRATOR, None)
    proposals.change_role(instance=prod.instance, by=giver, to=ada, role=Role.OPS, give=True, now=NOW)
    with pytest.raises(OwnMaking, match="24 hours"):
        begin(prod, ada, first.commit, **reason)
    assert Deployment.objects.open_on(prod) is None
    assert begin(prod, make_user("Olga"), first.commit, **reason).break_glass
