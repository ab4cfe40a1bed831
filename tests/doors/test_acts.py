"""What the forms of the pages do: begin, abort, fetch, add, confirm, check, save; and how they say no."""

from __future__ import annotations

import pytest

from deploynaut.accounts.roles import Role
from deploynaut.deployments.managers import NO_APPROVAL_YET
from deploynaut.deployments.models import Deployment
from deploynaut.instances.models import Commit, Environment, Instance, KeyPair, Target
from deploynaut.runs.models import LogChunk, Run
from tests.builders import HOST_KEY, Story, make_deployment, make_environment, make_user
from tests.doors.world import World, log_in

RELEASE = "/instances/acme/{}/release/"


@pytest.fixture
def test_site(world: World) -> Environment:
    """An environment on which nothing is open."""
    return make_environment(world.instance, "test", kind="test")


# --- begin -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "text"), [("branch", "main"), ("branch", "feature/search"), ("tag", "1.0")])
def test_a_branch_or_tag_is_released(world: World, test_site: Environment, by: str, text: str) -> None:
    answer = world.browser("Rob").post(RELEASE.format("test"), {"by": by, by: text})
    assert (answer.status_code, answer["Location"]) == (302, "/instances/acme/test/1/")
    deployment = Deployment.objects.get(environment=test_site)
    assert (deployment.chosen_by, deployment.chosen_name, deployment.initiator.name) == (by, text, "Rob")
    assert deployment.commit == world.instance.refs.get(name=text).commit


@pytest.mark.parametrize("by", ["commit", "release"])
def test_an_earlier_release_or_a_commit_id_is_released(world: World, test_site: Environment, by: str) -> None:
    answer = world.browser("Rob").post(RELEASE.format("test"), {"by": by, by: world.good.commit})
    assert answer.status_code == 302
    assert Deployment.objects.get(environment=test_site).commit == world.good.commit


@pytest.mark.parametrize("name", ["Rob", "Mia", "Ida"])
def test_nobody_begins_on_production_yet(world: World, name: str) -> None:
    answer = world.browser(name).post(RELEASE.format("prod"), {"by": "branch", "branch": "main"})
    assert answer.status_code == 409
    assert NO_APPROVAL_YET in answer.content.decode()
    assert not Deployment.objects.filter(environment=world.prod).exists()


@pytest.mark.parametrize("name", ["Vera", "Olga", "Ada"])
@pytest.mark.parametrize("environment", ["uat", "prod"])
def test_who_may_not_release_is_refused(world: World, name: str, environment: str) -> None:
    answer = world.browser(name).post(RELEASE.format(environment), {"by": "branch", "branch": "main"})
    assert answer.status_code == 403
    assert Deployment.objects.count() == 3


def test_a_stranger_is_told_that_there_is_nothing(world: World) -> None:
    answer = world.browser("Sam").post(RELEASE.format("uat"), {"by": "branch", "branch": "main"})
    assert answer.status_code == 404


def test_the_second_of_two_learns_who_is_first(world: World, test_site: Environment) -> None:
    fields = {"by": "branch", "branch": "main"}
    assert world.browser("Rob").post(RELEASE.format("test"), fields).status_code == 302
    answer = world.browser("Mia").post(RELEASE.format("test"), fields)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "Rob began acme/test #1" in page
    assert 'href="/instances/acme/test/1/"' in page
    assert Deployment.objects.filter(environment=test_site).count() == 1


def test_a_refusal_keeps_what_was_typed(world: World, test_site: Environment) -> None:
    typed = '"><b>0123'
    answer = world.browser("Rob").post(RELEASE.format("test"), {"by": "commit", "commit": typed})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "is not a full commit id" in page
    assert 'value="&quot;&gt;&lt;b&gt;0123"' in page
    assert typed not in page
    assert '<input type="radio" name="by" value="commit" checked>' in page


def test_a_commit_that_was_not_fetched_says_what_to_do(world: World, test_site: Environment) -> None:
    answer = world.browser("Rob").post(RELEASE.format("test"), {"by": "commit", "commit": "0" * 40})
    assert answer.status_code == 400
    assert "Fetch the latest changes" in answer.content.decode()


