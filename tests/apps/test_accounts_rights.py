"""Who may do what: the table, and the questions asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from deploynaut.accounts.grants import AlreadyGiven, BadGrant, NotGiven
from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.people import LastAdministrator
from deploynaut.accounts.rights import NotAllowed, Rights, require, who_may
from deploynaut.accounts.roles import DEEDS, RIGHTS, SYSTEM_RIGHTS, Right, Role
from tests.people import NOW, make_person

ACME, OTHER = 3, 4
UAT, PROD = 7, 8
DOCUMENT = Path(__file__).parents[2] / "docs/reference/rights.md"


def rows() -> list[tuple[list[str], list[Right]]]:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return [(row[1:-1], [Right[name.strip()] for name in row[-1].split(",")]) for row in cells]


def promised(word: str, rights: list[Right], left: set[Right]) -> set[Right]:
    """The rights of a row that a cell's word gives."""
    own = {right for right in rights if right.name.endswith("_OWN")}
    match word:
        case "":
            return set()
        case "yes":
            return set(rights)
        case "initiator":
            return own
        case "test, UAT":
            return {right for right in rights if right.name.endswith("_TEST")}
        case "as left":
            return left
        case _:
            assert word.startswith("initiator, or takes over")
            return own | {Right.TAKE_OVER_ATTENDANCE}


def test_code_and_document_agree_in_every_cell() -> None:
    for words, rights in rows():
        left: set[Right] = set()
        for role, word in zip(Role, words, strict=True):
            left = promised(word, rights, left)
            # Ops may abort anybody's: their own is no further right.
            assert RIGHTS[role] & set(rights) == left, (role, rights)


def test_every_right_stands_in_the_document_and_has_words() -> None:
    assert sorted(right for _, rights in rows() for right in rights) == sorted(Right)
    assert set(DEEDS) == set(Right)
    assert all(Right.SEE in RIGHTS[role] for role in Role)


def test_administrator_is_no_way_round_approval() -> None:
    releasing = {Right.APPROVE, Right.BEGIN_PRODUCTION, Right.RELEASE_TEST, Right.BREAK_GLASS}
    assert not RIGHTS[Role.ADMINISTRATOR] & releasing


