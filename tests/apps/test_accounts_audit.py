"""The audit trail: what is written, and that nobody changes it."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from deploynaut.accounts import audit
from deploynaut.accounts.audit import AppendOnly, AuditEntry, Subject
from deploynaut.accounts.middleware import AuditTrail
from tests.people import NOW, make_person

pytestmark = pytest.mark.django_db
ACME = Subject("instance", 3, "acme")


def test_an_entry_says_who_what_when_and_where_from() -> None:
    ada = make_person("Ada")
    audit.set_origin("192.0.2.7")
    entry = audit.record("hold taken", actor=ada, subject=ACME, now=NOW, before={"a": 1}, after={"a": [2, None]})
    audit.set_origin(None)
    entry.refresh_from_db()
    assert (entry.at, entry.actor, entry.actor_name, entry.ip) == (NOW, ada, "Ada", "192.0.2.7")
    assert (entry.before, entry.after, entry.result) == ({"a": 1}, {"a": [2, None]}, "ok")
    assert str(entry) == "2026-07-01 12:00:00Z Ada: hold taken acme (ok)"


def test_the_house_acts_under_its_own_name() -> None:
    assert audit.record("expired", actor=None, subject=ACME, now=NOW).actor_name == "Deploynaut"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\u000ab"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("abc\u202edef", "abc\\u202edef"),
        ("nul\x00", "nul\\u0000"),
        ("Kererū 東京", "Kererū 東京"),
        ("x" * 600, "x" * 500),
    ],
)
def test_text_from_outside_shows_what_it_is(text: str, shown: str) -> None:
    entry = audit.record("a", actor=None, subject=Subject("x", 1, text), now=NOW, after={"deep": [{"er": text}]})
    assert entry.subject_text == shown
    assert entry.after == {"deep": [{"er": shown}]}


def test_text_full_of_controls_still_fits() -> None:
    assert len(audit.record("a", actor=None, subject=Subject("x", 1, "\x01" * 500), now=NOW).subject_text) == 500


def test_the_model_refuses_to_change_or_delete() -> None:
    entry = audit.record("a", actor=None, subject=ACME, now=NOW)
    entry.action = "b"
    for change in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(action="b"),
        lambda: AuditEntry.objects.bulk_update([entry], ["action"]),
    ):
        with pytest.raises(AppendOnly):
            change()


CHANGES = ["UPDATE accounts_auditentry SET action = 'b'", "DELETE FROM accounts_auditentry"]


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_refuses_to_change_or_delete(statement: str) -> None:
    audit.record("a", actor=None, subject=ACME, now=NOW)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.get().action == "a"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_the_database_refuses_after_tests_have_emptied_it_too(turn: int) -> None:
    test_the_database_refuses_to_change_or_delete("DELETE FROM accounts_auditentry")


def test_an_entry_goes_with_its_act_when_the_act_is_rolled_back() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        audit.record("a", actor=None, subject=ACME, now=NOW)
        raise RuntimeError
    assert not AuditEntry.objects.exists()


def test_the_middleware_is_there() -> None:
    from django.conf import settings

    names = settings.MIDDLEWARE
    rooms = [names.index(f"deploynaut.accounts.middleware.{name}") for name in ("SessionLimits", "LoginRequired")]
    assert names.index("django.contrib.auth.middleware.AuthenticationMiddleware") < rooms[0] < rooms[1]
    assert f"{AuditTrail.__module__}.{AuditTrail.__name__}" in names
