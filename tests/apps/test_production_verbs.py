"""Every verb of a production release, at every moment of it, by everybody: done, too late, or not for you.

The two tables below are those of the decisions ("Roles and rights", "Abort, by moment", "Production"), written down by
hand; nothing of them is read from the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.db import transaction

from deploynaut.accounts.models import AuditEntry, User
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.deployments.managers import AlreadyOpen, CannotBegin
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.engine.pipeline import Status
from deploynaut.instances.models import Environment, Instance
from deploynaut.instances.revisions import By, Revision
from tests.builders import NOW, Story, make_commit, make_deployment, make_environment, make_instance, make_user

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
GLASS = "the site shows everybody's addresses"

Verb = Callable[[Deployment, User], object]

# --- who -------------------------------------------------------------------------------------------------------------

PEOPLE: Mapping[str, tuple[Role, ...]] = {
    "Vera": (Role.VIEWER,),
    "Rob": (Role.TECHNICAL_STAFF,),  # the initiator
    "Tom": (Role.TECHNICAL_STAFF,),
    "Mia": (Role.DEPLOYMENT_MANAGER,),
    "Ida": (Role.INSTANCE_MANAGER,),
    "Olga": (Role.OPS,),
    "Ada": (Role.ADMINISTRATOR,),
    "Sam": (),
    "Rob+two": (Role.DEPLOYMENT_MANAGER, Role.INSTANCE_MANAGER),  # a second account of the initiator
    "Dan": (Role.DEPLOYMENT_MANAGER,),  # disabled
    "Uma": (Role.INSTANCE_MANAGER,),  # of uat alone
}

MAY: Mapping[str, set[str]] = {
    "approve": {"Mia", "Ida"},
    "reject": {"Mia", "Ida"},
    "start": {"Rob"},
    "take over": {"Mia", "Ida", "Rob+two"},
    "roll back": {"Rob", "Mia", "Ida", "Olga", "Rob+two"},
    "dismiss": {"Rob", "Mia", "Ida", "Olga", "Rob+two"},
    "extend": {"Rob", "Mia", "Ida", "Olga", "Rob+two"},
    "abort": {"Rob", "Mia", "Ida", "Olga", "Rob+two"},
    "withdraw": {"Rob", "Tom", "Mia", "Ida", "Rob+two"},
    "begin": {"Rob", "Tom", "Mia", "Ida", "Rob+two"},
    "begin instead": {"Rob", "Tom", "Mia", "Ida", "Rob+two"},
    "break glass": {"Ida", "Olga", "Rob+two"},
}

# --- when ------------------------------------------------------------------------------------------------------------

WAITING = ("approval", "approved", "confirm", "Deploy pressed")
WORKING = ("prepare", "backup", "release", "smoke_tests")
ENDED = ("succeeded", "rejected", "aborted", "expired", "failed", "rolled back", "rollback failed")
OPEN = ("queued", *WAITING, *WORKING, "rollback_window", "rolling back")
MOMENTS = (*OPEN, *ENDED)

WHEN: Mapping[str, Iterable[str]] = {
    "approve": ("approval",),
    "reject": ("approval",),
    "start": ("confirm",),
    "take over": ("confirm",),
    "roll back": ("rollback_window",),
    "dismiss": ("rollback_window",),
    "extend": ("rollback_window",),
    "abort": OPEN,
    "withdraw": (),  # of production: never
    # What was rolled back is refused on that environment until somebody lets it in again.
    "begin": [moment for moment in ENDED if moment != "rolled back"],
    "begin instead": ["queued", *WAITING, *(moment for moment in ENDED if moment != "rolled back")],
    "break glass": [moment for moment in ENDED if moment != "rolled back"],
}

AFTER: Mapping[tuple[str, str], Status] = {
    ("approve", "approval"): Status.QUEUED,
    ("reject", "approval"): Status.REJECTED,
    ("start", "confirm"): Status.QUEUED,
    ("take over", "confirm"): Status.WAITING,
    ("roll back", "rollback_window"): Status.ROLLING_BACK,
    ("dismiss", "rollback_window"): Status.SUCCEEDED,
    ("extend", "rollback_window"): Status.WAITING,
    **{("abort", moment): Status.ABORTED for moment in ("queued", *WAITING)},
    **{("abort", moment): Status.RUNNING for moment in WORKING},  # noted; the task is ended first
    ("abort", "rollback_window"): Status.ROLLING_BACK,
    ("abort", "rolling back"): Status.ROLLING_BACK,  # it will be finished
}


def begin(deployment: Deployment, by: User, *, instead: bool = False, glass: str = "") -> object:
    return Deployment.objects.begin(
        environment=deployment.environment, by=by, revision=Revision(deployment.commit, By.RELEASE),
        now=later(deployment),
        instead_of=deployment if instead else None, break_glass=glass,
    )  # fmt: skip


def later(deployment: Deployment) -> datetime:
    """A little after the last thing that was done."""
    times = deployment.run.steps.values_list("begun_at", "ended_at")
    return max([deployment.begun_at, *(at for pair in times for at in pair if at)]) + MINUTE


VERBS: Mapping[str, Verb] = {
    "approve": lambda one, by: one.approve(by=by, plan_hash=one.plan_hash, now=later(one)),
    "reject": lambda one, by: one.reject(by=by, plan_hash=one.plan_hash, reason="not today", now=later(one)),
    "start": lambda one, by: one.start(by=by, plan_hash=one.plan_hash, now=later(one)),
    "take over": lambda one, by: one.take_over(by=by, now=later(one)),
    "roll back": lambda one, by: one.roll_back(by=by, now=later(one)),
    "dismiss": lambda one, by: one.dismiss(by=by, now=later(one)),
    "extend": lambda one, by: one.extend(by=by, reason="still looking", now=later(one)),
    "abort": lambda one, by: one.abort(by=by, now=later(one)),
    "withdraw": lambda one, by: one.withdraw(by=by, reason="it is broken", now=later(one)),
    "begin": begin,
    "begin instead": partial(begin, instead=True),
    "break glass": partial(begin, glass=GLASS),
}


# --- the world -------------------------------------------------------------------------------------------------------


@pytest.fixture
def prod() -> Environment:
    return make_environment(make_instance(), "prod", kind="production")


def people(instance: Instance) -> dict[str, User]:
    found = {}
    for name, roles in PEOPLE.items():
        held = [
            role for role in roles if not make_user(name).grants.filter(role=role, instance_id=instance.pk).exists()
        ]
        at = Environment.objects.get(instance=instance, name="uat") if name == "Uma" else None
        found[name] = make_user(name, *held, instance=instance, at=at)
    found["Dan"].disable(by=None, now=NOW)
    return found


def at(prod: Environment, moment: str) -> Deployment:
    """A release at this moment, begun by Rob, approved by Mia where that is behind."""
    built = {"approved": "approval", "Deploy pressed": "confirm", "rejected": "approval", "expired": "approval"}
    built["rolling back"] = "rollback_window"
    if moment in ("rolling back", "rolled back", "rollback failed"):
        # There is something to go back to.
        make_deployment(prod, at="succeeded", commit=make_commit(prod.instance), now=NOW - timedelta(days=1))
    one = make_deployment(prod, at=built.get(moment, moment))
    mia, rob = make_user("Mia"), make_user("Rob")
    match moment:
        case "approved":
            one.approve(by=mia, plan_hash=one.plan_hash, now=NOW + 5 * MINUTE)
        case "Deploy pressed":
            one.start(by=rob, plan_hash=one.plan_hash, now=NOW + 5 * MINUTE)
        case "rejected":
            one.reject(by=mia, plan_hash=one.plan_hash, reason="not today", now=NOW + 5 * MINUTE)
        case "expired":
            with pytest.raises(NotNow):
                one.approve(by=mia, plan_hash=one.plan_hash, now=NOW + timedelta(days=8))
        case "rolling back":
            one.roll_back(by=rob, now=NOW + 20 * MINUTE)
    return one


def expected(verb: str, moment: str, name: str) -> str:
    """`done`, `late` (409: not now, or not by this person), or `not allowed` (403, 404)."""
    if verb == "start" and name in ("Mia", "Ida", "Rob+two"):
        return "late"  # they take attendance over first
    if verb == "begin instead" and name == "Tom" and moment in OPEN:
        return "not allowed"  # aborting what somebody else began
    if name not in MAY[verb]:
        return "not allowed"
    return "done" if moment in WHEN[verb] else "late"


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except NotAllowed as refusal:
        assert str(refusal)
        return "not allowed"
    except (NotNow, AlreadyOpen, CannotBegin) as refusal:
        assert str(refusal)
        return "late"
    return "done"


def rows(deployment: Deployment) -> object:
    """What a refused click must leave as it was."""
    steps = deployment.run.steps.order_by("position").values_list("status", "deadline", "escalates_at", "attempt")
    done = AuditEntry.objects.filter(result="ok").count()
    return list(steps), deployment.answers.count(), deployment.run.messages.count(), done, Deployment.objects.count()


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_verb_by_everybody_at(prod: Environment, moment: str) -> None:
    one = at(prod, moment)
    everybody = people(prod.instance)
    before, wrong = rows(one), []
    for verb, act in VERBS.items():
        for name, by in everybody.items():
            with transaction.atomic():
                fresh = Deployment.objects.get_queryset().for_page().get(pk=one.pk)
                found = outcome(partial(act, fresh, by))
                fresh = Deployment.objects.get_queryset().for_page().get(pk=one.pk)
                if found != expected(verb, moment, name):
                    wrong.append(f"{name} {verb}: {found}, not {expected(verb, moment, name)}")
                elif found == "done" and (verb, moment) in AFTER and fresh.status is not AFTER[verb, moment]:
                    wrong.append(f"{name} {verb}: {fresh.status}, not {AFTER[verb, moment]}")
                elif found != "done" and rows(fresh) != before:
                    wrong.append(f"{name} {verb}: refused, and something was written")
                transaction.set_rollback(True)
    assert not wrong, "\n".join(wrong)


def test_the_table_names_every_verb_and_every_status() -> None:
    assert set(VERBS) == set(MAY) == set(WHEN)
    assert {Status(moment) for moment in ENDED} == {status for status in Status if status.ended}


# --- verbs of their own table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["queued", "prepare", "succeeded", "failed", "rolled back", "aborted"])
def test_withdraw_on_uat_by_everybody(moment: str) -> None:
    uat = make_environment(make_instance())
    one = make_deployment(uat, at=moment)
    everybody, wrong = people(uat.instance), []
    may = {"Rob", "Tom", "Mia", "Ida", "Rob+two", "Uma"}
    for name, by in everybody.items():
        with transaction.atomic():
            fresh = Deployment.objects.get_queryset().for_page().get(pk=one.pk)
            found = outcome(partial(VERBS["withdraw"], fresh, by))
            wanted = "not allowed" if name not in may else "done" if moment == "succeeded" else "late"
            if found != wanted:
                wrong.append(f"{name}: {found}, not {wanted}")
            transaction.set_rollback(True)
    assert not wrong, "\n".join(wrong)


def test_a_refused_revision_is_let_in_again_by_those_who_could_approve_it(prod: Environment) -> None:
    at(prod, "rolled back")
    bar = prod.bars.get()
    allowed = set()
    for name, by in people(prod.instance).items():
        with transaction.atomic():
            lift = partial(bar.lift, by=by, reason="the data were wrong", now=NOW + 60 * MINUTE)
            allowed |= {name} if outcome(lift) == "done" else set()
            transaction.set_rollback(True)
    assert allowed == {"Mia", "Ida", "Rob+two"}


def test_a_refused_revision_is_let_in_again_once(prod: Environment) -> None:
    from django.core.exceptions import ValidationError

    at(prod, "rolled back")
    bar = prod.bars.get()
    bar.lift(by=make_user("Mia"), reason="the data were wrong", now=NOW + 60 * MINUTE)
    with pytest.raises(ValidationError, match="already"):
        bar.lift(by=make_user("Mia"), reason="the data were wrong", now=NOW + 61 * MINUTE)


def test_begin_instead_ends_what_waits_and_begins_in_one_act_and_otherwise_does_neither(prod: Environment) -> None:
    one = at(prod, "prepare")
    with pytest.raises(AlreadyOpen):
        begin(one, one.initiator, instead=True)
    one.run.refresh_from_db()
    assert one.run.abort_by == "" and Deployment.objects.filter(environment=prod).count() == 1


# --- attendance changes hands ----------------------------------------------------------------------------------------


def test_who_has_taken_over_presses_deploy_and_the_initiator_no_more(prod: Environment) -> None:
    one = at(prod, "confirm")
    mia = make_user("Mia")
    one.take_over(by=mia, now=NOW + 5 * MINUTE)
    with pytest.raises(NotNow, match="Mia attends"):
        one.start(by=one.initiator, plan_hash=one.plan_hash, now=NOW + 6 * MINUTE)
    one.start(by=mia, plan_hash=one.plan_hash, now=NOW + 6 * MINUTE)
    assert Story(one, NOW + 7 * MINUTE).begin_step() == "prepare"


@pytest.mark.parametrize("name", ["Mia", "Ida"])
def test_a_manager_takes_over_a_release_that_ops_began_by_breaking_glass(prod: Environment, name: str) -> None:
    from deploynaut.deployments import objections

    ended = at(prod, "aborted")
    everybody = people(prod.instance)
    urgent = Deployment.objects.begin(
        environment=prod, by=everybody["Olga"], revision=Revision(ended.commit, By.RELEASE), now=NOW + 9 * MINUTE,
        break_glass=GLASS,
    )  # fmt: skip
    story = Story(urgent, NOW + 10 * MINUTE)
    assert story.begin_step() == "confirm"
    urgent.take_over(by=everybody[name], now=story.later())
    with pytest.raises(NotNow, match="attends"):
        urgent.start(by=everybody["Olga"], plan_hash=urgent.plan_hash, now=story.later())
    urgent.start(by=everybody[name], plan_hash=urgent.plan_hash, now=story.later())
    assert not objections.at_the_line(story.fresh(), now=story.later())


def test_ops_press_deploy_only_on_what_they_began_by_breaking_glass(prod: Environment) -> None:
    one = at(prod, "confirm")
    with pytest.raises(NotAllowed):
        one.start(by=make_user("Olga"), plan_hash=one.plan_hash, now=NOW + 5 * MINUTE)
    with pytest.raises(NotAllowed):
        one.take_over(by=make_user("Olga"), now=NOW + 5 * MINUTE)
