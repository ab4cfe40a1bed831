"""What the forms of an instance do: fetch, confirm, create, add, check, save; and how they say no."""

from __future__ import annotations

import pytest

from deploynaut.instances.models import Environment, Instance, KeyPair, Target
from deploynaut.runs.models import LogChunk, Run
from tests.builders import HOST_KEY
from tests.doors.world import World

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
    fields = {"name": "test", "kind": "test", "recipe": "plain", "pipeline": "stepz: []\nkeep_releases: x\n"}
    answer = world.browser("Ida").post("/instances/acme/new/", fields)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "pipeline:1:" in page
    assert "pipeline:2:" in page
    assert "stepz: []" in page
    assert not Environment.objects.filter(name="test").exists()


def test_settings_are_saved_by_who_may(world: World) -> None:
    Environment.objects.filter(pk=world.uat.pk).update(pipeline="keep_releases: 7")
    fields = {"url": "https://new.example/", "recipe": "plain", "recipe_options": "", "pipeline": "keep_releases: 9\n"}
    assert world.browser("Rob").post("/instances/acme/uat/settings/", fields).status_code == 403
    answer = world.browser("Ida").post("/instances/acme/uat/settings/", fields, follow=True)
    assert "Saved." in answer.content.decode()
    found = Environment.objects.get(pk=world.uat.pk)
    assert found.url == "https://new.example/"
    assert found.pipeline == "keep_releases: 7", "the pipeline is changed on its own page"


def test_an_address_that_its_smoke_tests_do_not_go_with_is_refused(world: World) -> None:
    pipeline = "smoke_tests: {home: {url: 'https://uat.acme.example/'}}"
    Environment.objects.filter(pk=world.uat.pk).update(pipeline=pipeline)
    fields = {"url": "https://new.example/", "recipe": "plain", "recipe_options": ""}
    answer = world.browser("Ida").post("/instances/acme/uat/settings/", fields)
    assert answer.status_code == 400
    assert "uat.acme.example is not a host of this environment" in answer.content.decode()
    assert Environment.objects.get(pk=world.uat.pk).url == "https://uat.acme.example/"


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