@pytest.mark.django_db
class TestQuestions:
    def test_a_role_reaches_its_own_instance_only(self) -> None:
        rob = make_person("Rob", Role.TECHNICAL_STAFF, instance=ACME)
        rights = Rights.of(rob)
        assert rights.may(Right.RELEASE_TEST, instance=ACME, environment=UAT)
        assert not rights.may(Right.RELEASE_TEST, instance=OTHER, environment=UAT)
        assert not rights.may(Right.APPROVE, instance=ACME, environment=PROD)

    def test_a_narrowed_role_sees_its_instance_and_acts_on_its_environment_alone(self) -> None:
        rights = Rights.of(make_person("Rob", Role.INSTANCE_MANAGER, instance=ACME, environment=UAT))
        assert rights.may(Right.EDIT_ENVIRONMENT, instance=ACME, environment=UAT)
        assert rights.may(Right.SEE, instance=ACME)
        assert not rights.may(Right.SEE, instance=ACME, environment=PROD)
        assert not rights.may(Right.EDIT_ENVIRONMENT, instance=ACME)
        assert not rights.may(Right.EDIT_MEMBERS, instance=ACME)

    def test_an_initiator_may_abort_the_own_deployment_and_no_other(self) -> None:
        rights = Rights.of(make_person("Rob", Role.TECHNICAL_STAFF, instance=ACME))
        assert rights.may(Right.ABORT, instance=ACME, environment=UAT, own=True)
        assert not rights.may(Right.ABORT, instance=ACME, environment=UAT)
        assert not Rights.of(make_person("Vera", Role.VIEWER, instance=ACME)).may(
            Right.ABORT, instance=ACME, environment=UAT, own=True
        )

    def test_one_query_answers_every_question(self, django_assert_num_queries: object) -> None:
        mia = make_person("Mia", Role.DEPLOYMENT_MANAGER, instance=ACME)
        with django_assert_num_queries(1):  # type: ignore[operator]
            rights = Rights.of(mia)
            assert all(isinstance(rights.may(right, instance=ACME, environment=PROD), bool) for right in Right)

    def test_strangers_and_disabled_people_may_nothing(self) -> None:
        olga = make_person("Olga", Role.OPS, instance=ACME)
        olga.disable(by=None, now=NOW)
        for nobody in (olga, make_person("Sam"), AnonymousUser()):
            rights = Rights.of(nobody)
            assert not any(rights.may(right, instance=ACME, environment=UAT) for right in Right)

    def test_forgetting_to_say_which_instance_is_an_error_not_a_yes(self) -> None:
        rights = Rights.of(make_person("Ada", Role.ADMINISTRATOR))
        assert all(rights.may(right) for right in SYSTEM_RIGHTS)
        with pytest.raises(ValueError, match="say which"):
            rights.may(Right.SEE)

    def test_a_taken_role_is_gone_at_the_next_question(self) -> None:
        mia = make_person("Mia", Role.DEPLOYMENT_MANAGER, instance=ACME)
        require(mia, Right.APPROVE, instance=ACME, environment=PROD)
        Grant.objects.take(by=None, to=mia, role=Role.DEPLOYMENT_MANAGER, instance=ACME, now=NOW)
        with pytest.raises(NotAllowed):
            require(mia, Right.APPROVE, instance=ACME, environment=PROD)

    def test_a_refusal_says_what_is_needed_and_whom_to_ask(self) -> None:
        vera = make_person("Vera", Role.VIEWER, instance=ACME)
        make_person("Mia", Role.DEPLOYMENT_MANAGER, instance=ACME)
        make_person("Ada", Role.INSTANCE_MANAGER, instance=ACME)
        make_person("Zoe", Role.TECHNICAL_STAFF, instance=ACME, environment=PROD)
        with pytest.raises(NotAllowed) as caught:
            require(vera, Right.RELEASE_TEST, instance=ACME, environment=UAT, place="uat of acme")
        assert str(caught.value) == (
            "You may not release to uat of acme: this needs Technical Staff, Deployment Manager or Instance Manager. "
            "Ask Ada or Mia."
        )
        assert not caught.value.hidden

    def test_a_refusal_hides_what_the_person_may_not_see(self) -> None:
        with pytest.raises(NotAllowed) as caught:
            require(make_person("Sam"), Right.RELEASE_TEST, instance=ACME, environment=UAT)
        assert caught.value.hidden
        assert "Nobody has that role here yet" in str(caught.value)

    def test_a_crowd_is_not_listed_by_name(self) -> None:
        for name in ("Ana", "Ben", "Cid", "Dora", "Eve"):
            make_person(name, Role.OPS, instance=ACME)
        with pytest.raises(NotAllowed, match=r"Ask Ana, Ben, Cid or one of 2 more\."):
            require(make_person("Sam"), Right.BREAK_GLASS, instance=ACME, environment=PROD)

    def test_who_may_and_may_agree_for_everybody_everywhere(self) -> None:
        people = [make_person("Sam"), make_person("Ada", Role.ADMINISTRATOR)]
        for role in list(Role)[:-1]:
            people.append(make_person(f"Wide-{role}", role, instance=ACME))
            people.append(make_person(f"Narrow-{role}", role, instance=ACME, environment=UAT))
        places = [(ACME, None), (ACME, UAT), (ACME, PROD), (OTHER, None), (OTHER, 9)]
        for right in Right:
            for instance, environment in places:
                expected = {
                    person.pk
                    for person in people
                    if Rights.of(person).may(right, instance=instance, environment=environment)
                }
                found = set(who_may(right, instance=instance, environment=environment).values_list("pk", flat=True))
                assert found == expected, (right, instance, environment)

    def test_lists_are_cut_to_what_may_be_seen(self) -> None:
        rob = make_person("Rob", Role.TECHNICAL_STAFF, instance=ACME)
        Grant.objects.give(by=None, to=rob, role=Role.VIEWER, instance=OTHER, environment=9, now=NOW)
        rights = Rights.of(rob)
        assert rights.instances(Right.SEE) == Q(pk__in=[]) | Q(pk=ACME) | Q(pk=OTHER)
        assert rights.environments(Right.SEE) == Q(pk__in=[]) | Q(instance_id=ACME) | Q(instance_id=OTHER, pk=9)
        assert rights.environments(Right.RELEASE_TEST) == Q(pk__in=[]) | Q(instance_id=ACME)
        everything = Rights.of(make_person("Ada", Role.ADMINISTRATOR)).instances(Right.SEE)
        assert Grant.objects.filter(everything).count() == Grant.objects.count()
        assert Grant.objects.filter(everything | Q(role=Role.VIEWER)).count() == Grant.objects.count() > 2
        assert not Grant.objects.filter(Rights.of(make_person("Sam")).instances(Right.SEE)).exists()


