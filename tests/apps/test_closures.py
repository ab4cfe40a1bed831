"""Freezes and locks: when an environment may not be released to, and who says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.instances import closures
from deploynaut.instances.closures import By
from deploynaut.instances.freezes import MOST
from deploynaut.instances.models import Environment, EnvironmentLock, Freeze
from deploynaut.instances.recurrence import BadRule, Recurrence, check_rule
from tests.builders import NOW, make_environment, make_instance, make_user

FRIDAY = datetime.fromisoformat("2026-07-03T15:00")
"""A Friday, on the clock of Auckland, where it is winter."""
AUCKLAND = "Pacific/Auckland"
WEEKENDS = Recurrence(begins=FRIDAY, lasts=timedelta(hours=65), zone=AUCKLAND, rule="FREQ=WEEKLY;BYDAY=FR")
HOUR = timedelta(hours=1)


# --- recurrence: pure ---


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [
        ("2026-07-03T02:59:59", False),
        ("2026-07-03T03:00:00", True),
        ("2026-07-05T19:59:59", True),
        ("2026-07-05T20:00:00", False),
        ("2026-06-26T04:00:00", False),
        # After the clocks went forward on Sunday 27 September 2026, 15:00 is an hour earlier for the world.
        ("2026-10-02T01:59:59", False),
        ("2026-10-02T02:00:00", True),
    ],
)
def test_a_weekend_is_frozen_by_the_clock_of_its_place(moment: str, frozen: bool) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert (WEEKENDS.at(at) is not None) == frozen


def test_hours_are_hours_that_pass_on_the_weekend_when_the_clock_is_changed() -> None:
    window = WEEKENDS.at(datetime(2026, 9, 26, 0, 0, tzinfo=UTC))
    assert window is not None
    assert window.ends - window.begins == 65 * HOUR
    assert window.ends.astimezone(ZoneInfo(AUCKLAND)).strftime("%a %H:%M") == "Mon 09:00"


ZONES = st.sampled_from(["Pacific/Auckland", "Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC"])
WALL = st.datetimes(min_value=FRIDAY.replace(year=2024), max_value=FRIDAY.replace(year=2030)).map(
    lambda wall: wall.replace(second=0, microsecond=0)
)
HOURS = st.integers(min_value=1, max_value=160).map(lambda hours: timedelta(hours=hours))


@given(begins=WALL, lasts=HOURS, zone=ZONES, later=st.integers(min_value=0, max_value=1200))
def test_every_window_begins_at_the_same_time_of_the_wall_and_lasts_as_long(
    begins: datetime, lasts: timedelta, zone: str, later: int
) -> None:
    weekly = Recurrence(begins=begins, lasts=lasts, zone=zone, rule="FREQ=WEEKLY")
    for span in weekly.coming(begins.replace(tzinfo=UTC) + timedelta(days=later), count=3):
        assert span.ends - span.begins == lasts
        wall = span.begins.astimezone(ZoneInfo(zone))
        # A time that the clock leaps over is taken as if it had not been changed yet (RFC 5545, 3.3.5).
        leapt = wall.replace(tzinfo=None) - begins
        assert (wall.hour, wall.minute) == (begins.hour, begins.minute) or leapt % timedelta(days=1) <= HOUR
        assert wall.weekday() == begins.weekday() or begins.hour == 23


@given(begins=WALL, lasts=HOURS, zone=ZONES, minutes=st.integers(min_value=-3000, max_value=500_000))
def test_a_moment_is_frozen_exactly_when_one_of_the_windows_covers_it(
    begins: datetime, lasts: timedelta, zone: str, minutes: int
) -> None:
    weekly = Recurrence(begins=begins, lasts=lasts, zone=zone, rule="FREQ=WEEKLY")
    moment = begins.replace(tzinfo=UTC) + timedelta(minutes=minutes)
    plain = [begins.replace(tzinfo=ZoneInfo(zone)) + timedelta(days=7 * week) for week in range(60)]
    spans = [(one.astimezone(UTC), one.astimezone(UTC) + lasts) for one in plain]
    covered = any(start <= moment < end for start, end in spans)
    assert (weekly.at(moment) is not None) == covered
    first = next(iter(weekly.coming(moment, count=1)), None)
    assert covered == (first is not None and first.covers(moment))


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY", "FREQ=HOURLY", "BYDAY=FR", "", "FREQ=WEEKLY;BYDAY=XX", "FREQ=WEEKLY;FREQ=DAILY", "x" * 400,
        "FREQ=DAILY;COUNT=3;UNTIL=20270101", "FREQ=WEEKLY;BYSECOND=1", "FREQ=MONTHLY;BYMONTHDAY=45",
        "FREQ=WEEKLY\nDTSTART:20200101", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=31", "FREQ=DAILY;BYDAY=1FR", "FREQ=YEARLY;BYMONTH=13",
        "RRULE:FREQ=WEEKLY", "FREQ=DAILY;UNTIL=20269999", "FREQ=DAILY;INTERVAL=0",
    ],
)  # fmt: skip
def test_a_rule_that_is_none_is_refused_in_words(rule: str) -> None:
    with pytest.raises(BadRule):
        check_rule(rule)


@pytest.mark.parametrize("rule", ["FREQ=DAILY", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24"])
def test_the_ordinary_rules_are_taken(rule: str) -> None:
    check_rule(rule)
    assert Recurrence(begins=FRIDAY, lasts=HOUR, zone=AUCKLAND, rule=rule).coming(NOW, count=2)


def test_asking_about_a_rule_that_is_decades_old_costs_little() -> None:
    daily = Recurrence(begins=FRIDAY.replace(year=2000), lasts=HOUR, zone="UTC", rule="FREQ=DAILY;BYMONTH=12")
    begun = time.perf_counter()
    for _ in range(20):
        daily.at(NOW)
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize("zone", ["", "Pacific/Aukland", "../../etc/passwd", "/etc/localtime", "+12:00", "x" * 90])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(BadRule):
        Recurrence(begins=FRIDAY, lasts=HOUR, zone=zone)


# --- freezes ---


@pytest.fixture
def prod(db: None) -> Environment:
    instance = make_instance()
    make_environment(instance)
    return make_environment(instance, "prod", kind="production")


@pytest.fixture
def people(prod: Environment) -> dict[str, User]:
    roles = {
        "Ida": Role.INSTANCE_MANAGER, "Mia": Role.DEPLOYMENT_MANAGER, "Rob": Role.TECHNICAL_STAFF, "Olga": Role.OPS,
        "Vera": Role.VIEWER, "Ivo": Role.INSTANCE_MANAGER,
    }  # fmt: skip
    return {name: make_user(name, role, instance=prod.instance) for name, role in roles.items()}


def add_freeze(prod: Environment, by: User, **changed: Any) -> Freeze:
    fields: dict[str, Any] = {
        "instance": prod.instance, "by": by, "now": NOW, "reason": "Nobody is here at the weekend", "zone": AUCKLAND,
        "begins": "2026-07-03T15:00", "lasts": 65 * HOUR, "rule": "FREQ=WEEKLY;BYDAY=FR",
    }  # fmt: skip
    return Freeze.objects.add(**{**fields, **changed})


SATURDAY = datetime(2026, 7, 4, 0, 0, tzinfo=UTC)


def test_a_freeze_closes_production_until_its_end_in_words(prod: Environment, people: dict[str, User]) -> None:
    add_freeze(prod, people["Ida"])
    uat = Environment.objects.get(name="uat")
    closed = closures.why_closed(prod, now=SATURDAY)
    assert closed is not None and closed.by is By.FREEZE
    assert closed.until == datetime(2026, 7, 5, 20, 0, tzinfo=UTC)
    assert closed.words == (
        "Frozen until Monday 6 July 2026, 08:00 (Pacific/Auckland): Nobody is here at the weekend. Ida set this freeze."
    )
    assert closures.why_closed(uat, now=SATURDAY) is None
    assert closures.why_closed(prod, now=NOW) is None


def test_a_freeze_is_for_all_or_for_chosen_environments(prod: Environment, people: dict[str, User]) -> None:
    uat = Environment.objects.get(name="uat")
    add_freeze(prod, people["Ida"], scope="chosen", environments=[uat])
    assert set(closures.of([prod, uat], now=SATURDAY)) == {uat.pk}
    add_freeze(prod, people["Ida"], scope="all", lasts=80 * HOUR, reason="Everything")
    found = closures.of([prod, uat, make_environment(make_instance("other"))], now=SATURDAY)
    assert set(found) == {prod.pk, uat.pk}
    assert all("Everything" in one.words for one in found.values())


def test_asking_takes_two_queries_for_any_number(
    prod: Environment, people: dict[str, User], django_assert_num_queries: Callable[..., Any]
) -> None:
    environments = [prod, Environment.objects.get(name="uat")]
    for _ in range(3):
        add_freeze(prod, people["Ida"], scope="chosen", environments=environments)
    for name in ("Ida", "Olga"):
        EnvironmentLock.objects.set(prod, by=people[name], reason="Looking into it", now=NOW)
    environments = list(Environment.objects.select_related("instance"))
    with django_assert_num_queries(2):
        assert set(closures.of(environments, now=SATURDAY)) == {one.pk for one in environments}
    with django_assert_num_queries(2):
        closures.why_closed(environments[0], now=SATURDAY)


@pytest.mark.parametrize("name", ["Mia", "Rob", "Olga", "Vera"])
def test_only_who_edits_the_instance_sets_and_removes_freezes(
    prod: Environment, people: dict[str, User], name: str
) -> None:
    freeze = add_freeze(prod, people["Ida"])
    with pytest.raises(NotAllowed):
        add_freeze(prod, people[name])
    with pytest.raises(NotAllowed):
        freeze.remove(by=people[name], reason="I want to release", now=NOW)
    assert Freeze.objects.filter(removed_at=None).count() == 1


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("reason", {"reason": "  \t "}), ("reason", {"reason": "x" * 1001}), ("reason", {"reason": "a\x00bc"}),
        ("zone", {"zone": "Mars/Olympus"}), ("begins", {"begins": "soon"}), ("begins", {"begins": ""}),
        ("begins", {"begins": "2020-01-01T00:00", "rule": ""}), ("lasts", {"lasts": timedelta(0)}),
        ("begins", {"begins": "2020-01-01T00:00", "rule": "FREQ=DAILY;COUNT=3"}), ("lasts", {"lasts": 9999 * HOUR}),
        ("begins", {"begins": "0001-01-01T00:00"}), ("begins", {"begins": "2026-07-03T15:00+12:00"}),
        ("rule", {"rule": "FREQ=SECONDLY"}), ("rule", {"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}),
        ("environments", {"scope": "chosen"}), ("scope", {"scope": "everywhere"}),
    ],
)  # fmt: skip
def test_a_freeze_that_makes_no_sense_is_refused_at_its_field(
    prod: Environment, people: dict[str, User], field: str, changed: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        add_freeze(prod, people["Ida"], **changed)
    assert list(refused.value.message_dict) == [field]
    assert not Freeze.objects.exists()


def test_a_freeze_may_not_name_an_environment_of_another_instance(prod: Environment, people: dict[str, User]) -> None:
    with pytest.raises(ValidationError, match="this instance"):
        add_freeze(prod, people["Ida"], scope="chosen", environments=[make_environment(make_instance("other"))])


def test_an_instance_has_a_bounded_number_of_freezes(prod: Environment, people: dict[str, User]) -> None:
    first = add_freeze(prod, people["Ida"])
    for _ in range(MOST - 1):
        add_freeze(prod, people["Ida"])
    with pytest.raises(ValidationError, match=f"has {MOST} freezes"):
        add_freeze(prod, people["Ida"])
    first.remove(by=people["Ida"], reason="It was one too many", now=NOW)
    add_freeze(prod, people["Ida"])


def test_a_freeze_is_removed_once_with_a_reason_and_stays_in_the_history(
    prod: Environment, people: dict[str, User]
) -> None:
    freeze = add_freeze(prod, people["Ida"])
    with pytest.raises(ValidationError):
        freeze.remove(by=people["Ida"], reason="  ", now=NOW)
    freeze.remove(by=people["Ida"], reason="We work at weekends now", now=NOW)
    with pytest.raises(ValidationError, match="already"):
        freeze.remove(by=people["Ivo"], reason="We work at weekends now", now=NOW)
    assert closures.why_closed(prod, now=SATURDAY) is None
    assert Freeze.objects.get().removal == "We work at weekends now"
    assert AuditEntry.objects.filter(action="freeze removed", actor=people["Ida"]).count() == 1


def test_a_freeze_whose_stored_times_cannot_be_read_keeps_the_environment_closed(
    prod: Environment, people: dict[str, User]
) -> None:
    add_freeze(prod, people["Ida"])
    Freeze.objects.update(zone="Gone/Away")
    closed = closures.why_closed(prod, now=NOW)
    assert closed is not None and "cannot be read" in closed.words


# --- override ---


def test_a_manager_overrides_a_freeze_with_a_reason(prod: Environment, people: dict[str, User]) -> None:
    add_freeze(prod, people["Ida"])
    closed = closures.why_closed(prod, now=SATURDAY)
    assert closed is not None
    closures.override(prod, closed, by=people["Mia"], reason="A hole that is being used", now=SATURDAY)
    entry = AuditEntry.objects.get(action="freeze overridden")
    assert entry.actor == people["Mia"] and entry.after["reason"] == "A hole that is being used"
    for name in ("Rob", "Olga", "Vera"):
        with pytest.raises(NotAllowed):
            closures.override(prod, closed, by=people[name], reason="I want to", now=SATURDAY)
    with pytest.raises(ValidationError):
        closures.override(prod, closed, by=people["Mia"], reason=" \n ", now=SATURDAY)


def test_a_lock_is_not_overridden_by_anybody(prod: Environment, people: dict[str, User]) -> None:
    EnvironmentLock.objects.set(prod, by=people["Rob"], reason="Counting rows", now=NOW)
    closed = closures.why_closed(prod, now=NOW)
    assert closed is not None
    with pytest.raises(ValidationError, match="cannot be overridden"):
        closures.override(prod, closed, by=people["Ida"], reason="I want to", now=NOW)


# --- locks ---


def test_a_lock_names_its_owner_its_reason_and_its_end(prod: Environment, people: dict[str, User]) -> None:
    until = NOW + 2 * HOUR
    EnvironmentLock.objects.set(prod, by=people["Rob"], reason="Load test", now=NOW, expires_at=until)
    closed = closures.why_closed(prod, now=NOW)
    assert closed == closures.Closure(By.LOCK, "Rob locked it until 1 July 2026, 14:00 UTC: Load test.", until)
    assert closures.why_closed(prod, now=until) is None
    EnvironmentLock.objects.set(prod, by=people["Rob"], reason="Load test again", now=until)
    closed = closures.why_closed(prod, now=until)
    assert closed is not None and closed.until is None and "until it is lifted" in closed.words


def test_a_lock_counts_before_a_freeze_and_the_longest_lock_first(prod: Environment, people: dict[str, User]) -> None:
    add_freeze(prod, people["Ida"])
    EnvironmentLock.objects.set(prod, by=people["Rob"], reason="Mine", now=NOW)
    EnvironmentLock.objects.set(prod, by=people["Mia"], reason="Hers", now=NOW, expires_at=SATURDAY + 2 * HOUR)
    closed = closures.why_closed(prod, now=SATURDAY)
    assert closed is not None and closed.words.startswith("Rob locked it")


@pytest.mark.parametrize("name", ["Ida", "Mia", "Rob", "Olga"])
def test_who_may_release_there_may_lock_it_and_so_may_ops(
    prod: Environment, people: dict[str, User], name: str
) -> None:
    for environment in Environment.objects.all():
        EnvironmentLock.objects.set(environment, by=people[name], reason="Because", now=NOW)
    with pytest.raises(ValidationError, match="already"):
        EnvironmentLock.objects.set(prod, by=people[name], reason="Because", now=NOW)


@pytest.mark.parametrize("name", ["Vera", "Sam", "Ada"])
def test_nobody_else_may(prod: Environment, people: dict[str, User], name: str) -> None:
    other = people.get(name) or make_user(name, *([Role.ADMINISTRATOR] if name == "Ada" else []))
    with pytest.raises(NotAllowed) as refused:
        EnvironmentLock.objects.set(prod, by=other, reason="Because", now=NOW)
    assert refused.value.hidden == (name == "Sam")


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("reason", {"reason": "\u00a0 \t"}), ("reason", {"reason": "ab"}), ("reason", {"reason": "x" * 1001}),
        ("reason", {"reason": "a\u202eb c"}), ("expires_at", {"expires_at": NOW}),
        ("expires_at", {"expires_at": NOW - HOUR}),
    ],
)  # fmt: skip
def test_a_lock_without_reason_or_with_a_past_end_is_refused(
    prod: Environment, people: dict[str, User], field: str, changed: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        EnvironmentLock.objects.set(prod, **{"by": people["Rob"], "reason": "Because", "now": NOW, **changed})
    assert list(refused.value.message_dict) == [field]
    assert not EnvironmentLock.objects.exists()


@pytest.mark.parametrize(
    ("name", "may"), [("Rob", True), ("Ida", True), ("Olga", True), ("Mia", False), ("Vera", False)]
)
def test_a_lock_is_lifted_by_its_owner_an_instance_manager_or_ops(
    prod: Environment, people: dict[str, User], name: str, may: bool
) -> None:
    lock = EnvironmentLock.objects.set(prod, by=people["Rob"], reason="Mine", now=NOW)
    if not may:
        with pytest.raises(NotAllowed):
            lock.lift(by=people[name], reason="I want to release", now=NOW)
        assert closures.why_closed(prod, now=NOW)
        return
    with pytest.raises(ValidationError):
        lock.lift(by=people[name], reason=" ", now=NOW)
    lock.lift(by=people[name], reason="It is done", now=NOW)
    assert closures.why_closed(prod, now=NOW) is None
    with pytest.raises(ValidationError, match=f"{name} lifted this lock on 1 July 2026, 12:00 UTC"):
        lock.lift(by=people["Ida"], reason="It is done", now=NOW)
    assert AuditEntry.objects.filter(action="environment lock lifted").count() == 1


def test_an_owner_who_has_left_lifts_nothing(prod: Environment, people: dict[str, User]) -> None:
    lock = EnvironmentLock.objects.set(prod, by=people["Rob"], reason="Mine", now=NOW)
    Grant.objects.take(by=None, to=people["Rob"], role=Role.TECHNICAL_STAFF, instance=prod.instance_id, now=NOW)
    with pytest.raises(NotAllowed):
        lock.lift(by=people["Rob"], reason="It is done", now=NOW)


def test_a_lock_that_has_run_out_is_not_lifted_but_said_to_be_over(prod: Environment, people: dict[str, User]) -> None:
    lock = EnvironmentLock.objects.set(prod, by=people["Rob"], reason="Mine", now=NOW, expires_at=NOW + HOUR)
    with pytest.raises(ValidationError, match="run out"):
        lock.lift(by=people["Rob"], reason="It is done", now=NOW + 2 * HOUR)