def test_without_a_target_the_page_says_what_is_missing(world: World) -> None:
    make_environment(world.instance, "bare", kind="test", targets=0)
    answer = world.browser("Rob").post(RELEASE.format("bare"), {"by": "branch", "branch": "main"})
    assert answer.status_code == 409
    assert "no target that is set up" in answer.content.decode()


def test_a_link_brings_its_choice_along(world: World) -> None:
    page = world.browser("Rob").get(RELEASE.format("uat"), {"tag": "1.0"}).content.decode()
    assert '<input type="radio" name="by" value="tag" checked>' in page
    assert '<option value="1.0" selected>' in page


# --- abort -----------------------------------------------------------------------------------------------------------


def test_the_initiator_aborts_and_the_page_says_what_comes_of_it(world: World) -> None:
    browser = world.browser("Rob")
    assert "put back as it was" in browser.get("/instances/acme/uat/3/abort/").content.decode()
    answer = browser.post("/instances/acme/uat/3/abort/")
    assert (answer.status_code, answer["Location"]) == (302, "/instances/acme/uat/3/")
    assert Run.objects.get(pk=world.open.run_id).abort_by == "Rob"
    page = browser.get("/instances/acme/uat/3/").content.decode()
    assert "Rob asked to abort" in page


@pytest.mark.parametrize(("name", "status"), [("Mia", 302), ("Ida", 302), ("Olga", 302), ("Vera", 403), ("Ada", 403)])
def test_who_else_may_abort(world: World, name: str, status: int) -> None:
    assert world.browser(name).post("/instances/acme/uat/3/abort/").status_code == status
    assert bool(Run.objects.get(pk=world.open.run_id).abort_by) == (status == 302)


def test_another_technical_staff_may_not_abort(world: World) -> None:
    make_user("Tim", Role.TECHNICAL_STAFF, instance=world.instance)
    browser = log_in("Tim")
    page = browser.get("/instances/acme/uat/3/").content.decode()
    assert "You may not abort a deployment on uat of acme" in page
    assert browser.post("/instances/acme/uat/3/abort/").status_code == 403


def test_aborting_what_has_ended_is_answered_in_words(world: World) -> None:
    answer = world.browser("Mia").post("/instances/acme/uat/1/abort/", follow=True)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Succeeded" in page
    assert 'role="alert"' in page


# --- repository ------------------------------------------------------------------------------------------------------


def test_fetch_begins_a_run_and_the_page_shows_its_progress(world: World) -> None:
    browser = world.browser("Rob")
    answer = browser.post("/instances/acme/-/fetch/")
    assert answer["Location"] == "/instances/acme/#repository"
    page = browser.get("/instances/acme/").content.decode()
    assert 'hx-get="/instances/acme/-/repository/"' in page
    assert "Waiting for a worker to take it." in page
    run = Run.objects.filter(kind="fetch").latest("pk")
    LogChunk.objects.note(run, "receiving objects: 40 %", now=run.created_at)
    assert "receiving objects: 40 %" in browser.get("/instances/acme/-/repository/").content.decode()


def test_a_second_fetch_joins_the_first(world: World) -> None:
    browser = world.browser("Rob")
    for _ in range(2):
        assert browser.post("/instances/acme/-/fetch/").status_code == 302
    assert Run.objects.filter(kind="fetch", ended_at=None).count() == 1


def test_a_failed_fetch_says_why(world: World) -> None:
    Run.objects.filter(pk=world.fetch.pk).update(status="failed", cause="The server refused the deploy key.")
    page = world.browser("Vera").get("/instances/acme/").content.decode()
    assert "The last fetch failed" in page
    assert "The server refused the deploy key." in page


@pytest.mark.parametrize(("name", "status"), [("Mia", 302), ("Ada", 302), ("Vera", 403), ("Olga", 403), ("Sam", 404)])
def test_who_may_fetch(world: World, name: str, status: int) -> None:
    assert world.browser(name).post("/instances/acme/-/fetch/").status_code == status


