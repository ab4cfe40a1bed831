"""The original's templates in our form: what is translated, what is dropped and why, what has no equivalent."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploynaut.engine.pipeline import PipelineSpec, SpecError, parse
from deploynaut.engine.pipeline.importing import Fate, Imported, NotATemplate, translate

# The two processes of the guide as the original's documents write them (reference, 2.14).
PROD = """\
PipelineConfig:
  DependsOnProject: acme
  DependsOnEnvironment: uat
  FilteredCommits: DNFinishedCommits
  Tests:
    Home: {URL: "https://acme.example/", ExpectStatus: 200, ExpectResponse: 5}
  Recipients: {RollbackStarted: [ops@host], RollbackFailure: [ops@host], Failure: [ops@host]}
Steps:
  Approval: {Class: UserConfirmationStep, RecipientsDelay: 7200, Recipients: [dm@acme, "im@acme,im2@acme"]}
  Trigger:  {Class: TriggerDeployStep, MaxDuration: 86400}
  Deployment: {Class: DeploymentPipelineStep, MaxDuration: 3600}
  SmokeTest: {Class: SmokeTestPipelineStep, Attempts: 3, AttemptDelay: 10}
  Window:   {Class: EmergencyRollbackStep, MaxDuration: 3600}
"""
UAT = """\
PipelineConfig:
  Tests: {Home: {URL: "https://uat.acme.example/", ExpectStatus: 401}}
Steps:
  Deployment: {Class: DeploymentPipelineStep, MaxDuration: 3600}
  SmokeTest:  {Class: SmokeTestPipelineStep, Attempts: 3}
"""
PROD_OF_OURS = """\
promote_from: uat
steps:
  - approval: {escalate_after: 2h, ask: [["dm@acme"], ["im@acme", "im2@acme"]]}
  - confirm: {expires_after: 1d}
  - backup: {timeout: 1h}
  - release: {timeout: 1h}
  - smoke_tests: {attempts: 3, delay: 10s}
  - rollback_window: {lasts: 1h}
smoke_tests:
  home: {url: "https://acme.example/", status: 200, within: 5s}
notify:
  rollback_begun: ["ops@host"]
  rollback_failed: ["ops@host"]
  failed: ["ops@host"]
  expired: ["ops@host"]
"""
UAT_OF_OURS = """\
steps:
  - backup: {timeout: 1h}
  - release: {timeout: 1h}
  - smoke_tests: {attempts: 3}
smoke_tests:
  home: {url: "https://uat.acme.example/", status: 401}
"""


def read(found: Imported) -> PipelineSpec:
    return parse(found.text, production=found.production)


def fate(found: Imported, path: str) -> tuple[Fate, str]:
    """What became of a key, by the end of its path."""
    (line,) = (line for line in found.report if line.place.endswith(f" {path}") and line.fate is not Fate.LOOK)
    return line.fate, line.words


def test_production_of_the_guide() -> None:
    found = translate(PROD)
    assert (found.text, found.production) == (PROD_OF_OURS, True)


def test_uat_of_the_guide() -> None:
    found = translate(UAT)
    assert (found.text, found.production) == (UAT_OF_OURS, False)


def test_the_report_has_places_and_reasons() -> None:
    lines = [str(line) for line in translate(PROD, name="prod.yml").report]
    assert lines[0].startswith("prod.yml:2:3: PipelineConfig.DependsOnProject: dropped: promotion is always within one")
    assert "prod.yml:3:3: PipelineConfig.DependsOnEnvironment: translated: promote_from: uat" in lines
    assert any("Steps.Approval.Recipients: look at it: ask; each of them must be a user" in line for line in lines)
    places = [tuple(map(int, line.split(":")[1:3])) for line in lines]
    assert places == sorted(places)


def test_every_key_of_the_template_is_in_the_report() -> None:
    text = """\
PipelineConfig:
  Description: "<b>Release</b> of acme"
  FilteredCommits: DNFailedCommits
  ServiceArguments: {from: deploy@acme.example}
  bypassProxy: true
  Colour: blue
  RollbackStep1: {Class: RollbackStep, RestoreDB: false, MaxDuration: 3600}
Steps:
  Approval: {Class: UserConfirmationStep, Permissions: [APPROVE_DEPLOYMENT], NiceName: Ask, Recipients: [a@b.example]}
  Back: RollbackStep
  Custom: {Class: MyStep}
  Deployment: DeploymentPipelineStep
  Again: DeploymentPipelineStep
  Test: {Class: SmokeTestPipelineStep, PerformTestOn: DependentEnvironment, MaxDuration: 9, RequestTimeout: 7}
  Window: EmergencyRollbackStep