@pytest.mark.django_db
class TestGrants:
    def test_an_instance_manager_gives_a_role_and_it_is_written_down(self) -> None:
        ada, sam = make_person("Ada", Role.INSTANCE_MANAGER, instance=ACME), make_person("Sam")
        grant = Grant.objects.give(by=ada, to=sam, role=Role.VIEWER, instance=ACME, now=NOW, place="acme")
        assert (grant.given_by, grant.given_at) == (ada, NOW)
        entry = AuditEntry.objects.about("user", sam.pk)[0]
        assert (entry.action, entry.actor, entry.at) == ("role given", ada, NOW)
        assert entry.after == {"role": "viewer", "instance": ACME, "environment": None}
        assert entry.subject_text == "Sam <sam@acme.example>: Viewer of acme"

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.TECHNICAL_STAFF, Role.DEPLOYMENT_MANAGER, Role.OPS])
    def test_nobody_else_gives_roles(self, role: Role) -> None:
        rob, sam = make_person("Rob", role, instance=ACME), make_person("Sam")
        with pytest.raises(NotAllowed):
            Grant.objects.give(by=rob, to=sam, role=Role.VIEWER, instance=ACME, now=NOW)
        with pytest.raises(NotAllowed):
            Grant.objects.take(by=rob, to=rob, role=role, instance=ACME, now=NOW)
        assert not sam.grants.exists()

    def test_an_instance_manager_makes_no_administrator_and_reaches_no_other_instance(self) -> None:
        ada = make_person("Ada", Role.INSTANCE_MANAGER, instance=ACME)
        with pytest.raises(NotAllowed):
            Grant.objects.give(by=ada, to=ada, role=Role.ADMINISTRATOR, now=NOW)
        with pytest.raises(NotAllowed):
            Grant.objects.give(by=ada, to=ada, role=Role.OPS, instance=OTHER, now=NOW)

    def test_a_narrowed_instance_manager_gives_narrowed_roles_only(self) -> None:
        ada = make_person("Ada", Role.INSTANCE_MANAGER, instance=ACME, environment=UAT)
        Grant.objects.give(by=ada, to=make_person("Sam"), role=Role.OPS, instance=ACME, environment=UAT, now=NOW)
        with pytest.raises(NotAllowed):
            Grant.objects.give(by=ada, to=ada, role=Role.OPS, instance=ACME, now=NOW)

    def test_a_role_is_given_once(self) -> None:
        rob = make_person("Rob", Role.OPS, instance=ACME)
        with pytest.raises(AlreadyGiven, match="Rob is Ops there already"):
            Grant.objects.give(by=None, to=rob, role=Role.OPS, instance=ACME, now=NOW)
        Grant.objects.give(by=None, to=rob, role=Role.OPS, instance=ACME, environment=UAT, now=NOW)
        with pytest.raises(AlreadyGiven):
            Grant.objects.give(by=None, to=rob, role=Role.OPS, instance=ACME, environment=UAT, now=NOW)
        with pytest.raises(NotGiven):
            Grant.objects.take(by=None, to=rob, role=Role.VIEWER, instance=ACME, now=NOW)

    def test_impossible_grants_are_refused(self) -> None:
        rob = make_person("Rob")
        with pytest.raises(BadGrant, match="whole system"):
            Grant.objects.give(by=None, to=rob, role=Role.ADMINISTRATOR, instance=ACME, now=NOW)
        with pytest.raises(BadGrant, match="Say which"):
            Grant.objects.give(by=None, to=rob, role=Role.OPS, environment=UAT, now=NOW)
        rob.disable(by=None, now=NOW)
        with pytest.raises(BadGrant, match="disabled"):
            Grant.objects.give(by=None, to=rob, role=Role.OPS, instance=ACME, now=NOW)

    def test_the_last_administrator_stays(self) -> None:
        ada = make_person("Ada", Role.ADMINISTRATOR)
        with pytest.raises(LastAdministrator):
            Grant.objects.take(by=ada, to=ada, role=Role.ADMINISTRATOR, now=NOW)
        with pytest.raises(LastAdministrator):
            ada.disable(by=ada, now=NOW)
        assert User.objects.get(pk=ada.pk).is_active
        ben = make_person("Ben", Role.ADMINISTRATOR)
        ada.disable(by=ben, reason="has left", now=NOW)
        with pytest.raises(LastAdministrator):
            ben.disable(by=ben, now=NOW)