def test_the_key_of_the_repository_server_waits_for_a_person(world: World) -> None:
    Instance.objects.filter(pk=world.instance.pk).update(repository_host_key_seen=HOST_KEY)
    page = world.browser("Ida").get("/instances/acme/").content.decode()
    assert "Is this the repository" in page
    assert "must be confirmed first" in page
    fingerprint = page.partition('name="fingerprint" value="')[2].partition('"')[0]
    assert fingerprint.startswith("SHA256:")
    refused = world.browser("Rob").post("/instances/acme/-/host-key/", {"fingerprint": fingerprint})
    assert refused.status_code == 403
    world.browser("Ida").post("/instances/acme/-/host-key/", {"fingerprint": fingerprint})
    assert Instance.objects.get(pk=world.instance.pk).repository_host_key


def test_a_key_that_is_being_made_is_said_to_be(world: World) -> None:
    KeyPair.objects.update(public="")
    page = world.browser("Rob").get("/instances/acme/").content.decode()
    assert "Key is being made" in page


# --- instances, environments, targets --------------------------------------------------------------------------------


def test_an_administrator_creates_an_instance(world: World) -> None:
    fields = {"name": "museum", "title": "Museum", "repository": "git@git.example.org:web/museum.git"}
    answer = world.browser("Ada").post("/instances/new/", fields)
    assert answer["Location"] == "/instances/museum/"
    assert Instance.objects.get(name="museum").title == "Museum"


@pytest.mark.parametrize(
    ("field", "value"), [("name", "new"), ("name", "Acme"), ("name", "acme"), ("repository", "ext::sh -c x")]
)
def test_a_form_that_is_refused_keeps_its_fields_and_marks_the_wrong_one(world: World, field: str, value: str) -> None:
    fields = {"name": "museum", "title": "Museum", "repository": "https://git.example/m.git", field: value}
    answer = world.browser("Ada").post("/instances/new/", fields)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert f'id="{field}-wrong"' in page
    assert 'value="Museum"' in page
    assert Instance.objects.count() == 1


def test_an_environment_is_added_with_its_pipeline(world: World) -> None:
    fields = {"name": "test", "kind": "test", "url": "https://test.example/", "recipe": "plain", "pipeline": ""}
    answer = world.browser("Ida").post("/instances/acme/new/", fields)
    assert answer["Location"] == "/instances/acme/test/#targets"


def test_problems_of_a_pipeline_are_shown_line_by_line(world: World) -> None:
    fields = {"url": "", "recipe": "plain", "recipe_options": "", "pipeline": "stepz: []\nkeep_releases: x\n"}
    answer = world.browser("Ida").post("/instances/acme/uat/settings/", fields)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "pipeline:1:" in page
    assert "pipeline:2:" in page
    assert "stepz: []" in page
    assert "stepz" not in Environment.objects.get(pk=world.uat.pk).pipeline


def test_settings_are_saved_by_who_may(world: World) -> None:
    fields = {"url": "https://new.example/", "recipe": "plain", "recipe_options": "", "pipeline": "keep_releases: 7\n"}
    assert world.browser("Rob").post("/instances/acme/uat/settings/", fields).status_code == 403
    answer = world.browser("Ida").post("/instances/acme/uat/settings/", fields, follow=True)
    assert "Saved." in answer.content.decode()
    assert Environment.objects.get(pk=world.uat.pk).pipeline.strip() == "keep_releases: 7"


def test_a_target_is_added_compared_and_confirmed(world: World) -> None:
    browser = world.browser("Ida")
    fields = {"reach": "ssh", "address": "web7.acme.example", "user": "deploy", "base": "/sites/acme", "web": "on"}
    answer = browser.post("/instances/acme/uat/targets/add/", {**fields, "port": "2222"})
    target = Target.objects.get(address="web7.acme.example")
    assert answer["Location"] == f"/instances/acme/uat/#target-{target.pk}"
    assert (target.port, target.web, target.db) == (2222, True, False)
    Run.objects.filter(kind="target_scan").update(status="succeeded", ended_at=world.fetch.ended_at)
    Target.objects.filter(pk=target.pk).update(host_key_seen=HOST_KEY)
    page = browser.get("/instances/acme/uat/targets/").content.decode()
    fingerprint = page.partition('name="fingerprint" value="')[2].partition('"')[0]
    Target.objects.filter(pk=world.waiting.pk).delete()
    browser.post(f"/instances/acme/uat/targets/{target.pk}/confirm/", {"fingerprint": fingerprint})
    assert Target.objects.get(pk=target.pk).host_key
    assert Run.objects.filter(kind="target_set_up", subject_id=target.pk).exists()


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "٢٢", "99999999999999999999"])
def test_a_port_is_a_number(world: World, port: str) -> None:
    fields = {"reach": "ssh", "address": "web7.acme.example", "user": "deploy", "base": "/sites/acme", "web": "on"}
    answer = world.browser("Ida").post("/instances/acme/uat/targets/add/", {**fields, "port": port})
    assert answer.status_code == 400
    assert "A port is a number from 1 to 65535." in answer.content.decode()


