"""Resolved: who may say it, when, and what it changes for the releases that follow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from deploynaut.accounts.models import User
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.resolution import Resolution, resolve
from deploynaut.engine.pipeline import Claimed, TaskFailed, TaskSucceeded
from deploynaut.engine.pipeline import NotAllowed as NotNow
from deploynaut.instances.models import Environment
from deploynaut.runs.models import StepFacts
from tests.builders import NOW, make_commit, make_deployment, make_environment, make_user

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(hours=2)


@pytest.fixture
def left() -> Deployment:
    """uat, left in maintenance by #2; #1 is known good."""
    uat = make_environment()
    make_deployment(uat, at="succeeded")
    return make_deployment(uat, at="rollback failed", commit=make_commit(uat.instance), now=NOW + timedelta(hours=1))


def prove(resolution: Resolution, *, fails: str = "") -> None:
    """What the worker does."""
    run = resolution.run
    run.apply(Claimed(), now=LATER)
    run.apply(TaskFailed(fails) if fails else TaskSucceeded(), now=LATER, facts=None if fails else StepFacts("ok", {}))


def olga(environment: Environment) -> User:
    there = User.objects.filter(name="Olga").first()
    return there or make_user("Olga", Role.OPS, instance=environment.instance)


def test_ops_end_the_state_when_the_targets_agree(left: Deployment) -> None:
    uat = left.environment
    found = resolve(left, live_number=1, reason="relinked by hand", by=olga(uat), now=LATER)
    assert Deployment.objects.left_in_maintenance(uat)
    prove(found)
    assert not Deployment.objects.left_in_maintenance(uat)
    assert Deployment.objects.live_on([uat])[uat.pk].number == 1


def test_the_release_that_failed_may_be_the_one_that_is_live_and_is_not_known_good(left: Deployment) -> None:
    uat = left.environment
    prove(resolve(left, live_number=2, reason="mended in place", by=olga(uat), now=LATER))
    assert Deployment.objects.live_on([uat])[uat.pk] == left
    good = Deployment.objects.known_good(uat)
    assert good is not None and good.number == 1
    make_deployment(uat, at="succeeded", now=LATER)
    assert Deployment.objects.live_on([uat])[uat.pk].number == 3


def test_what_the_targets_deny_is_not_so(left: Deployment) -> None:
    uat = left.environment
    prove(resolve(left, live_number=1, reason="relinked", by=olga(uat), now=LATER), fails="leads to 2")
    assert Deployment.objects.left_in_maintenance(uat)
    prove(resolve(left, live_number=2, reason="it is 2", by=olga(uat), now=LATER))
    assert not Deployment.objects.left_in_maintenance(uat)


def test_who_may_and_what_is_refused(left: Deployment) -> None:
    uat = left.environment
    with pytest.raises(NotAllowed):
        viewer = make_user("Vera", Role.VIEWER, instance=uat.instance)
        resolve(left, live_number=1, reason="looks fine", by=viewer, now=LATER)
    with pytest.raises(ValidationError):
        resolve(left, live_number=1, reason=" ", by=olga(uat), now=LATER)
    with pytest.raises(ValidationError):
        resolve(left, live_number=9, reason="looks fine", by=olga(uat), now=LATER)
    resolve(left, live_number=1, reason="looks fine", by=left.initiator, now=LATER)
    with pytest.raises(NotNow, match="are being asked now"):
        resolve(left, live_number=1, reason="looks fine", by=olga(uat), now=LATER)


def test_while_a_new_release_is_open_its_success_is_what_ends_it(left: Deployment) -> None:
    make_deployment(left.environment, at="backup", now=LATER)
    with pytest.raises(NotNow, match="its success ends the state"):
        resolve(left, live_number=1, reason="looks fine", by=olga(left.environment), now=LATER)