Extra: 1
"""
    found = translate(text)
    assert read(found).description == "Release of acme"
    assert fate(found, "PipelineConfig.Description") == (Fate.TRANSLATED, "description, as plain text")
    assert fate(found, "PipelineConfig.FilteredCommits")[0] is Fate.NOTHING_LIKE_IT
    assert fate(found, "PipelineConfig.ServiceArguments")[0] is Fate.DROPPED
    assert fate(found, "PipelineConfig.bypassProxy")[0] is Fate.DROPPED
    assert fate(found, "PipelineConfig.Colour")[0] is Fate.NOTHING_LIKE_IT
    assert fate(found, "PipelineConfig.RollbackStep1")[0] is Fate.DROPPED
    assert fate(found, "PipelineConfig.RollbackStep1.RestoreDB")[0] is Fate.NOTHING_LIKE_IT
    assert fate(found, "Steps.Approval.Permissions")[0] is Fate.DROPPED
    assert fate(found, "Steps.Approval.NiceName") == (Fate.DROPPED, "tiles are called the same everywhere")
    assert fate(found, "Steps.Back")[0] is Fate.DROPPED
    assert fate(found, "Steps.Custom") == (Fate.NOTHING_LIKE_IT, "there is no step of the class 'MyStep'")
    assert fate(found, "Steps.Again") == (Fate.DROPPED, "a pipeline has one release")
    assert fate(found, "Steps.Test.PerformTestOn")[0] is Fate.NOTHING_LIKE_IT
    assert fate(found, "Steps.Test.MaxDuration")[0] is Fate.DROPPED
    assert fate(found, "Extra")[0] is Fate.NOTHING_LIKE_IT


def test_messages_keep_their_words_and_placeholders() -> None:
    text = """\
PipelineConfig:
  Messages:
    Success: |
      <project> is live on <environment>.
      See <pipelinelink>
    Failure: "Ask <instance-manager>"
  Subjects: {Success: "[<project>] done"}
Steps:
  Approval:
    Class: UserConfirmationStep
    Recipients: [DeploymentManager, "<instance-manager>"]
    Messages:
      Request: for everybody
      Request-Recipient: "Please approve: <approvelink>"
      Request-Requester: "You may cancel: <abortlink>"
      Cancel: never
      TimeOut: "Nobody answered"
    Subjects: {Request: "Approve <commitsha>"}