def test_check_connection_begins_a_run_and_shows_its_lines(world: World) -> None:
    browser = world.browser("Ida")
    where = f"/instances/acme/uat/targets/{world.target.pk}/check/"
    for _ in range(2):
        assert browser.post(where).status_code == 302
    run = Run.objects.get(kind="target_check")
    LogChunk.objects.create(run=run, step=run.steps.get(), at=run.created_at, text="12:00:00 ok: the base is there\n")
    page = browser.get("/instances/acme/uat/").content.decode()
    assert "Being checked" in page
    assert "ok: the base is there" in page
    assert world.browser("Rob").post(where).status_code == 403


def test_a_target_of_another_environment_is_not_found(world: World) -> None:
    answer = world.browser("Ida").post(f"/instances/acme/prod/targets/{world.target.pk}/check/")
    assert answer.status_code == 404


# --- logs and messages -----------------------------------------------------------------------------------------------


def test_each_step_has_its_log_and_the_pipeline_its_own(world: World) -> None:
    browser = world.browser("Vera")
    Story(world.open).log("a line of the release step")
    step = world.open.run.steps.get(kind="release")
    assert "a line of the release step" in browser.get(f"/instances/acme/uat/3/log/?step={step.pk}").content.decode()
    assert "a line of the release step" not in browser.get("/instances/acme/uat/3/log/").content.decode()
    other = world.good.run.steps.get(kind="release")
    assert browser.get(f"/instances/acme/uat/3/log/?step={other.pk}").status_code == 404


def test_the_raw_log_is_plain_text(world: World) -> None:
    Story(world.open).log("<b>bold</b>")
    step = world.open.run.steps.get(kind="release")
    answer = world.browser("Vera").get(f"/instances/acme/uat/3/log/?step={step.pk}&raw=1")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert b"<b>bold</b>" in answer.getvalue()


def test_the_messages_of_a_deployment_are_listed_with_their_result(world: World) -> None:
    world.good.run.messages.update(status="given up", result="550 no such mailbox")
    page = world.browser("Vera").get("/instances/acme/uat/1/").content.decode()
    assert "not delivered: 550 no such mailbox" in page
    assert "was not delivered" in world.browser("Vera").get("/").content.decode()


def test_the_page_of_messages_is_there_in_the_demo_alone(world: World, settings: object) -> None:
    browser = world.browser("Vera")
    assert browser.get("/messages/").status_code == 404
    settings.DEPLOYNAUT_DEMO = True  # type: ignore[attr-defined]
    assert "is live on uat" in browser.get("/messages/").content.decode()
    assert "is live on uat" not in world.browser("Sam").get("/messages/").content.decode()


def test_a_release_that_cannot_be_put_back_is_on_top_of_the_front_page(world: World, test_site: Environment) -> None:
    make_deployment(test_site, at="succeeded")
    make_deployment(test_site, at="rollback failed")
    page = world.browser("Olga").get("/").content.decode()
    assert "A site needs a person" in page
    assert "acme/test is in its maintenance screen" in page


def test_commits_outlive_their_branches(world: World) -> None:
    world.instance.refs.all().delete()
    assert Commit.objects.filter(hex=world.good.commit).exists()
    page = world.browser("Vera").get("/instances/acme/uat/1/").content.decode()
    assert world.good.commit in page
