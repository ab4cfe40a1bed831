"""What a change of roles must not do to an instance."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from deploynaut.accounts.members import check_giving, check_taking
from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.roles import Role
from tests.people import NOW, PASSWORD, make_person

pytestmark = pytest.mark.django_db
ACME, OTHER, UAT, PROD = 3, 4, 7, 8
DM, IM = Role.DEPLOYMENT_MANAGER, Role.INSTANCE_MANAGER


def take(person: User, role: Role, environment: int | None = None, production: tuple[int, ...] = (PROD,)) -> None:
    check_taking(to=person, role=role, instance=ACME, environment=environment, production=production)


def also(person: User, role: Role, environment: int | None = None, instance: int = ACME) -> None:
    Grant.objects.give(by=None, to=person, role=role, instance=instance, environment=environment, now=NOW)


class TestTheLastInstanceManager:
    def test_stays(self) -> None:
        ida, _, _ = make_person("Ida", IM, instance=ACME), make_person("Mia", DM, instance=ACME), make_person("Max")
        make_person("Ivo", IM, instance=OTHER)
        make_person("Ina", IM, instance=ACME, environment=UAT)
        make_person("Gus", IM, instance=ACME).disable(by=None, now=NOW)
        with pytest.raises(ValidationError) as refused:
            take(ida, IM, production=())
        assert refused.value.message_dict == {
            "role": ["Ida is the only Instance Manager. Give the role to somebody else first."]
        }

    def test_goes_when_there_is_another(self) -> None:
        ida = make_person("Ida", IM, instance=ACME)
        make_person("Ivo", IM, instance=ACME)
        take(ida, IM, production=())

    def test_a_narrowed_one_goes_freely(self) -> None:
        take(make_person("Ina", IM, instance=ACME, environment=UAT), IM, UAT)


class TestApprovers:
    def test_the_only_other_one_stays(self) -> None:
        mia = make_person("Mia", DM, instance=ACME)
        make_person("Ida", IM, instance=ACME)
        with pytest.raises(ValidationError, match="Then Ida alone could approve"):
            take(mia, DM)

    def test_a_second_account_of_the_other_is_nobody_else(self) -> None:
        mia = make_person("Mia", DM, instance=ACME)
        make_person("Ida", IM, instance=ACME)
        second = User.objects.create_person(email="ida+2@acme.example", name="I", password=PASSWORD, now=NOW)
        also(second, DM)
        with pytest.raises(ValidationError, match="Ida alone"):
            take(mia, DM)
        take(second, DM)

    def test_goes_when_two_are_left_or_the_right_is_kept(self) -> None:
        mia, ida = make_person("Mia", DM, instance=ACME), make_person("Ida", IM, instance=ACME)
        also(ida, DM)
        take(ida, DM)
        make_person("Max", DM, instance=ACME)
        take(mia, DM)

    def test_where_there_is_no_production_nobody_is_counted(self) -> None:
        mia = make_person("Mia", DM, instance=ACME)
        make_person("Ida", IM, instance=ACME)
        take(mia, DM, production=())

    def test_narrowed_roles_count_on_their_environment(self) -> None:
        mia = make_person("Mia", DM, instance=ACME, environment=PROD)
        make_person("Ida", IM, instance=ACME)
        uat = make_person("Uta", DM, instance=ACME, environment=UAT)
        with pytest.raises(ValidationError, match="Ida alone"):
            take(mia, DM, PROD)
        take(uat, DM, UAT)

    def test_the_very_last_one_is_named_as_such(self) -> None:
        with pytest.raises(ValidationError, match="nobody could approve"):
            take(make_person("Mia", DM, instance=ACME), DM)

    def test_who_is_disabled_is_missed_by_nobody(self) -> None:
        mia = make_person("Mia", DM, instance=ACME)
        mia.disable(by=None, now=NOW)
        take(mia, DM)

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.TECHNICAL_STAFF, Role.OPS])
    def test_other_roles_go_freely(self, role: Role) -> None:
        take(make_person("Rob", role, instance=ACME), role)


class TestGiving:
    @pytest.mark.parametrize("role", [DM, IM])
    def test_nobody_makes_an_approver_of_themselves(self, role: Role) -> None:
        ada = make_person("Ada", Role.ADMINISTRATOR)
        second = User.objects.create_person(email="ada+b@acme.example", name="B", password=PASSWORD, now=NOW)
        for to in (ada, second):
            with pytest.raises(ValidationError) as refused:
                check_giving(by=ada, to=to, role=role)
            assert "person" in refused.value.message_dict
        check_giving(by=ada, to=make_person("Mia"), role=role)
        check_giving(by=None, to=ada, role=role)

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.TECHNICAL_STAFF, Role.OPS])
    def test_other_roles_may_be_ones_own(self, role: Role) -> None:
        ada = make_person("Ada", Role.ADMINISTRATOR)
        check_giving(by=ada, to=ada, role=role)