"""
    found = translate(text)
    told = read(found).messages
    assert told["succeeded"].body == "<project> is live on <environment>.\nSee <pipelinelink>\n"
    assert told["window_open"].subject == "[<project>] done"
    assert told["failed"].body == "Ask instance-manager"
    assert told["approval_asked"].body == "Please approve: <approvelink>"
    assert told["approval_asked"].subject == "Approve <commitsha>"
    assert told["expired"].body == "Ask instance-manager", "the pipeline's own comes first"
    assert read(found).settings("approval").ask == (("deployment-managers", "instance-managers"),)
    assert fate(found, "Steps.Approval.Messages.Request-Requester")[0] is Fate.DROPPED
    assert fate(found, "Steps.Approval.Messages.Cancel") == (Fate.DROPPED, "the original never sends it")
    assert any(line.fate is Fate.LOOK and "<instance-manager>" in line.words for line in found.report)


def test_more_people_than_a_file_may_have_are_left_out_and_named() -> None:
    many = ", ".join(f"p{number}@acme.example" for number in range(30))
    steps = f"Steps: {{A: {{Class: UserConfirmationStep, Recipients: [{many}], RecipientsDelay: 60}}}}"
    found = translate(f"PipelineConfig: {{Recipients: {{Failure: [{many}]}}}}\n{steps}")
    assert len(read(found).settings("approval").ask) == 10
    assert len(read(found).notify["failed"]) == 20
    assert len([line for line in found.report if "left out" in line.words]) == 2


def test_gates_have_no_place_on_uat() -> None:
    found = translate(PROD, production=False)
    assert read(found).kinds == ("prepare", "backup", "release", "smoke_tests")
    assert fate(found, "Steps.Approval") == (Fate.DROPPED, "approval is a step of production environments")
    assert fate(found, "PipelineConfig.DependsOnEnvironment") == (Fate.DROPPED, "only production environments promote")


def test_uat_may_keep_its_database() -> None:
    found = translate(UAT + "RollbackStep1: {Class: RollbackStep, RestoreDB: no}\n")
    assert read(found).on_failure.database == "keep"
    assert "RestoreDB: translated" in "\n".join(map(str, found.report))


@pytest.mark.parametrize("seconds", ["0", "-1", "2592001", "1e400", ".nan", "an hour", "[1]", "true"])
def test_a_time_that_is_none_leaves_the_default(seconds: str) -> None:
    found = translate(f"Steps: {{A: {{Class: TriggerDeployStep, MaxDuration: {seconds}}}}}")
    assert found.text == "steps:\n  - confirm\n"
    assert fate(found, "Steps.A.MaxDuration")[0] is Fate.DROPPED


@pytest.mark.parametrize(
    ("test", "ours"),
    [
        ("{URL: 'http://x.example/', ExpectResponse: 2.5}", 'url: "http://x.example/", within: 3s'),
        ("'http://x.example/'", 'url: "http://x.example/"'),
        ("{URL: 'http://x.example/', ExpectStatus: 302}", 'url: "http://x.example/", status: 302'),
        ("{URL: 'http://x.example/', ExpectStatus: 9}", 'url: "http://x.example/"'),
    ],
)
def test_tests(test: str, ours: str) -> None:
    found = translate(f"PipelineConfig: {{Tests: {{'Home Page': {test}}}}}")
    assert found.text == f"smoke_tests:\n  home-page: {{{ours}}}\n"


@pytest.mark.parametrize("test", ["{}", "{URL: }", "{URL: 'file:///etc/passwd'}", "null", "[1]", "5"])
def test_a_test_without_an_address_is_dropped(test: str) -> None:
    found = translate(f"PipelineConfig: {{Tests: {{Home: {test}}}}}")
    assert found.text == ""
    assert fate(found, "PipelineConfig.Tests.Home")[0] is Fate.DROPPED


@pytest.mark.parametrize("text", ["", "a: 1", "steps: [backup]", "Steps: []", "PipelineConfig: yes"])
def test_what_is_no_template_is_said(text: str) -> None:
    with pytest.raises(NotATemplate, match="neither `PipelineConfig` nor `Steps`"):
        translate(text)


@pytest.mark.parametrize("text", ["Steps: !!php/object x", "Steps: &a {}", "[", "Steps: {A: x, A: y}", "x" * 70_000])
def test_what_cannot_be_read_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(SpecError) as refused:
        translate(text, name="prod.yml")
    assert all(re.match(r"prod\.yml:\d+:\d+: ", problem) for problem in refused.value.problems)


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["a@b.example", "+64 21 555 000", "DeploymentManager", "http://x.example/", "<b>", "<project>\n x\n\ty",
         "UserConfirmationStep", "TriggerDeployStep", "DeploymentPipelineStep", "SmokeTestPipelineStep",
         "a: b #c", "EmergencyRollbackStep", "RollbackStep", "yes", "null", "- x", "| x", "&a", "!b",
         "'", '"', "\r\nx", " "]
    ),
)  # fmt: skip
KEYS = st.sampled_from(
    ["Class", "MaxDuration", "Recipients", "RecipientsDelay", "Messages", "Subjects", "Request", "Approve-Requester",
     "Success", "Failure", "Tests", "Home", "URL", "ExpectStatus", "ExpectResponse", "Attempts", "AttemptDelay",
     "RequestTimeout", "PerformTestOn", "RestoreDB", "Description", "DependsOnEnvironment", "RollbackStep1", "Höme"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=1000)
@given(
    st.dictionaries(KEYS, VALUES, max_size=6),
    st.dictionaries(st.text(max_size=5), st.dictionaries(KEYS, VALUES, max_size=5) | VALUES, max_size=5),
    st.sampled_from([True, False, None]),
)
def test_whatever_a_template_says_the_result_is_a_pipeline(
    config: dict[str, object], steps: dict[str, object], production: bool | None
) -> None:
    text = json.dumps({"PipelineConfig": config, "Steps": steps})
    try:
        found = translate(text, production=production)
    except SpecError as refused:
        assert any("nobody types" in problem or "too many digits" in problem for problem in refused.problems)
    else:
        read(found)
        assert all(str(line).isprintable() for line in found.report)
