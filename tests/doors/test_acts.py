"""What begin and abort do, and how they say no; the logs and messages of a deployment."""

from __future__ import annotations

import pytest

from deploynaut.accounts.roles import Role
from deploynaut.deployments.models import Deployment
from deploynaut.instances.models import Commit, Environment
from deploynaut.runs.models import Run
from tests.builders import Story, make_deployment, make_environment, make_user
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
def test_nobody_begins_on_production_what_has_not_passed_uat(world: World, name: str) -> None:
    answer = world.browser(name).post(RELEASE.format("prod"), {"by": "branch", "branch": "feature/search"})
    assert answer.status_code == 409
    assert "never been released to uat" in answer.content.decode()
    assert not Deployment.objects.filter(environment=world.prod).exists()


@pytest.mark.parametrize("name", ["Vera", "Olga", "Ada"])
@pytest.mark.parametrize("environment", ["uat", "prod"])
def test_who_may_not_release_is_refused(world: World, name: str, environment: str) -> None:
    answer = world.browser(name).post(RELEASE.format(environment), {"by": "branch", "branch": "main"})
    assert answer.status_code == 403
    assert not Deployment.objects.filter(initiator__name=name).exists()


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
    answer = world.browser("Mia").post("/instances/acme/uat/1/abort/")
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "Succeeded" in page
    assert 'role="alert"' in page


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
