"""Whoever has held a key to somebody's account does not get that account's approval."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploynaut.accounts import password_links
from deploynaut.accounts.models import User
from deploynaut.accounts.roles import Role
from deploynaut.deployments import approval
from tests.builders import NOW, make_deployment, make_environment, make_instance, make_user


@pytest.mark.django_db
def test_an_administrator_who_releases_gets_no_approval_from_an_account_opened_by_link() -> None:
    instance = make_instance("acme")
    make_environment(instance, "uat")
    prod = make_environment(instance, "prod", kind="production")
    ada = make_user("Ada", Role.ADMINISTRATOR)
    make_user("Ada", Role.TECHNICAL_STAFF, instance=instance)
    deployment = make_deployment(prod, at="approval", by=ada)
    mia = User.objects.get(name="Mia")
    assert approval.may_answer(mia, deployment, now=NOW) == ""
    password_links.make(mia, by=ada, now=NOW)
    with pytest.raises(approval.KeyHeld, match="password link"):
        approval.require_answer(mia, deployment, now=NOW + timedelta(hours=1))
    assert approval.may_answer(mia, deployment, now=NOW + timedelta(hours=24)) == ""
