"""Every right × role × own or other × place, against the table of decisions written out once more by hand."""

from __future__ import annotations

import pytest

from deploynaut.accounts.rights import Held, UserRights
from deploynaut.accounts.roles import INSTANCE_WIDE, SYSTEM_RIGHTS, Right, Role

ACME, BETA = 1, 2
UAT, PROD = 10, 11

# V Viewer, T Technical Staff, D Deployment Manager, I Instance Manager, O Ops, A Administrator.
ANY = {
    "SEE": "VTDIOA",
    "FETCH": "TDIA",
    "RELEASE_TEST": "TDI",
    "BEGIN_PRODUCTION": "TDI",
    "APPROVE": "DI",
    "PRESS_DEPLOY_OWN": "TDI",
    "TAKE_OVER_ATTENDANCE": "DI",
    "ABORT": "DIO",
    "ABORT_OWN": "TDIO",
    "ROLL_BACK": "DIO",
    "ROLL_BACK_OWN": "TDIO",
    "MAINTENANCE": "DIO",
    "MAINTENANCE_TEST": "TDIO",
    "SNAPSHOT_TEST": "TDI",
    "SNAPSHOT_PRODUCTION": "DI",
    "RESTORE_PRODUCTION": "DI",
    "ALTER_PRODUCTION_SNAPSHOTS": "I",
    "EDIT_ENVIRONMENT": "IA",
    "EDIT_MEMBERS": "IA",
    "CREATE_INSTANCE": "A",
    "EDIT_USERS": "A",
    "SYSTEM_SETTINGS": "A",
    "BREAK_GLASS": "IO",
    "CONFIRM_PROPOSAL": "DIA",
    "OVERRIDE_FREEZE": "DI",
    "LIFT_LOCK": "IO",
}
OWN = ANY | {"ABORT": "TDIO", "ROLL_BACK": "TDIO", "TAKE_OVER_ATTENDANCE": "TDI"}
"""What differs when the deployment is one's own."""

LETTERS = dict(zip("VTDIOA", Role, strict=True))
ROLES = [(letter, role) for letter, role in LETTERS.items() if role is not Role.ADMINISTRATOR]


def may(role: Role, right: Right, *, at: int | None, asked: tuple[int, int | None], own: bool) -> bool:
    """Somebody with that role on acme (`at`: on one environment of it alone) asks for `asked`."""
    everywhere = role is Role.ADMINISTRATOR
    held = UserRights((Held(role, None if everywhere else ACME, at),))
    return held.may(right, instance=asked[0], environment=asked[1], own=own)


def test_the_table_has_every_right() -> None:
    assert list(ANY) == [right.name for right in Right]


@pytest.mark.parametrize("own", [False, True], ids=["others", "own"])
@pytest.mark.parametrize("right", Right)
class TestPlaces:
    def test_a_role_on_the_whole_instance_holds_on_each_environment_of_it(self, right: Right, own: bool) -> None:
        for letter, role in LETTERS.items():
            expected = letter in (OWN if own else ANY)[right.name]
            for environment in (None, UAT, PROD):
                assert may(role, right, at=None, asked=(ACME, environment), own=own) == expected, (role, environment)

    def test_it_holds_nowhere_else_but_for_administrators(self, right: Right, own: bool) -> None:
        for letter, role in LETTERS.items():
            expected = letter == "A" and letter in (OWN if own else ANY)[right.name]
            for environment in (None, UAT, PROD):
                assert may(role, right, at=None, asked=(BETA, environment), own=own) == expected, (role, environment)

    def test_a_narrowed_role_holds_on_its_environment_and_lets_the_instance_be_seen(
        self, right: Right, own: bool
    ) -> None:
        for letter, role in ROLES:
            expected = letter in (OWN if own else ANY)[right.name]
            assert may(role, right, at=UAT, asked=(ACME, UAT), own=own) == expected, role
            assert may(role, right, at=UAT, asked=(ACME, None), own=own) == (expected and right in INSTANCE_WIDE), role
            for asked in ((ACME, PROD), (BETA, None), (BETA, UAT), (BETA, PROD)):
                assert not may(role, right, at=UAT, asked=asked, own=own), (role, asked)

    def test_nobody_holds_anything_without_a_role(self, right: Right, own: bool) -> None:
        assert not UserRights(()).may(right, instance=ACME, environment=UAT, own=own)


@pytest.mark.parametrize("right", sorted(SYSTEM_RIGHTS))
def test_rights_over_the_whole_system_are_the_administrators_alone(right: Right) -> None:
    for letter, role in LETTERS.items():
        held = UserRights((Held(role, None if letter == "A" else ACME, None),))
        assert held.may(right) == (letter in ANY[right.name]) == (letter == "A")


def test_narrowed_grants_see_and_fetch_and_no_more() -> None:
    assert {Right.SEE, Right.FETCH} == INSTANCE_WIDE
