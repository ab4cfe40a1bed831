"""The pages of proposals, freezes, locks, and of removing a target."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploynaut.accounts.models import AuditEntry, Grant
from deploynaut.accounts.roles import Role
from deploynaut.instances import proposals
from deploynaut.instances.models import Environment, EnvironmentLock, Freeze, Proposal, Target
from tests.builders import NOW, make_environment, make_instance, make_user
from tests.doors.world import World

NEW = "https://new.acme.example/"


@pytest.fixture
def released(world: World) -> World:
    """The world, with production released to."""
    world.prod.mark_released(NOW)
    return world


def settings(prod: Environment, **changed: str) -> dict[str, str]:
    return {"url": prod.url, "recipe": prod.recipe, "recipe_options": "", "pipeline": prod.pipeline, **changed}


def propose(world: World, name: str = "Ida", **changed: str) -> Proposal:
    fields = settings(world.prod, **{"url": NEW, **changed})
    answer = world.browser(name).post("/instances/acme/prod/settings/", fields)
    assert answer.status_code == 302, answer.content.decode()
    found = Proposal.objects.filter(environment=world.prod).latest("pk")
    assert answer["Location"] == found.get_absolute_url()
    return found


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


# --- proposals ---


def test_settings_of_production_are_proposed_answered_and_then_hold(released: World) -> None:
    page = text(released.browser("Ida").get("/instances/acme/prod/settings/"))
    assert ">Propose</button>" in page and "this becomes a proposal" in page
    proposal = propose(released, reason="The new name", hosts="api.acme.example\n10.1.0.0/16")
    for where in ("/instances/acme/prod/settings/", "/instances/acme/prod/"):
        assert "waits for somebody else to confirm it" in text(released.browser("Vera").get(where)), where
    page = text(released.browser("Mia").get(proposal.get_absolute_url()))
    assert NEW in page and released.prod.url in page and "10.1.0.0/16" in page and "The new name" in page
    listed = text(released.browser("Mia").get("/instances/acme/-/proposals/"))
    assert proposal.title in listed and ">Answer<" in listed
    answer = released.browser("Mia").post(f"{proposal.get_absolute_url()}confirm/")
    assert answer.status_code == 302
    page = text(released.browser("Mia").get(proposal.get_absolute_url()))
    assert "Confirmed" in page and "by Mia" in page
    prod = Environment.objects.get(pk=released.prod.pk)
    assert (prod.url, prod.hosts) == (NEW, ["api.acme.example", "10.1.0.0/16"])
    assert AuditEntry.objects.filter(action="proposal confirmed").exists()


def test_the_proposer_reads_why_they_cannot_confirm_and_may_withdraw(released: World) -> None:
    proposal = propose(released)
    page = text(released.browser("Ida").get(proposal.get_absolute_url()))
    assert "You proposed this: somebody else has to confirm it." in page and ">Confirm</button>" not in page
    answer = released.browser("Ida").post(f"{proposal.get_absolute_url()}confirm/")
    assert answer.status_code == 403 and "somebody else has to answer" in text(answer)
    assert AuditEntry.objects.filter(result="denied", actor=make_user("Ida")).exists()
    assert released.browser("Mia").post(f"{proposal.get_absolute_url()}withdraw/").status_code == 403
    assert released.browser("Ida").post(f"{proposal.get_absolute_url()}withdraw/").status_code == 302
    late = released.browser("Mia").post(f"{proposal.get_absolute_url()}confirm/")
    assert late.status_code == 409 and "Ida has withdrawn it" in text(late)
    assert Environment.objects.get(pk=released.prod.pk).url != NEW


@pytest.mark.parametrize(("name", "status"), [("Vera", 403), ("Rob", 403), ("Olga", 403), ("Sam", 404)])
def test_who_may_not_answer_is_refused_in_words(released: World, name: str, status: int) -> None:
    proposal = propose(released)
    for act in ("confirm", "refuse", "withdraw"):
        answer = released.browser(name).post(f"{proposal.get_absolute_url()}{act}/", {"reason": "I want to"})
        assert answer.status_code == status
    shown = released.browser(name).get(proposal.get_absolute_url())
    assert shown.status_code == (404 if status == 404 else 200)
    if status == 403:
        assert "this needs Deployment Manager, Instance Manager or Administrator" in text(shown)
    assert Proposal.objects.get(pk=proposal.pk).is_open


def test_a_refusal_needs_a_reason_at_its_field(released: World) -> None:
    proposal = propose(released)
    answer = released.browser("Mia").post(f"{proposal.get_absolute_url()}refuse/", {"reason": " \t "})
    assert answer.status_code == 400 and 'id="reason-wrong"' in text(answer)
    answer = released.browser("Mia").post(f"{proposal.get_absolute_url()}refuse/", {"reason": "Not on a Friday"})
    assert answer.status_code == 302
    page = text(released.browser("Ida").get("/instances/acme/-/proposals/"))
    assert "Refused" in page and "Not on a Friday" in page


def test_a_changed_pipeline_is_shown_line_by_line_and_is_harmless(released: World) -> None:
    nasty = 'description: "<script>alert(1)</script>"\nsmoke_tests: {}\n'
    proposal = Environment.objects.change(released.prod, by=make_user("Ida"), now=NOW, pipeline=nasty)
    assert proposal is not None
    page = text(released.browser("Mia").get(proposal.get_absolute_url()))
    assert "<ins>description: &quot;&lt;script&gt;" in page and "<script>alert" not in page


def test_an_overtaken_proposal_says_so_and_changes_nothing(released: World) -> None:
    proposal = propose(released)
    Environment.objects.filter(pk=released.prod.pk).update(url="https://third.acme.example/")
    answer = released.browser("Mia").post(f"{proposal.get_absolute_url()}confirm/", follow=True)
    assert "Nothing was changed. What it was based on has changed meanwhile." in text(answer)
    assert Proposal.objects.get(pk=proposal.pk).status == "overtaken"


def test_a_second_proposal_about_the_same_names_the_first(released: World) -> None:
    first = propose(released)
    make_user("Ivo", Role.INSTANCE_MANAGER, instance=released.instance)
    answer = released.browser("Ivo").post(
        "/instances/acme/prod/settings/", settings(released.prod, url="https://third.acme.example/")
    )
    assert answer.status_code == 400 and f"proposal {first.pk}" in text(answer)


def test_confirming_asks_for_a_fresh_log_in(released: World) -> None:
    proposal = propose(released)
    browser = released.browser("Mia")
    session = browser.session
    for record in session["account_authentication_methods"]:
        record["at"] -= 16 * 60
    session.save()
    answer = browser.post(f"{proposal.get_absolute_url()}confirm/")
    assert answer.status_code == 302 and answer["Location"].startswith("/account/confirm/")
    assert Proposal.objects.get(pk=proposal.pk).is_open


def test_a_proposal_of_another_instance_or_an_unseen_environment_is_not_found(released: World) -> None:
    proposal = propose(released)
    other = make_instance("other")
    make_user("Una", Role.DEPLOYMENT_MANAGER, instance=other)
    make_user("Nat", Role.INSTANCE_MANAGER, at=released.uat)
    assert released.browser("Una").get(proposal.get_absolute_url()).status_code == 404
    assert released.browser("Una").get(f"/instances/other/-/proposals/{proposal.pk}/").status_code == 404
    assert released.browser("Nat").get(proposal.get_absolute_url()).status_code == 404
    assert released.browser("Nat").post(f"{proposal.get_absolute_url()}confirm/").status_code == 404
    assert proposal.title not in text(released.browser("Nat").get("/instances/acme/-/proposals/"))


def test_a_role_that_may_approve_is_proposed_on_the_members_page(released: World) -> None:
    fields = {"person": "rob@acme.example", "role": "deployment-manager", "place": ""}
    released.browser("Ida").post("/instances/acme/-/members/give/", fields)
    proposal = Proposal.objects.get(kind="role")
    assert proposal.title == "Make Rob Deployment Manager of acme"
    page = text(released.browser("Mia").get(proposal.get_absolute_url()))
    assert "rob@acme.example" in page and "Deployment Manager" in page
    released.browser("Mia").post(f"{proposal.get_absolute_url()}confirm/")
    assert Grant.objects.filter(user=make_user("Rob"), role=Role.DEPLOYMENT_MANAGER).exists()


# --- targets ---


def test_a_target_of_production_is_added_and_removed_by_proposal(released: World) -> None:
    fields = {"reach": "ssh", "address": "web7.acme.example", "user": "deploy", "base": "/sites/acme", "web": "on"}
    answer = released.browser("Ida").post("/instances/acme/prod/targets/add/", fields)
    added = Proposal.objects.get(kind="target-add")
    assert answer["Location"] == added.get_absolute_url()
    page = text(released.browser("Mia").get(added.get_absolute_url()))
    assert "web7.acme.example" in page and "/sites/acme" in page
    released.browser("Mia").post(f"{added.get_absolute_url()}confirm/")
    assert Target.objects.filter(address="web7.acme.example").exists()
    target = released.prod.targets.order_by("pk")[0]
    where = f"/instances/acme/prod/targets/{target.pk}/remove/"
    page = text(released.browser("Ida").get(where))
    assert "is the only host that serves" in page and "disabled" in page
    assert released.browser("Ida").post(where).status_code == 409
    Target.objects.filter(address="web7.acme.example").update(set_up_at=NOW)
    answer = released.browser("Ida").post(where, {"reason": "It is old"})
    assert answer["Location"] == Proposal.objects.get(kind="target-remove").get_absolute_url()


def test_a_target_of_uat_is_removed_at_once_and_found_no_more(world: World) -> None:
    where = f"/instances/acme/uat/targets/{world.waiting.pk}/remove/"
    page = text(world.browser("Ida").get("/instances/acme/uat/"))
    assert f'href="{where}"' in page
    # A deployment is open.
    assert world.browser("Ida").post(where).status_code == 409
    world.open.run.__class__.objects.filter(pk=world.open.run_id).update(status="succeeded", ended_at=NOW)
    for name, status in (("Rob", 403), ("Sam", 404), ("Ida", 302), ("Ida", 404)):
        assert world.browser(name).post(where).status_code == status
    assert f'id="target-{world.waiting.pk}"' not in text(world.browser("Ida").get("/instances/acme/uat/"))


# --- freezes ---

WEEKLY = {
    "reason": "Nobody is here at the weekend", "zone": "Pacific/Auckland", "begins": "2199-07-05T15:00",
    "repeats": "weekly", "days": ["FR"], "week_lasts": "65h", "scope": "production",
}  # fmt: skip
FREEZES = "/instances/acme/-/freezes/"


def test_a_weekly_freeze_is_set_shown_with_its_next_windows_and_removed(world: World) -> None:
    before = Freeze.objects.count()
    assert world.browser("Ida").post(FREEZES, WEEKLY).status_code == 302
    freeze = Freeze.objects.latest("pk")
    assert (freeze.rule, freeze.lasts, freeze.begins) == (
        "FREQ=WEEKLY;BYDAY=FR", timedelta(hours=65), "2199-07-05T15:00",
    )  # fmt: skip
    page = text(world.browser("Vera").get(FREEZES))
    assert "Every Friday at 15:00, for 65h, Pacific/Auckland" in page
    assert "Fri 5 Jul 2199, 15:00" in page and "Mon 8 Jul 2199, 08:00" in page
    assert "Set the freeze" not in page
    where = f"{FREEZES}{freeze.pk}/remove/"
    assert world.browser("Rob").post(where, {"reason": "I want to"}).status_code == 403
    assert world.browser("Ida").post(where, {"reason": "  "}).status_code == 400
    assert world.browser("Ida").post(where, {"reason": "We work now"}).status_code == 302
    assert world.browser("Ida").post(where, {"reason": "We work now"}).status_code == 409
    assert Freeze.objects.filter(removed_at=None).count() == before
    assert "We work now" in text(world.browser("Vera").get(FREEZES))


def test_a_freeze_from_one_time_to_another_knows_that_the_clock_is_changed_between(world: World) -> None:
    fields = {
        "reason": "The feast", "zone": "Europe/London", "begins": "2190-03-27T12:00", "repeats": "once",
        "ends": "2190-03-29T12:00", "scope": "chosen", "environments": ["uat", "prod"],
    }  # fmt: skip
    assert world.browser("Ada").post(FREEZES, fields).status_code == 302
    freeze = Freeze.objects.latest("pk")
    assert {one.name for one in freeze.environments.all()} == {"uat", "prod"}
    (window,) = freeze.recurrence.coming(datetime(2180, 1, 1, tzinfo=UTC), count=3)
    page = text(world.browser("Vera").get(FREEZES))
    assert "Sat 27 Mar 2190, 12:00" in page and "Mon 29 Mar 2190, 12:00" in page
    assert window.ends - window.begins in {timedelta(hours=47), timedelta(hours=48)}


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("reason", {"reason": " "}), ("zone", {"zone": "Mars/Olympus"}), ("begins", {"begins": ""}),
        ("begins", {"begins": "2020-01-01T00:00", "repeats": "rule", "rule": "FREQ=DAILY;COUNT=2", "rule_lasts": "1h"}),
        ("week_lasts", {"week_lasts": "65"}), ("week_lasts", {"week_lasts": "0h"}),
        ("week_lasts", {"week_lasts": "31d"}), ("ends", {"repeats": "once"}),
        ("ends", {"repeats": "once", "ends": "2199-07-05T14:59"}), ("rule", {"repeats": "rule", "rule_lasts": "1h"}),
        ("rule", {"repeats": "rule", "rule": "FREQ=HOURLY", "rule_lasts": "1h"}),
        ("rule_lasts", {"repeats": "rule", "rule": "FREQ=DAILY", "rule_lasts": ""}),
        ("repeats", {"repeats": "never"}), ("scope", {"scope": "x"}), ("environments", {"scope": "chosen"}),
        ("environments", {"scope": "chosen", "environments": ["nowhere"]}),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_freeze_is_marked_and_what_was_typed_is_kept(
    world: World, field: str, changed: dict[str, Any]
) -> None:
    before = Freeze.objects.count()
    answer = world.browser("Ida").post(FREEZES, {**WEEKLY, **changed})
    assert answer.status_code == 400
    assert answer.context["problems"].keys() == {field}
    assert 'class="wrong"' in text(answer) and 'value="FR" checked' in text(answer)
    assert Freeze.objects.count() == before


def test_a_freeze_of_another_instance_is_not_found(world: World) -> None:
    key = world.guards["/freezes/"]
    make_user("Una", Role.INSTANCE_MANAGER, instance=make_instance("other"))
    browser = world.browser("Una")
    assert browser.post(f"/instances/other/-/freezes/{key}/remove/", {"reason": "I want to"}).status_code == 404
    assert browser.post(f"{FREEZES}{key}/remove/", {"reason": "I want to"}).status_code == 404
    assert browser.get(FREEZES).status_code == 404


# --- locks ---

LOCKS = "/instances/acme/prod/locks/"


def test_a_lock_is_set_seen_and_lifted_by_forms(world: World) -> None:
    answer = world.browser("Rob").post(LOCKS, {"reason": "Load test until four", "until": "2199-07-05T16:00"})
    assert answer.status_code == 302
    lock = EnvironmentLock.objects.latest("pk")
    assert lock.expires_at == datetime(2199, 7, 5, 16, 0, tzinfo=UTC)
    page = text(world.browser("Vera").get(LOCKS))
    assert "Load test until four" in page and "until 5 July 2199, 16:00 UTC" in page
    assert "You may not lift somebody else&#x27;s lock on prod of acme" in page
    where = f"{LOCKS}{lock.pk}/lift/"
    for name, reason, status in (
        ("Vera", "I want to", 403), ("Mia", "I want to", 403), ("Sam", "I want to", 404), ("Olga", " ", 400),
        ("Olga", "The test is over", 302), ("Rob", "The test is over", 409),
    ):  # fmt: skip
        assert world.browser(name).post(where, {"reason": reason}).status_code == status, name
    page = text(world.browser("Vera").get(LOCKS))
    assert "Not locked" in page and "The test is over" in page


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("reason", {"reason": " \t "}), ("reason", {"reason": "x" * 1001}), ("until", {"until": "2020-01-01T00:00"}),
        ("until", {"until": "soon"}), ("until", {"until": "9" * 300}),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_lock_is_marked(world: World, field: str, changed: dict[str, str]) -> None:
    before = EnvironmentLock.objects.count()
    answer = world.browser("Rob").post(LOCKS, {"reason": "Load test", **changed})
    assert answer.status_code == 400 and f'id="{field}-wrong"' in text(answer)
    assert EnvironmentLock.objects.count() == before


def test_who_may_not_lock_reads_why(world: World) -> None:
    assert world.browser("Vera").post(LOCKS, {"reason": "Because"}).status_code == 403
    assert "You may not begin a production release on prod of acme" in text(world.browser("Vera").get(LOCKS))
    assert world.browser("Sam").post(LOCKS, {"reason": "Because"}).status_code == 404
    assert world.browser("Sam").get(LOCKS).status_code == 404


def test_a_lock_of_another_environment_is_not_found(world: World) -> None:
    key = world.guards["/locks/"]
    assert world.browser("Olga").post(f"{LOCKS}{key}/lift/", {"reason": "Because"}).status_code == 404


def test_a_freeze_is_named_on_the_page_of_locks(world: World) -> None:
    now = datetime.now(UTC)
    Freeze.objects.create(
        instance=world.instance, by=make_user("Ida"), at=now, reason="The feast", zone="UTC",
        begins=(now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"), lasts=timedelta(hours=3),
    )  # fmt: skip
    assert "The feast" in text(world.browser("Vera").get(LOCKS))
    assert "Frozen now" in text(world.browser("Vera").get(FREEZES))


def test_acts_answer_reading_with_405(world: World) -> None:
    key, freeze, lock = world.guards.values()
    for where in (
        f"/instances/acme/-/proposals/{key}/confirm/", f"/instances/acme/-/proposals/{key}/refuse/",
        f"/instances/acme/-/proposals/{key}/withdraw/", f"{FREEZES}{freeze}/remove/",
        f"/instances/acme/uat/locks/{lock}/lift/",
    ):  # fmt: skip
        assert world.browser("Ida").get(where).status_code == 405


def test_what_waits_is_asked_in_few_queries(released: World, django_assert_max_num_queries: Any) -> None:
    for number in range(5):
        place = make_environment(released.instance, f"prod{number}", kind="production")
        place.mark_released(NOW)
        Environment.objects.change(place, by=make_user("Ida"), now=NOW, url=NEW)
    mia = make_user("Mia")
    with django_assert_max_num_queries(2):
        assert len(list(proposals.waiting(mia))) >= 5
    browser = released.browser("Mia")
    browser.get("/instances/acme/-/proposals/")
    with django_assert_max_num_queries(25):
        browser.get("/instances/acme/-/proposals/")
