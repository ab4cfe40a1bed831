"""A phone number is its owner's once the code that was sent to it has been typed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from deploynaut.accounts.models import AuditEntry, PhoneCode, User
from deploynaut.accounts.phones import AN_HOUR, TRIES, VALID_FOR, PhoneRefused
from tests.builders import NOW, make_user

pytestmark = pytest.mark.django_db
NUMBER = "+64215550001"


def with_phone(name: str = "Rob") -> User:
    user = make_user(name)
    user.introduce(name=name, phone=NUMBER, now=NOW)
    return user


def wrong(code: str) -> str:
    return "111111" if code != "111111" else "222222"


def test_the_right_code_makes_the_number_ones_own() -> None:
    rob = with_phone()
    phone, code = PhoneCode.objects.make(rob, now=NOW)
    assert phone == NUMBER and len(code) == 6 and code.isdigit()
    assert rob.verified_phone == ""
    PhoneCode.objects.verify(rob, f" {code} ", now=NOW)
    rob.refresh_from_db()
    assert rob.verified_phone == NUMBER
    assert AuditEntry.objects.filter(action="phone verified", actor=rob).count() == 1


def test_the_code_is_nowhere_in_the_database() -> None:
    _, code = PhoneCode.objects.make(with_phone(), now=NOW)
    row = PhoneCode.objects.values().get()
    assert not any(code in str(value) for name, value in row.items() if name in ("phone", "digest"))
    assert len(row["digest"]) == 64


def test_five_wrong_tries_end_a_code_and_the_right_one_comes_too_late() -> None:
    rob = with_phone()
    _, code = PhoneCode.objects.make(rob, now=NOW)
    for left in range(TRIES - 1, -1, -1):
        with pytest.raises(PhoneRefused, match=f"{left} more" if left else "last try"):
            PhoneCode.objects.verify(rob, wrong(code), now=NOW)
    with pytest.raises(PhoneRefused, match="not valid any more"):
        PhoneCode.objects.verify(rob, code, now=NOW)
    rob.refresh_from_db()
    assert rob.verified_phone == ""


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "１２３４５６", "' OR 1=1"])
def test_nonsense_is_a_wrong_try(typed: str) -> None:
    rob = with_phone()
    PhoneCode.objects.make(rob, now=NOW)
    with pytest.raises(PhoneRefused, match="4 more"):
        PhoneCode.objects.verify(rob, typed, now=NOW)


def test_a_code_is_good_for_ten_minutes_and_once() -> None:
    rob = with_phone()
    _, code = PhoneCode.objects.make(rob, now=NOW)
    with pytest.raises(PhoneRefused, match="not valid any more"):
        PhoneCode.objects.verify(rob, code, now=NOW + VALID_FOR)
    _, code = PhoneCode.objects.make(rob, now=NOW + VALID_FOR)
    PhoneCode.objects.verify(rob, code, now=NOW + VALID_FOR)
    with pytest.raises(PhoneRefused, match="not valid any more"):
        PhoneCode.objects.verify(rob, code, now=NOW + VALID_FOR)


def test_a_newer_code_ends_the_older_one() -> None:
    rob = with_phone()
    _, older = PhoneCode.objects.make(rob, now=NOW)
    _, newer = PhoneCode.objects.make(rob, now=NOW + timedelta(minutes=1))
    if older != newer:
        with pytest.raises(PhoneRefused):
            PhoneCode.objects.verify(rob, older, now=NOW + timedelta(minutes=1))
    PhoneCode.objects.verify(rob, newer, now=NOW + timedelta(minutes=1))


def test_codes_are_limited_for_a_person_and_for_a_number() -> None:
    rob, mia = with_phone("Rob"), with_phone("Mia")
    for _ in range(AN_HOUR):
        PhoneCode.objects.make(rob, now=NOW)
    for person in (rob, mia):
        with pytest.raises(PhoneRefused, match="within an hour"):
            PhoneCode.objects.make(person, now=NOW + timedelta(minutes=59))
    PhoneCode.objects.make(mia, now=NOW + timedelta(minutes=61))
    rob.introduce(name="Rob", phone="+64215550002", now=NOW)
    with pytest.raises(PhoneRefused, match="within an hour"):
        PhoneCode.objects.make(rob, now=NOW + timedelta(minutes=59))


def test_a_code_for_one_number_proves_no_other() -> None:
    rob = with_phone()
    _, code = PhoneCode.objects.make(rob, now=NOW)
    rob.introduce(name="Rob", phone="+64215550002", now=NOW)
    with pytest.raises(PhoneRefused):
        PhoneCode.objects.verify(rob, code, now=NOW)


def test_changing_the_number_takes_the_proof_away_also_when_it_is_changed_back() -> None:
    rob = with_phone()
    _, code = PhoneCode.objects.make(rob, now=NOW)
    PhoneCode.objects.verify(rob, code, now=NOW)
    rob.refresh_from_db()
    rob.introduce(name="Robert", phone=NUMBER, now=NOW)
    assert rob.verified_phone == NUMBER
    for phone in ("+64215550002", NUMBER):
        rob.introduce(name="Rob", phone=phone, now=NOW)
        assert rob.verified_phone == ""


@pytest.mark.parametrize("phone", ["0215550001", "+0215550001", "+64 21 555 0001", "+6421", "+" + "1" * 16])
def test_a_number_that_is_not_in_the_international_form_is_refused_at_its_field(phone: str) -> None:
    rob = make_user("Rob")
    with pytest.raises(ValidationError) as refused:
        rob.introduce(name="Rob", phone=phone, now=NOW)
    assert set(refused.value.message_dict) == {"phone"}
    rob.refresh_from_db()
    assert rob.phone == ""


def test_without_a_number_or_with_a_proven_one_no_code_is_made() -> None:
    rob = make_user("Rob")
    with pytest.raises(PhoneRefused, match="first"):
        PhoneCode.objects.make(rob, now=NOW)
    rob.introduce(name="Rob", phone=NUMBER, now=NOW)
    _, code = PhoneCode.objects.make(rob, now=NOW)
    PhoneCode.objects.verify(rob, code, now=NOW)
    with pytest.raises(PhoneRefused, match="already"):
        PhoneCode.objects.make(rob, now=NOW)
