"""Two accounts of one person count as one."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress

from deploynaut.accounts.models import User
from deploynaut.accounts.same_person import mailbox, persons, same_person
from tests.people import NOW, PASSWORD

pytestmark = pytest.mark.django_db


def person(email: str, *more: tuple[str, bool]) -> User:
    user = User.objects.create_person(email=email, name="Mia", password=PASSWORD, now=NOW)
    for address, verified in more:
        EmailAddress.objects.create(user=user, email=address, verified=verified)
    return user


def test_the_same_account_is_the_same_person() -> None:
    mia = person("mia@acme.example")
    assert same_person(mia, User.objects.get(pk=mia.pk))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mia@acme.example", "mia+uat@acme.example"),
        ("mia+a@acme.example", "mia+b@acme.example"),
        ("mia+a+b@acme.example", "mia@acme.example"),
    ],
)
def test_a_tag_makes_nobody_else(one: str, other: str) -> None:
    assert same_person(person(one), person(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mia@acme.example", "rob@acme.example"),
        ("mia@acme.example", "mia@other.example"),
        ("mia@acme.example", "m.ia@acme.example"),
        ("+mia@acme.example", "+rob@acme.example"),
    ],
)
def test_other_mailboxes_are_other_people(one: str, other: str) -> None:
    assert not same_person(person(one), person(other))


def test_a_verified_further_address_counts_in_any_case_and_both_ways() -> None:
    mia = person("mia@acme.example")
    other = person("m@home.example", ("MIA+work@Acme.example", True))
    assert same_person(mia, other)
    assert same_person(other, mia)


def test_two_further_addresses_meet() -> None:
    one = person("a@acme.example", ("mia@home.example", True))
    assert same_person(one, person("b@acme.example", ("Mia@Home.example", True)))


def test_an_address_that_nobody_has_verified_proves_nothing() -> None:
    assert not same_person(person("mia@acme.example"), person("m@home.example", ("mia@acme.example", False)))


def test_an_address_without_an_at_stays_what_it_is() -> None:
    assert mailbox(" Mia ") == "mia"


def test_people_are_counted_once() -> None:
    mia, second = person("mia@acme.example"), person("m@home.example", ("mia@acme.example", True))
    rob = person("rob@acme.example")
    assert persons([second, rob, mia, rob]) == [mia, rob]
    assert persons([]) == []
