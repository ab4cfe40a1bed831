"""A production release through its pages: who reads what at each gate, what a press does, what comes too late."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deploynaut.accounts import fresh
from deploynaut.accounts.models import AuditEntry
from deploynaut.accounts.roles import Role
from deploynaut.deployments import counts
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import Claimed, Status, TaskSucceeded
from deploynaut.instances.models import Environment, Freeze
from deploynaut.runs.models import Run, StepFacts
from deploynaut.snapshots.models import Snapshot
from deploynaut.web import tail
from deploynaut.web.deployments.stream import _draw
from tests.builders import (
    PASSWORD,
    Story,
    make_commit,
    make_deployment,
    make_environment,
    make_instance,
    make_target,
    make_user,
)
from tests.doors import world

pytestmark = pytest.mark.django_db
HOSTILE = '"><script>alert(1)</script><b>'
PROD = "/instances/acme/prod/"
ONE = f"{PROD}1/"


_browsers: dict[str, Client] = {}


@pytest.fixture(autouse=True)
def _nobody_is_logged_in() -> None:
    cache.clear()
    _browsers.clear()


def log_in(name: str) -> Client:
    """The browser of this person, logged in once a test."""
    return _browsers.setdefault(name, _browsers.get(name) or world.log_in(name))


@pytest.fixture
def prod() -> Environment:
    instance = make_instance()
    people = {"Vera": Role.VIEWER, "Tim": Role.TECHNICAL_STAFF, "Ida": Role.INSTANCE_MANAGER, "Ada": Role.ADMINISTRATOR}
    for name, role in people.items():
        make_user(name, role, instance=instance)
    make_user("Sam")
    return make_environment(instance, "prod", kind="production")


def at(prod: Environment, state: str) -> Deployment:
    return make_deployment(prod, at=state, now=timezone.now() - timedelta(minutes=20))


def read(name: str, address: str) -> str:
    """What the page says, without its markup."""
    answer = log_in(name).get(address)
    assert answer.status_code == 200, f"{name} {address}: {answer.status_code}"
    return text_of(answer)


def text_of(answer: object) -> str:
    page = re.sub(r"<[^>]*>", " ", answer.content.decode())  # type: ignore[attr-defined]
    return " ".join(unescape(page).split())


def buttons(name: str, address: str) -> set[str]:
    """Whatever may be pressed there now."""
    page = log_in(name).get(address).content.decode()
    found = re.findall(r"<button(?![^>]* disabled)[^>]*>(.*?)</button>", page, re.DOTALL)
    return {" ".join(re.sub(r"<[^>]*>", " ", words).split()) for words in found}


# --- each gate, for each role ----------------------------------------------------------------------------------------

GATES = {
    "approval": ({"Mia": {"Approve or reject"}, "Ida": {"Approve or reject"}}, "Waiting for approval by Mia."),
    "confirm": (
        {"Rob": {"Deploy to prod"}, "Mia": {"Take over attendance"}, "Ida": {"Take over attendance"}},
        "Waiting for Rob to press Deploy.",
    ),
    "rollback_window": (
        {name: {"Rollback", "Dismiss", "Extend once"} for name in ("Rob", "Mia", "Ida", "Olga")},
        "is live and was tested",
    ),
}
CHOICES = {"Approve or reject", "Deploy to prod", "Take over attendance", "Rollback", "Dismiss", "Extend once"}


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_offers_its_choices_to_those_who_may_and_words_to_all(prod: Environment, gate: str) -> None:
    at(prod, gate)
    offered, sentence = GATES[gate]
    for name in ("Rob", "Mia", "Ida", "Tim", "Olga", "Vera", "Ada"):
        assert buttons(name, ONE) & CHOICES == offered.get(name, set()), name
        page = read(name, ONE)
        assert sentence.removeprefix("Waiting ") in page, name
        assert "If nobody does" in page, name
    assert log_in("Sam").get(ONE).status_code == 404


def test_others_read_who_is_asked_next_and_when_it_expires(prod: Environment) -> None:
    at(prod, "approval")
    page = read("Vera", ONE)
    assert re.search(r"Asked next Ida at \d\d:\d\d UTC, if nobody has answered by then", page)
    assert re.search(r"On \d+ \w+( \d{4})?, \d\d:\d\d UTC: The release expires, and the site stays as it is", page)
    assert "You may not approve or reject" in page


def test_the_window_counts_down_and_closes_by_itself(prod: Environment) -> None:
    at(prod, "rollback_window")
    page = log_in("Vera").get(ONE).content.decode()
    assert 'data-until="' in page and "The window closes by itself, and the release stays." in page


def test_every_disabled_button_of_a_gate_has_its_reason_beside_it(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    Deployment.objects.filter(pk=waiting.pk).update(scheduled_for=timezone.now() + timedelta(hours=3))
    page = log_in("Rob").get(ONE).content.decode()
    found = re.findall(r'<button[^>]* disabled aria-describedby="([^"]*)"', page)
    assert found == ["why-start"] and re.search(r'id="why-start">Planned for [^<]+<', page)


# --- approve and reject ----------------------------------------------------------------------------------------------


def test_mia_approves_on_her_phone_and_reads_what_happens_next(prod: Environment) -> None:
    waiting = at(prod, "approval")
    browser = log_in("Mia")
    page = browser.get(f"{ONE}approval/").content.decode()
    assert "Rob asks to release to prod" in page and f'name="plan" value="{waiting.plan_hash}"' in page
    answer = browser.post(f"{ONE}approval/", {"answer": "approve", "plan": waiting.plan_hash})
    assert (answer.status_code, answer["Location"]) == (302, f"{ONE}approval/")
    Story(waiting, timezone.now()).begin_step()
    said = text_of(browser.get(f"{ONE}approval/"))
    assert "Mia approved it" in said and "to press Deploy" in said and "Told: Rob, Mia." in said


def test_looking_at_the_request_answers_nothing(prod: Environment) -> None:
    waiting = at(prod, "approval")
    for name in ("Mia", "Rob", "Vera"):
        log_in(name).get(f"{ONE}approval/", {"answer": "approve", "plan": waiting.plan_hash})
    assert not waiting.answers.exists()


def test_a_rejection_needs_a_reason_and_keeps_what_was_typed(prod: Environment) -> None:
    waiting = at(prod, "approval")
    browser, fields = log_in("Mia"), {"answer": "reject", "plan": waiting.plan_hash}
    answer = browser.post(f"{ONE}approval/", {**fields, "reason": " \n "})
    assert answer.status_code == 400 and "Give a reason" in answer.content.decode()
    assert browser.post(f"{ONE}approval/", {"answer": "perhaps"}).status_code == 400
    assert browser.post(f"{ONE}approval/", {**fields, "reason": HOSTILE}).status_code == 302
    for address in (f"{ONE}approval/", ONE, PROD, "/"):
        page = browser.get(address).content.decode()
        assert "<script>alert" not in page
    assert "Rejected" in read("Rob", ONE)


@pytest.mark.parametrize(
    ("name", "status"), [("Rob", 403), ("Tim", 403), ("Olga", 403), ("Vera", 403), ("Ada", 403), ("Sam", 404)]
)
def test_who_may_not_answer_is_refused(prod: Environment, name: str, status: int) -> None:
    waiting = at(prod, "approval")
    for answer in ("approve", "reject"):
        fields = {"answer": answer, "plan": waiting.plan_hash, "reason": "because of this"}
        assert log_in(name).post(f"{ONE}approval/", fields).status_code == status
    assert not waiting.answers.exists()


def test_ones_own_release_is_not_approved_and_the_page_says_why(prod: Environment) -> None:
    waiting = at(prod, "approval")
    make_user("Rob", Role.INSTANCE_MANAGER, instance=prod.instance)
    assert "your own release" in read("Rob", f"{ONE}approval/")
    answer = log_in("Rob").post(f"{ONE}approval/", {"answer": "approve", "plan": waiting.plan_hash})
    assert answer.status_code == 403


def test_a_void_approval_says_what_has_changed(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    make_target(prod, "web7.acme.example")
    answer = log_in("Rob").post(f"{ONE}start/", {"plan": waiting.plan_hash})
    assert answer.status_code == 409 and "The approval is void" in answer.content.decode()
    Story(waiting, timezone.now()).begin_step()
    page = read("Mia", f"{ONE}approval/")
    assert "The answer of Mia does not count any more" in page and "was added or changed" in page


# --- 409: late, repeated, stale ---------------------------------------------------------------------------------------


def test_late_and_repeated_clicks_say_who_did_what_when(prod: Environment) -> None:
    waiting = at(prod, "approval")
    fields = {"answer": "approve", "plan": waiting.plan_hash}
    assert log_in("Ida").post(f"{ONE}approval/", fields).status_code == 302
    answer = log_in("Mia").post(f"{ONE}approval/", fields)
    assert answer.status_code == 409
    assert re.search(r"Ida, approved, \d\d:\d\d UTC", text_of(answer)) and ONE in answer.content.decode()


@pytest.mark.parametrize(("act", "name"), [("start", "Rob"), ("attend", "Mia"), ("dismiss", "Rob")])
def test_an_act_at_another_gate_is_answered_409(prod: Environment, act: str, name: str) -> None:
    at(prod, "approval")
    answer = log_in(name).post(f"{ONE}{act}/", {"plan": "x"})
    assert answer.status_code == 409 and "Nothing was done" in answer.content.decode().replace("nothing", "Nothing")


def test_an_old_page_cannot_answer_for_a_new_plan(prod: Environment) -> None:
    at(prod, "approval")
    answer = log_in("Mia").post(f"{ONE}approval/", {"answer": "approve", "plan": "0" * 64})
    assert answer.status_code == 409 and "Look at the request again" in answer.content.decode()
    at_confirm = log_in("Rob").post(f"{ONE}start/", {"plan": "0" * 64})
    assert at_confirm.status_code == 409


def test_too_early_is_said_with_the_time(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    Deployment.objects.filter(pk=waiting.pk).update(scheduled_for=timezone.now() + timedelta(days=2))
    answer = log_in("Rob").post(f"{ONE}start/", {"plan": waiting.plan_hash})
    assert answer.status_code == 409 and "This release is planned for" in answer.content.decode()


@pytest.mark.parametrize("act", ["start", "attend", "dismiss"])
def test_reading_an_act_is_405(prod: Environment, act: str) -> None:
    at(prod, "confirm")
    assert log_in("Rob").get(f"{ONE}{act}/").status_code == 405


@pytest.mark.parametrize("page", ["approval", "rollback"])
def test_an_environment_without_gates_has_no_such_page(prod: Environment, page: str) -> None:
    at(prod, "approval")
    assert log_in("Ida").get(f"/instances/acme/uat/1/{page}/").status_code == 404


# --- Deploy and attendance -------------------------------------------------------------------------------------------


def test_rob_presses_deploy_with_the_form_of_the_page(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    browser = log_in("Rob")
    page = browser.get(ONE).content.decode()
    found = re.search(r'name="plan" value="([0-9a-f]{64})"', page)
    assert found and browser.post(f"{ONE}start/", {"plan": found[1]}).status_code == 302
    waiting.run.refresh_from_db()
    assert waiting.run.status == Status.QUEUED


@pytest.mark.parametrize(("name", "status"), [("Tim", 403), ("Olga", 403), ("Vera", 403), ("Sam", 404), ("Ida", 409)])
def test_nobody_else_presses_deploy(prod: Environment, name: str, status: int) -> None:
    waiting = at(prod, "confirm")
    assert log_in(name).post(f"{ONE}start/", {"plan": waiting.plan_hash}).status_code == status


def test_a_manager_takes_over_and_then_presses_deploy(prod: Environment) -> None:
    waiting = at(prod, "confirm")
    browser = log_in("Ida")
    assert browser.post(f"{ONE}attend/").status_code == 302
    assert "took over from Rob" in read("Vera", ONE)
    assert browser.post(f"{ONE}attend/").status_code == 409
    assert browser.post(f"{ONE}start/", {"plan": waiting.plan_hash}).status_code == 302


# --- fresh log-in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "name", "where", "fields"),
    [("approval", "Mia", "approval/", {"answer": "approve"}), ("confirm", "Rob", "start/", {})],
)
def test_a_grave_act_asks_who_it_is_and_then_goes_on(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, state: str, name: str, where: str, fields: dict[str, str]
) -> None:
    waiting = at(prod, state)
    browser = log_in(name)
    monkeypatch.setattr(fresh, "FRESH_FOR", timedelta(0))
    asked = browser.post(f"{ONE}{where}", {**fields, "plan": waiting.plan_hash})
    assert asked.status_code == 302 and "/account/confirm/" in asked["Location"]
    assert Run.objects.get(pk=waiting.run_id).status == Status.WAITING
    monkeypatch.setattr(fresh, "FRESH_FOR", timedelta(minutes=15))
    answer = browser.post(asked["Location"], {"password": PASSWORD})
    assert answer.status_code == 302
    assert Run.objects.get(pk=waiting.run_id).status == Status.QUEUED


def test_a_rejection_needs_no_fresh_log_in(prod: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = at(prod, "approval")
    browser = log_in("Mia")
    monkeypatch.setattr(fresh, "FRESH_FOR", timedelta(0))
    fields = {"answer": "reject", "plan": waiting.plan_hash, "reason": "not today"}
    assert browser.post(f"{ONE}approval/", fields)["Location"] == f"{ONE}approval/"


# --- the rollback window ---------------------------------------------------------------------------------------------


def counted(deployment: Deployment, then: dict[str, int], now: dict[str, int]) -> None:
    backup = deployment.run.steps.get(kind="backup")
    taken = (timezone.now() - timedelta(minutes=5)).isoformat()
    stored = {"name": "backup", "size": 214_000, "sha256": "0" * 64, "taken_at": taken, "objects": {"tables": then}}
    backup.facts = {"snapshot": stored}
    backup.save()
    source = Snapshot.Source.BACKUP
    Snapshot.objects.note(environment=deployment.environment, run=deployment.run, source=source, stored=stored)
    run = counts.begin_count(deployment, by=deployment.initiator, now=timezone.now())
    run.apply(Claimed(), now=timezone.now())
    facts = StepFacts("counted", {"tables": now, "at": timezone.now().isoformat()})
    run.apply(TaskSucceeded(), now=timezone.now(), facts=facts)


def test_the_rollback_page_says_what_going_back_costs(prod: Environment) -> None:
    window = at(prod, "rollback_window")
    counted(window, {"pages": 214, "forms": 3}, {"pages": 217, "forms": 3, "new": 1})
    page = read("Rob", f"{ONE}rollback/")
    assert "Edits that keep the number of rows are not counted." in page
    assert "pages 214 217 +3" in page and "forms 3 3 same" in page and "new – 1 new" in page
    assert "nothing was lost" not in page.lower()


def test_rows_are_counted_again_when_somebody_asks(prod: Environment) -> None:
    window = at(prod, "rollback_window")
    counted(window, {"pages": 1}, {"pages": 1})
    assert log_in("Rob").post(f"{ONE}rollback/", {"act": "count"}).status_code == 302
    assert Run.objects.filter(kind="row_count", subject_id=window.pk).count() == 2
    assert "Counting" in read("Rob", f"{ONE}rollback/")
    assert log_in("Vera").post(f"{ONE}rollback/", {"act": "count"}).status_code == 403


def test_a_count_that_cannot_be_is_answered_in_words(prod: Environment) -> None:
    at(prod, "rollback_window")
    answer = log_in("Rob").post(f"{ONE}rollback/", {"act": "count"})
    assert answer.status_code == 409 and "nothing to compare" in answer.content.decode()


@pytest.mark.parametrize(("migration", "offered"), [(True, False), (False, True)])
def test_code_alone_goes_back_only_where_no_migration_ran(prod: Environment, migration: bool, offered: bool) -> None:
    window = at(prod, "rollback_window")
    prepared = window.run.steps.get(kind="prepare")
    prepared.facts = {"migration": migration}
    prepared.save()
    answer = log_in("Rob").post(f"{ONE}rollback/", {"what": "code"})
    assert answer.status_code == (302 if offered else 409)
    assert Run.objects.get(pk=window.run_id).code_only is offered


@pytest.mark.parametrize(("name", "status"), [("Mia", 302), ("Olga", 302), ("Tim", 403), ("Vera", 403), ("Sam", 404)])
def test_who_rolls_back(prod: Environment, name: str, status: int) -> None:
    window = at(prod, "rollback_window")
    assert log_in(name).post(f"{ONE}rollback/").status_code == status
    assert (Run.objects.get(pk=window.run_id).status == Status.ROLLING_BACK) is (status == 302)


def test_dismiss_ends_it_and_a_second_one_is_late(prod: Environment) -> None:
    at(prod, "rollback_window")
    browser = log_in("Rob")
    assert browser.post(f"{ONE}dismiss/").status_code == 302
    answer = browser.post(f"{ONE}dismiss/")
    assert answer.status_code == 409 and "window dismissed" in answer.content.decode()
    assert "Succeeded" in read("Rob", ONE)
    assert "The rollback window is not open." in read("Rob", f"{ONE}rollback/")


def test_the_window_is_extended_once_with_a_reason(prod: Environment) -> None:
    at(prod, "rollback_window")
    browser = log_in("Rob")
    assert browser.post(f"{ONE}extend/", {"reason": " "}).status_code == 400
    assert browser.post(f"{ONE}extend/", {"reason": HOSTILE}).status_code == 302
    page = browser.get(ONE).content.decode()
    assert "The window has been extended once" in page and "<script>alert" not in page
    assert browser.post(f"{ONE}extend/", {"reason": "once more"}).status_code == 409


# --- choosing --------------------------------------------------------------------------------------------------------


def test_only_what_passed_uat_can_be_chosen(prod: Environment) -> None:
    first = at(prod, "succeeded")
    other = make_commit(prod.instance, "Never on UAT")
    page = log_in("Rob").get(f"{PROD}release/").content.decode()
    assert first.commit in page and other.hex not in page and "live now" in page
    assert "Asked to approve: Mia , 2 h later Ida ." in text_of(log_in("Rob").get(f"{PROD}release/"))


def test_why_nothing_can_be_chosen(prod: Environment) -> None:
    make_user("Rob", Role.TECHNICAL_STAFF, instance=prod.instance)
    assert "there is no such UAT environment" in read("Rob", f"{PROD}release/")
    make_environment(prod.instance, "uat")
    assert "Nothing has passed uat yet." in read("Rob", f"{PROD}release/")


def test_a_planned_time_is_in_utc_and_still_to_come(prod: Environment) -> None:
    first = at(prod, "succeeded")
    browser, fields = log_in("Rob"), {"by": "release", "release": first.commit}
    for wrong in ("2020-01-01T10:00", "soon", "2999-01-01T10:00"):
        answer = browser.post(f"{PROD}release/", {**fields, "scheduled_for": wrong})
        assert answer.status_code == 400 and 'id="scheduled_for-wrong"' in answer.content.decode()
    when = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert browser.post(f"{PROD}release/", {**fields, "scheduled_for": when}).status_code == 302
    planned = Deployment.objects.get(environment=prod, number=2).scheduled_for
    assert planned is not None and planned.strftime("%Y-%m-%dT%H:%M") == when


def test_a_freeze_at_the_planned_time_asks_for_a_reason(prod: Environment) -> None:
    first = at(prod, "succeeded")
    begins = timezone.now() + timedelta(days=2)
    ida = make_user("Ida")
    Freeze.objects.create(
        instance=prod.instance, by=ida, at=timezone.now(), reason="The election", lasts=timedelta(days=2), zone="UTC",
        begins=begins.strftime("%Y-%m-%dT%H:%M"),
    )  # fmt: skip
    when = (begins + timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M")
    fields = {"by": "release", "release": first.commit, "scheduled_for": when}
    answer = log_in("Ida").post(f"{PROD}release/", fields)
    assert answer.status_code == 409 and "The election" in text_of(answer)
    assert 'name="override"' in answer.content.decode()
    assert 'name="override"' not in log_in("Rob").post(f"{PROD}release/", fields).content.decode()
    assert log_in("Rob").post(f"{PROD}release/", {**fields, "override": "we must"}).status_code == 403
    assert log_in("Ida").post(f"{PROD}release/", {**fields, "override": HOSTILE}).status_code == 302
    assert "During a freeze" in read("Mia", f"{PROD}2/approval/")


def test_a_planned_release_to_uat_says_when_it_begins(prod: Environment) -> None:
    first = at(prod, "aborted")
    when = (timezone.now() + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
    fields = {"by": "release", "release": first.commit, "scheduled_for": when}
    answer = log_in("Rob").post("/instances/acme/uat/release/", fields)
    assert answer.status_code == 302
    assert "Planned: it begins by itself at" in read("Vera", answer["Location"])
    assert "planned at" in read("Vera", "/")


def test_abort_the_open_one_and_begin_this_one_in_one_act(prod: Environment) -> None:
    first = at(prod, "approval")
    fields = {"by": "release", "release": first.commit}
    assert log_in("Mia").post(f"{PROD}release/", fields).status_code == 409
    assert "Abort #1 and begin this one" in buttons("Mia", f"{PROD}release/")
    assert "Abort #1 and begin this one" not in buttons("Tim", f"{PROD}release/")
    answer = log_in("Mia").post(f"{PROD}release/", {**fields, "act": "instead", "instead": "1"})
    assert (answer.status_code, answer["Location"]) == (302, f"{PROD}2/")
    first.run.refresh_from_db()
    assert first.run.status == Status.ABORTED
    assert log_in("Tim").post(f"{PROD}release/", {**fields, "act": "instead", "instead": "2"}).status_code == 403


def test_one_at_work_is_not_replaced(prod: Environment) -> None:
    at(prod, "backup")
    assert "Abort #1 and begin this one" not in buttons("Mia", f"{PROD}release/")
    assert "is at work" in read("Mia", f"{PROD}release/")


def test_glass_is_broken_with_a_reason_and_a_fresh_log_in(prod: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    first = at(prod, "succeeded")
    fields = {"by": "release", "release": first.commit, "act": "break-glass"}
    short = log_in("Olga").post(f"{PROD}release/", {**fields, "break_glass": "urgent"})
    assert short.status_code == 400 and "at least 20 characters" in short.content.decode()
    reason = f"The site leaks addresses {HOSTILE}"
    assert log_in("Rob").post(f"{PROD}release/", {**fields, "break_glass": reason}).status_code == 403
    browser = log_in("Olga")
    monkeypatch.setattr(fresh, "FRESH_FOR", timedelta(0))
    asked = browser.post(f"{PROD}release/", {**fields, "break_glass": reason})
    assert "/account/confirm/" in asked["Location"] and prod.deployments.count() == 1
    monkeypatch.setattr(fresh, "FRESH_FOR", timedelta(minutes=15))
    assert browser.post(asked["Location"], {"password": PASSWORD}).status_code == 302
    assert AuditEntry.objects.filter(action="glass broken", actor__name="Olga").exists()
    for address in ("/", f"{PROD}2/", PROD):
        page = log_in("Vera").get(address).content.decode()
        assert "<script>alert" not in page
    assert "Break glass in the last 30 days" in read("Vera", "/")
    assert "leaks addresses" in read("Vera", f"{PROD}2/")


def test_a_revision_that_was_rolled_back_is_let_in_again_with_a_reason(prod: Environment) -> None:
    make_deployment(prod, at="succeeded", now=timezone.now() - timedelta(hours=2))
    other = make_commit(prod.instance)
    back = make_deployment(prod, at="rolled back", commit=other, now=timezone.now() - timedelta(minutes=20))
    lift = f"{PROD}refused/{prod.bars.get().pk}/"
    assert "refused here" in read("Rob", f"{PROD}release/")
    answer = log_in("Rob").post(f"{PROD}release/", {"by": "release", "release": back.commit})
    assert answer.status_code == 409 and "was rolled back" in answer.content.decode()
    assert log_in("Rob").post(lift, {"reason": "mended"}).status_code == 403
    assert log_in("Sam").post(lift, {"reason": "mended"}).status_code == 404
    assert log_in("Mia").post(lift, {"reason": ""}).status_code == 400
    assert log_in("Mia").post(lift, {"reason": "the data were wrong"}).status_code == 302
    assert log_in("Mia").post(lift, {"reason": "the data were wrong"}).status_code == 409
    assert log_in("Mia").get(f"/instances/acme/uat/refused/{prod.bars.get().pk}/").status_code == 404


def test_a_dry_run_begins_nothing_else(prod: Environment) -> None:
    first = at(prod, "succeeded")
    answer = log_in("Rob").post(f"{PROD}release/", {"by": "release", "release": first.commit, "act": "dry-run"})
    assert answer.status_code == 302 and "/runs/" in answer["Location"]
    assert log_in("Rob").get(answer["Location"]).status_code == 200
    assert prod.deployments.count() == 1


# --- Withdraw --------------------------------------------------------------------------------------------------------


def test_what_passed_uat_is_withdrawn_with_a_reason_and_shown_so(prod: Environment) -> None:
    at(prod, "aborted")
    where = "/instances/acme/uat/1/"
    assert "Withdraw" in buttons("Rob", where) and "Withdraw" not in buttons("Vera", where)
    assert log_in("Vera").post(f"{where}withdraw/", {"reason": "no"}).status_code == 403
    assert log_in("Rob").post(f"{where}withdraw/", {"reason": ""}).status_code == 400
    assert log_in("Rob").post(f"{where}withdraw/", {"reason": HOSTILE}).status_code == 302
    for address in (where, "/instances/acme/uat/", f"{PROD}release/"):
        page = log_in("Vera").get(address).content.decode()
        assert "ithdrawn" in page and "<script>alert" not in page
    again = log_in("Rob").post(f"{where}withdraw/", {"reason": "once more"})
    assert again.status_code == 409 and "Rob withdrew it already" in text_of(again)
    assert log_in("Rob").post(f"{ONE}withdraw/", {"reason": "not here"}).status_code in (403, 409)


# --- left in maintenance ---------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(prod: Environment) -> Deployment:
    at(prod, "succeeded")
    return make_deployment(prod, at="rollback failed", now=timezone.now() - timedelta(minutes=9))


def test_ops_find_the_site_and_say_which_release_is_live(prod: Environment, stuck: Deployment) -> None:
    assert "acme/prod" in read("Olga", "/operations/maintenance/")
    assert "acme/prod" not in read("Sam", "/operations/maintenance/")
    where = f"{PROD}2/resolve/"
    browser = log_in("Olga")
    for fields in ({"live": "", "reason": "by hand"}, {"live": "99", "reason": "by hand"}, {"live": "1", "reason": ""}):
        assert browser.post(where, fields).status_code == 400
    assert browser.post(where, {"live": "1", "reason": HOSTILE}).status_code == 302
    page = browser.get(where).content.decode()
    assert "The hosts are being asked" in page
    assert "<script>alert" not in page + browser.get("/operations/maintenance/").content.decode()
    assert browser.post(where, {"live": "1", "reason": "once more"}).status_code == 409
    assert "Being checked" in read("Vera", "/operations/maintenance/")


@pytest.mark.parametrize(("name", "status"), [("Rob", 403), ("Vera", 403), ("Sam", 404), ("Mia", 302), ("Ida", 302)])
def test_who_resolves(stuck: Deployment, name: str, status: int) -> None:
    assert log_in(name).post(f"{PROD}2/resolve/", {"live": "1", "reason": "by hand"}).status_code == status


# --- what waits for me -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "waits"),
    [
        ("approval", {"Mia": "Rob asks you to approve acme/prod #1"}),
        ("confirm", {"Rob": "Press Deploy for acme/prod #1"}),
        ("rollback_window", {"Rob": "acme/prod #1 may be rolled back"}),
    ],
)
def test_the_front_page_says_what_waits_for_me(prod: Environment, state: str, waits: dict[str, str]) -> None:
    at(prod, state)
    for name in ("Rob", "Mia", "Ida", "Vera", "Sam"):
        page = read(name, "/")
        assert ("Waits for you" in page) is (name in waits), name
        assert waits.get(name, "") in page


def test_an_environment_says_that_it_waits(prod: Environment) -> None:
    at(prod, "approval")
    assert "Waiting for approval by Mia." in read("Vera", PROD)


# --- live ------------------------------------------------------------------------------------------------------------


def test_the_live_part_is_drawn_anew_when_a_gate_moves_or_its_times_do(prod: Environment) -> None:
    window = at(prod, "rollback_window")
    before = tail.news(window.run_id, after=0).version
    assert log_in("Rob").post(f"{ONE}extend/", {"reason": "waiting for the editors"}).status_code == 302
    assert tail.news(window.run_id, after=0).version != before


def test_the_live_part_brings_the_choices_with_a_form_that_works(prod: Environment) -> None:
    at(prod, "confirm")
    browser = log_in("Rob")
    request = RequestFactory().get(f"{ONE}live/")
    request.session = browser.session
    deployment = Deployment.objects.get(environment=prod)
    drawn = _draw(request, deployment)() or ""
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', drawn)
    assert found and "Deploy to prod" in drawn
    browser.handler.enforce_csrf_checks = True
    browser.cookies["deploynaut-csrf"] = request.META["CSRF_COOKIE"]
    fields = {"plan": deployment.plan_hash, "csrfmiddlewaretoken": found[1]}
    assert browser.post(f"{ONE}start/", fields, HTTP_ORIGIN="http://testserver").status_code == 302


# --- size ------------------------------------------------------------------------------------------------------------

PAGES = (
    "/",
    PROD,
    f"{PROD}release/",
    f"{PROD}2/",
    f"{PROD}2/approval/",
    f"{PROD}2/rollback/",
    "/operations/maintenance/",
)


@pytest.mark.parametrize("address", PAGES)
def test_a_page_takes_a_bounded_number_of_queries(prod: Environment, address: str) -> None:
    at(prod, "succeeded")
    make_deployment(prod, at="approval", now=timezone.now(), commit=make_commit(prod.instance))
    browser = log_in("Mia")
    before = queries(browser, address)
    uat = prod.instance.environments.get(name="uat")
    for number in range(3):
        make_user(f"More{number}", Role.DEPLOYMENT_MANAGER, instance=prod.instance)
        make_deployment(uat, at="succeeded", commit=make_commit(prod.instance), now=timezone.now())
        other = make_instance(f"other{number}")
        make_user("Mia", Role.DEPLOYMENT_MANAGER, instance=other)
        make_deployment(make_environment(other, "prod", kind="production"), at="approval")
    after = queries(browser, address)
    assert after <= before + 3 and after <= 60, f"{address}: {before} queries, then {after}"


def queries(browser: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as found:
        assert browser.get(address).status_code == 200
    return len(found)
