"""The page of an environment's pipeline: reading, trying, saving, history, import, the schema."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client

from deploynaut.accounts.roles import Role
from deploynaut.instances.models import Environment, PipelineVersion, Proposal
from deploynaut.web.pipelines.checked import problem, typed
from deploynaut.web.pipelines.compare import MOST, compare
from deploynaut.web.pipelines.page import mark
from deploynaut.web.pipelines.preview import spoken
from tests.attacks.corpus import FIELDS
from tests.builders import NOW, make_user
from tests.doors.world import World, all_rows, log_in
from tests.engine.test_pipeline_importing import PROD as TEMPLATE

UAT = "/instances/acme/uat/pipeline/"
PROD = "/instances/acme/prod/pipeline/"
GOOD = 'smoke_tests:\n  home: {url: "https://uat.acme.example/", contains: "Welcome"}'


def save(world: World, text: str, *, who: str = "Ida", where: str = UAT, **more: str) -> tuple[int, str]:
    """Status and page of saving a text, from a page that showed what holds now."""
    environment = world.prod if where == PROD else world.uat
    environment.refresh_from_db()
    fields = {"act": "save", "text": text, "based_on": mark(environment.pipeline), "reason": "tidy it up", **more}
    answer = world.browser(who).post(where, fields, follow=True)
    return answer.status_code, answer.content.decode()


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["Vera", "Rob", "Mia", "Olga"])
def test_who_may_not_edit_reads_it_and_is_told_whom_to_ask(world: World, who: str) -> None:
    Environment.objects.filter(pk=world.uat.pk).update(pipeline=GOOD)
    page = world.browser(who).get(UAT).content.decode()
    assert "contains: &quot;Welcome&quot;" in page
    assert "<textarea" not in page
    assert "You may not edit environments, targets, pipelines or keys of uat of acme" in page


@pytest.mark.parametrize("who", ["Vera", "Rob", "Mia", "Olga"])
def test_who_may_not_edit_changes_nothing(world: World, who: str) -> None:
    before = all_rows(without=["sessions.session", "accounts.auditentry"])
    for where in (UAT, f"{UAT}import/"):
        answer = world.browser(who).post(where, {"act": "save", "text": GOOD, "template": TEMPLATE})
        assert answer.status_code == 403
    after = all_rows(without=["sessions.session", "accounts.auditentry"])
    assert {name for name in after if after[name] != before.get(name)} <= {"accounts.user"}


@pytest.mark.parametrize("rest", ["", "history/", "import/"])
def test_a_stranger_finds_nothing(world: World, rest: str) -> None:
    assert world.browser("Sam").get(UAT + rest).status_code == 404
    assert world.browser("Ida").get(f"/instances/acme/none/pipeline/{rest}").status_code == 404


def test_the_settings_lead_to_it(world: World) -> None:
    page = world.browser("Ida").get("/instances/acme/uat/settings/").content.decode()
    assert f'href="{UAT}"' in page


def test_production_shows_what_a_file_leaves_out(world: World) -> None:
    make_user("Max", Role.DEPLOYMENT_MANAGER, instance=world.instance)
    page = world.browser("Ida").get(PROD).content.decode()
    assert page.count(">default</span>") == 7
    assert "First asks the Deployment Managers (Max, Mia)." in page
    assert "After 2 hours without an answer asks the Instance Managers (Ida)." in page
    assert "Then the first again, every 2 hours." in page
    assert "Expires after 7 days." in page
    assert "For 1 hour one click undoes everything." in page
    assert "No page is looked at: the file names no smoke test." in page
    assert "Only what succeeded on uat, and was not withdrawn, can be chosen." in page


# --- trying ----------------------------------------------------------------------------------------------------------


def test_a_preview_shows_what_it_would_do_and_saves_nothing(world: World) -> None:
    browser = world.browser("Ida")
    browser.get("/")
    before = all_rows(without=["sessions.session"])
    text = f"steps:\n  - smoke_tests: {{attempts: 5, delay: 90s}}\n{GOOD}"
    page = browser.post(UAT, {"act": "preview", "text": text.replace("\n", "\r\n")}).content.decode()
    assert "What it would do" in page
    assert "1 test: home." in page
    assert "Up to 5 tries each, 90 seconds apart." in page
    assert "4 lines added, 0 removed" in page
    assert "attempts: 5" in page
    assert page.count(">default</span>") == 3
    assert all_rows(without=["sessions.session"]) == before


def test_mistakes_are_shown_with_their_lines(world: World) -> None:
    text = "description: x\nsteps:\n  - backup: {asets: true}\nkeep_releases: 0"
    page = world.browser("Ida").post(UAT, {"act": "preview", "text": text}).content.decode()
    assert "pipeline.yml:3:14" in page
    assert "steps.0.backup.asets: unknown key; is assets meant?" in page
    assert "  - backup: {asets: true}\n" in page
    assert " " * 13 + "^" in page
    assert "pipeline.yml:4:1" in page
    assert "2 mistakes: nothing was saved" in page
    assert text.partition("\n")[2].partition("\n")[2] in page, "what was typed is kept"


def test_a_hostile_text_is_shown_as_text(world: World) -> None:
    page = (
        world.browser("Ida").post(UAT, {"act": "preview", "text": '</textarea><script>x</script>: "a'}).content.decode()
    )
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://evil.example/", "evil.example is not a host of this environment"),
        ("http://2130706433/", "127.0.0.1 is not a host of this environment, and it is this machine"),
        ("http://169.254.169.254/", "an address of the machine&#x27;s own network or cloud"),
        ("file:///etc/passwd", "is not a web address"),
    ],
)
def test_tests_ask_no_other_host(world: World, url: str, words: str) -> None:
    status, page = save(world, f"smoke_tests: {{a: {{url: '{url}'}}}}")
    assert status == 400
    assert words in page
    world.uat.refresh_from_db()
    assert world.uat.pipeline == ""


def test_the_hosts_of_the_settings_may_be_asked(world: World) -> None:
    Environment.objects.filter(pk=world.uat.pk).update(hosts=["sso.acme.example"])
    assert save(world, "smoke_tests: {a: {url: 'https://sso.acme.example/'}}")[0] == 200


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ("[[rob@acme.example], [deployment-managers]]", "rob@acme.example may not approve here"),
        ("[[nobody@acme.example]]", "nobody@acme.example may not approve here"),
        ("[[ada@acme.example]]", "ada@acme.example may not approve here"),
        ("[[mia@acme.example]]", "nobody but one person could approve"),
        ("[[mia@acme.example], [deployment-managers]]", "nobody but one person could approve"),
        ("[]", "names nobody in one of its groups"),
        ("[[operators]]", "&#x27;operators&#x27; is not known here"),
    ],
)
def test_those_who_are_asked_may_approve_and_are_two(world: World, ask: str, words: str) -> None:
    status, page = save(world, f"steps:\n  - approval: {{ask: {ask}}}", where=PROD)
    assert status == 400
    assert words in page
    assert "pipeline.yml:2:" in page


def test_two_accounts_with_one_mailbox_are_one_person(world: World) -> None:
    make_user("mia+two", Role.DEPLOYMENT_MANAGER, instance=world.instance)
    status, page = save(world, "steps:\n  - approval: {ask: [[deployment-managers]]}", where=PROD)
    assert status == 400
    assert "nobody but one person could approve" in page


# --- saving ----------------------------------------------------------------------------------------------------------


def test_a_change_is_saved_with_its_reason(world: World) -> None:
    status, page = save(world, GOOD + "\r\n\r\n", reason="look at the front page")
    assert status == 200
    assert "Saved. It applies to the next deployment." in page
    world.uat.refresh_from_db()
    assert world.uat.pipeline == GOOD
    version = world.uat.pipeline_versions.first()
    assert version is not None and version.by is not None
    assert (version.text, version.by.name, version.reason) == (GOOD, "Ida", "look at the front page")


def test_nobody_saves_over_somebody_elses_change(world: World) -> None:
    old = mark(world.uat.pipeline)
    assert save(world, GOOD)[0] == 200
    status, page = save(world, "description: mine", based_on=old)
    assert status == 409
    assert "somebody has changed the pipeline since you opened it" in page
    assert "description: mine" in page
    assert "1 line added, 2 removed" in page
    world.uat.refresh_from_db()
    assert world.uat.pipeline == GOOD
    assert save(world, "description: mine")[0] == 200


@pytest.mark.parametrize("reason", ["", "   ", "x", "\u202etidy it up"])
def test_production_wants_a_reason(world: World, reason: str) -> None:
    status, page = save(world, "description: better", where=PROD, reason=reason)
    assert status == 400
    assert "Nothing was saved" in page
    assert "description: better" in page
    world.prod.refresh_from_db()
    assert world.prod.pipeline == ""


def test_on_a_released_production_a_change_is_proposed(world: World) -> None:
    world.prod.mark_released(NOW)
    page = world.browser("Ida").get(PROD).content.decode()
    assert "somebody else confirms it" in page
    assert '<button type="submit" class="btn main" name="act" value="save">Propose</button>' in page
    status, page = save(world, "description: better", where=PROD)
    assert status == 200
    assert "Proposed." in page
    assert "A change is proposed" in world.browser("Ida").get(PROD).content.decode()
    world.prod.refresh_from_db()
    assert world.prod.pipeline == ""
    assert Proposal.objects.get(environment=world.prod).after == {"pipeline": "description: better"}


@pytest.mark.parametrize("field", ["text", "reason", "based_on", "act"])
def test_hostile_texts_in_its_fields_are_refused_or_inert(world: World, field: str) -> None:
    browser = world.browser("Ida")
    for text in FIELDS:
        world.uat.refresh_from_db()
        fields = {
            "act": "save",
            "text": GOOD,
            "reason": "tidy it up",
            "based_on": mark(world.uat.pipeline),
            field: text,
        }
        answer = browser.post(UAT, fields)
        assert answer.status_code in (200, 302, 400, 409), f"{field}={text!r}"
        version = world.uat.pipeline_versions.first()
        assert version is not None
        assert version.reason.isprintable() and not set(version.text) & set("\x00\x1b\u202e")


def test_hostile_texts_are_no_templates_and_no_pages(world: World) -> None:
    browser = world.browser("Ida")
    for text in FIELDS:
        assert browser.post(f"{UAT}import/", {"template": text}).status_code == 400
        assert browser.get(f"{UAT}history/", {"page": text}).status_code == 200


def test_a_file_that_is_too_large_is_refused(world: World) -> None:
    status, page = save(world, "description: x\n" + "# more\n" * 12_000)
    assert status == 400
    assert "larger than 64 KB" in page


def test_a_form_without_a_token_is_refused(world: World) -> None:
    browser = log_in("Ida", Client(enforce_csrf_checks=False))
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    assert strict.post(UAT, {"act": "save", "text": GOOD}).status_code == 403


# --- history ---------------------------------------------------------------------------------------------------------


def test_the_history_tells_who_when_why_and_what(world: World) -> None:
    save(world, GOOD, reason="look at the front page")
    save(world, GOOD + "\nkeep_releases: 9", reason="more room")
    page = world.browser("Vera").get(f"{UAT}history/").content.decode()
    assert page.index("more room") < page.index("look at the front page")
    assert "Changed by Ida" in page
    assert "Made by Deploynaut" in page
    assert "1 line added, 0 removed" in page
    assert "keep_releases: 9" in page


def test_a_long_history_has_pages(world: World) -> None:
    for number in range(25):
        PipelineVersion.objects.create(
            environment=world.uat, text=f"keep_releases: {number}", by=None, at=NOW + timedelta(minutes=number)
        )
    page = world.browser("Vera").get(f"{UAT}history/?page=2").content.decode()
    assert "Page 2 of 3" in page
    assert page.count('class="panel version"') == 10
    assert page.count("1 line added, 1 removed") == 10


# --- import ----------------------------------------------------------------------------------------------------------


def test_a_template_goes_into_the_editor_with_a_report_and_is_not_saved(world: World) -> None:
    browser = world.browser("Ida")
    browser.get("/")
    before = all_rows(without=["sessions.session"])
    page = browser.post("/instances/acme/prod/pipeline/import/", {"template": TEMPLATE}).content.decode()
    assert "promote_from: uat" in page
    assert "PipelineConfig.DependsOnProject" in page
    assert "promotion is always within one instance" in page
    assert "dm@acme may not approve here" in page
    assert "acme.example is not a host of this environment" in page
    assert "Go on in the editor" in page
    assert all_rows(without=["sessions.session"]) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: [backup]", "has neither `PipelineConfig` nor `Steps`"),
        ("Steps: &a {}", "template.yml:1:8"),
        ("", "neither"),
    ],
)
def test_what_is_no_template_is_refused(world: World, text: str, words: str) -> None:
    answer = world.browser("Ida").post(f"{UAT}import/", {"template": text})
    assert answer.status_code == 400
    assert words in answer.content.decode()


# --- schema ----------------------------------------------------------------------------------------------------------


def test_editors_get_the_schema_without_a_log_in(db: None) -> None:
    answer = Client().get("/pipeline.schema.json")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/schema+json"
    assert "steps" in json.loads(answer.content)["properties"]
    assert Client().post("/pipeline.schema.json").status_code in (403, 405)


# --- the small parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=90), "90 seconds"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(days=1), "1 day"),
    ],
)
def test_times_in_words(span: timedelta, words: str) -> None:
    assert spoken(span) == words


def test_a_problem_far_to_the_right_is_shown_around_its_place() -> None:
    found = problem("p.yml:1:900: a: wrong", "x" * 899 + "HERE" + "y" * 900)
    assert found.source[len(found.pointer) :].startswith("HERE")
    assert len(found.source) <= 160


def test_a_comparison_leaves_out_what_did_not_change() -> None:
    old = "\n".join(f"line {number}" for number in range(40))
    rows = compare(old, old.replace("line 20", "line twenty")).rows
    assert [row.kind for row in rows] == ["gap", *["same"] * 3, "gone", "added", *["same"] * 3, "gap"]
    assert [row.text for row in rows if row.kind == "gap"] == ["17 lines as before", "16 lines as before"]
    assert compare("a\n" * MOST, "b\n" * MOST).too_long
    assert compare("a", "a").same


def test_what_is_typed_has_one_kind_of_line_end() -> None:
    assert typed("a: 1\r\nb: 2\rc: 3\n\n  \n") == "a: 1\nb: 2\nc: 3"
