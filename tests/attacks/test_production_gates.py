"""An insider against the promise of two people: second persons of one's own making, forged fields, old rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress

from deploynaut.accounts import password_links
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.roles import Role
from deploynaut.deployments.approval import KeyHeld, TooNew, require_answer
from deploynaut.deployments.models import Deployment
from deploynaut.instances import proposals
from deploynaut.instances.models import Environment, Instance, Proposal
from tests.builders import NOW, make_deployment, make_environment, make_instance, make_user

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
