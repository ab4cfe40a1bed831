"""Deployments as rows and verbs: who may begin, who comes second, who is told, what is remembered."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from deploynaut.accounts.models import AuditEntry
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.deployments.managers import AlreadyOpen, CannotBegin
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.promotion import NotPromoted
from deploynaut.deployments.subject import DeploymentSubject
from deploynaut.engine.pipeline import Mark, Status, TaskFailed, TaskSucceeded
from deploynaut.engine.repository import BadRevision
from deploynaut.instances.models import Commit, Environment, Kind
from deploynaut.instances.revisions import By, Revision, RevisionNotFound, choose
from deploynaut.notify.models import Message
from deploynaut.runs.models import Run, StepFacts, StepRun
from deploynaut.snapshots.models import Snapshot
from tests.builders import NOW, Story, make_deployment, make_environment, make_instance, make_user

pytestmark = pytest.mark.django_db


def revision(environment: Environment) -> Revision:
    commit = Commit.objects.filter(instance=environment.instance).first()
    assert commit is not None
    return Revision(commit=commit.hex, by=By.BRANCH, name="main")


# --- beginning -------------------------------------------------------------------------------------------------------


def test_rob_begins_and_everything_is_written_in_one_go() -> None:
    environment = make_environment()
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=environment.instance)
    deployment = Deployment.objects.begin(environment=environment, by=rob, revision=revision(environment), now=NOW)
    assert str(deployment) == "acme/uat #1"
    assert [step.kind for step in deployment.run.steps.all()] == ["prepare", "backup", "release", "smoke_tests"]
    assert deployment.run.lock_key == environment.lock and deployment.run.first
    entry = AuditEntry.objects.filter(action="release begun").get()
    assert (entry.actor, entry.subject_text, entry.after["commit"]) == (rob, "acme/uat #1", deployment.commit)


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.OPS, Role.ADMINISTRATOR])
def test_who_may_not_release_begins_nothing(role: Role | None) -> None:
    environment = make_environment()
    person = make_user("Sam", *([role] if role else []), instance=environment.instance)
    with pytest.raises(NotAllowed, match="You may not release to uat of acme"):
        Deployment.objects.begin(environment=environment, by=person, revision=revision(environment), now=NOW)
    assert not Deployment.objects.exists() and not Run.objects.filter(kind="deployment").exists()


@pytest.mark.parametrize("role", list(Role))
def test_production_that_nothing_was_made_ready_for_is_refused_for_everybody(role: Role) -> None:
    environment = make_environment(name="prod", kind=Kind.PRODUCTION)
    person = make_user("Sam", role, instance=environment.instance)
    with pytest.raises((CannotBegin, NotAllowed, NotPromoted)) as refused:
        Deployment.objects.begin(environment=environment, by=person, revision=revision(environment), now=NOW)
    if isinstance(refused.value, CannotBegin):
        assert "could approve" in str(refused.value) or "has never been released" in str(refused.value)
    assert not Deployment.objects.exists()


def test_who_comes_second_is_told_who_is_first_and_whom_to_ask() -> None:
    first = make_deployment()
    mia = make_user("Mia", Role.DEPLOYMENT_MANAGER, instance=first.environment.instance)
    with pytest.raises(AlreadyOpen, match=r"Rob began acme/uat #1 .* 7 min ago.* ask Mia") as told:
        later = NOW + timedelta(minutes=7)
        Deployment.objects.begin(environment=first.environment, by=mia, revision=revision(first.environment), now=later)
    assert told.value.deployment == first
    assert Deployment.objects.count() == 1


def test_an_environment_without_a_target_that_is_set_up_is_not_released_to() -> None:
    environment = make_environment(targets=0)
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=environment.instance)
    with pytest.raises(CannotBegin, match="no target that is set up"):
        Deployment.objects.begin(environment=environment, by=rob, revision=revision(environment), now=NOW)


def test_an_environment_whose_hosts_serve_no_pages_is_not_released_to() -> None:
    environment = make_environment()
    environment.targets.update(web=False)
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=environment.instance)
    with pytest.raises(CannotBegin, match="serves pages"):
        Deployment.objects.begin(environment=environment, by=rob, revision=revision(environment), now=NOW)


def test_a_commit_of_another_instance_is_not_found() -> None:
    environment = make_environment()
    foreign = Commit.objects.filter(instance=make_instance("other")).first()
    assert foreign is not None
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=environment.instance)
    with pytest.raises(RevisionNotFound):
        chosen = Revision(commit=foreign.hex, by=By.COMMIT)
        Deployment.objects.begin(environment=environment, by=rob, revision=chosen, now=NOW)


def test_the_database_itself_keeps_a_second_open_deployment_out() -> None:
    first = make_deployment()
    with pytest.raises(IntegrityError), transaction.atomic():
        Deployment.objects.create(
            environment=first.environment,
            number=99,
            run=Run.objects.begin(kind="x", subject_id=1, title="x", lock_key="x", steps=[], now=NOW),
            commit=first.commit,
            chosen_by="branch",
            initiator=first.initiator,
            begun_at=NOW,
            recipe="plain",
        )


@pytest.mark.django_db(transaction=True)
def test_two_simultaneous_clicks_make_one_deployment() -> None:
    environment = make_environment()
    people = [make_user(name, Role.TECHNICAL_STAFF, instance=environment.instance) for name in ("Rob", "Ann")]
    chosen, ready = revision(environment), threading.Barrier(8)
    begun: list[Deployment] = []
    told: list[str] = []

    def click(number: int) -> None:
        ready.wait()
        try:
            by = people[number % 2]
            begun.append(Deployment.objects.begin(environment=environment, by=by, revision=chosen, now=NOW))
        except AlreadyOpen as error:
            told.append(str(error))
        finally:
            connection.close()

    clicks = [threading.Thread(target=click, args=(number,)) for number in range(8)]
    for each in clicks:
        each.start()
    for each in clicks:
        each.join(60)
    assert len(begun) == 1 and len(told) == 7
    assert all(f"{begun[0].initiator.name} began acme/uat #1" in text for text in told)
    assert Run.objects.filter(kind="deployment").count() == 1


# --- choosing --------------------------------------------------------------------------------------------------------


def test_a_branch_and_a_tag_become_a_full_id_when_chosen() -> None:
    instance = make_instance()
    by_branch = choose(instance, by="branch", text="main")
    by_tag = choose(instance, by="tag", text="1.0")
    assert len(by_branch.commit) == 40 and by_branch.name == "main" and by_branch.commit != by_tag.commit


@pytest.mark.parametrize(
    ("by", "text"),
    [
        ("commit", "a" * 39),
        ("commit", "a" * 41),
        ("commit", "A" * 40),
        ("commit", "HEAD"),
        ("branch", "-x"),
        ("branch", "--upload-pack=touch /tmp/x"),
        ("tag", "../../x"),
        ("branch", "a b"),
        ("branch", "x\n"),
        ("branch", "x\0"),
        ("commit", "abc^{/x}"),
        ("nonsense", "main"),
    ],
)
def test_what_cannot_be_a_revision_is_refused(by: str, text: str) -> None:
    with pytest.raises(BadRevision):
        choose(make_instance(), by=by, text=text)


def test_what_has_not_been_fetched_is_not_found() -> None:
    instance = make_instance()
    for by, text in (("branch", "nowhere"), ("tag", "9.9"), ("commit", "f" * 40)):
        with pytest.raises(RevisionNotFound, match="Fetch the latest changes"):
            choose(instance, by=by, text=text)


# --- what follows ----------------------------------------------------------------------------------------------------


def test_a_success_is_live_known_good_and_told_to_the_initiator() -> None:
    deployment = make_deployment(at="succeeded")
    assert deployment.status is Status.SUCCEEDED and not deployment.active
    assert Deployment.objects.live_on([deployment.environment]) == {deployment.environment_id: deployment}
    assert Deployment.objects.known_good(deployment.environment) == deployment
    assert [(m.event, m.user) for m in Message.objects.all()] == [("succeeded", deployment.initiator)]
    assert "is live on acme/uat, and every test passed" in deployment.outcome


def test_a_release_that_was_rolled_back_is_neither_live_nor_good() -> None:
    good = make_deployment(at="succeeded")
    bad = make_deployment(good.environment, at="rolled back", now=NOW + timedelta(hours=1))
    assert bad.status is Status.ROLLED_BACK and bad.back_to == good
    assert Deployment.objects.live_on([good.environment])[good.environment_id] == good
    assert f"Release {good.number}" in bad.outcome and "live again" in bad.outcome


def test_after_a_failed_rollback_ops_are_told_and_the_next_one_knows_the_screen_is_up() -> None:
    good = make_deployment(at="succeeded")
    olga = make_user("Olga", Role.OPS, instance=good.environment.instance)
    bad = make_deployment(good.environment, at="rollback failed", now=NOW + timedelta(hours=1))
    told = set(Message.objects.filter(event="rollback failed").values_list("user__name", flat=True))
    assert told == {"Rob", olga.name}
    later = NOW + timedelta(hours=2)
    aborted = make_deployment(good.environment, at="aborted", now=later)
    assert aborted.run.screen_was_up and bad.status is Status.ROLLBACK_FAILED
    again = make_deployment(good.environment, now=later + timedelta(hours=1))
    assert again.run.screen_was_up, "an aborted attempt does not end the maintenance"


def test_ops_read_first_why_the_way_back_failed_and_nothing_else_is_said_of_the_screen() -> None:
    good = make_deployment(at="succeeded")
    story = Story(make_deployment(good.environment, at="smoke_tests", now=NOW + timedelta(hours=1)))
    story.run.reach(Mark.OPEN, token=story.run.token, now=NOW)
    story.apply(TaskFailed("home: status 500"))
    story.do(fail="The maintenance screen could not be put up: web2: it is away.")
    bad = Deployment.objects.get(pk=story.deployment.pk)
    assert bad.outcome.startswith("Rollback failed. The maintenance screen could not be put up: web2: it is away. ")
    assert "Home: status 500" in bad.outcome and "is in its maintenance screen" not in bad.outcome
    errors = bad.run.steps.exclude(error="").values_list("error", flat=True)
    assert list(errors) == ["home: status 500", "The maintenance screen could not be put up: web2: it is away."]


@pytest.mark.parametrize(
    ("findings", "excused", "said"),
    [
        ([{"test": "login"}], ["login"], "Excused, broken before too: login"),
        ([], [], "no smoke tests are set up"),
        ([{"test": "home"}], [], "and every test passed"),
    ],
)
def test_the_outcome_of_a_success_says_what_was_tested(findings: list[object], excused: list[str], said: str) -> None:
    story = Story(make_deployment(at="smoke_tests"))
    story.apply(TaskSucceeded(), facts=StepFacts("tested", {"findings": findings, "excused": excused}))
    assert said in Deployment.objects.get(pk=story.deployment.pk).outcome


def test_a_short_release_does_not_take_the_way_back_its_patience() -> None:
    environment = make_environment(pipeline="steps: [{release: {timeout: 5m}}]")
    run = make_deployment(environment).run
    limits = {kind: DeploymentSubject().limit(run, StepRun(run=run, kind=kind)) for kind in ("release", "roll_back")}
    assert limits == {"release": timedelta(minutes=5), "roll_back": timedelta(minutes=15)}


def test_facts_worth_a_row_become_rows() -> None:
    deployment = make_deployment(at="backup")
    story = Story(deployment)
    stored = {"name": "acme-uat-1-backup", "size": 7, "sha256": "0" * 64, "taken_at": NOW.isoformat(), "inventory": ""}
    story.apply(TaskSucceeded(), facts=StepFacts("7 bytes saved", {"snapshot": stored}))
    snapshot = Snapshot.objects.get()
    assert (snapshot.source, snapshot.size, snapshot.run) == ("backup", 7, deployment.run)
    assert snapshot.pinned_until == NOW + timedelta(days=30)


# --- abort -----------------------------------------------------------------------------------------------------------


def test_an_initiator_aborts_what_nobody_has_taken_yet() -> None:
    deployment = make_deployment(at="aborted")
    assert deployment.status is Status.ABORTED and not deployment.active
    assert deployment.outcome.startswith("Aborted by Rob.")
    assert AuditEntry.objects.filter(action="aborted", after={"status": "aborted"}).exists()


def test_staff_may_not_abort_the_deployment_of_another_but_ops_may() -> None:
    deployment = make_deployment(at="prepare")
    instance = deployment.environment.instance
    ann = make_user("Ann", Role.TECHNICAL_STAFF, instance=instance)
    with pytest.raises(NotAllowed):
        deployment.abort(by=ann, now=NOW)
    deployment.abort(by=make_user("Olga", Role.OPS, instance=instance), now=NOW)
    deployment.run.refresh_from_db()
    assert deployment.run.abort_by == "Olga" and deployment.status is Status.RUNNING


def test_an_initiator_who_has_lost_the_right_cannot_abort_any_more() -> None:
    deployment = make_deployment(at="prepare")
    deployment.initiator.grants.all().delete()
    with pytest.raises(NotAllowed):
        deployment.abort(by=deployment.initiator, now=NOW)


def test_the_actor_is_told_with_the_initiator() -> None:
    deployment = make_deployment(at="queued")
    mia = make_user("Mia", Role.DEPLOYMENT_MANAGER, instance=deployment.environment.instance)
    deployment.abort(by=mia, now=NOW)
    assert set(Message.objects.values_list("user__name", flat=True)) == {"Rob", "Mia"}


def test_marks_are_kept_once_with_the_token_that_set_them() -> None:
    deployment = make_deployment(at="prepare")
    run = deployment.run
    for _ in range(2):
        run.reach(Mark.LAID_OUT, token=run.token, now=NOW)
    assert [(m.mark, m.token) for m in run.marks.all()] == [(Mark.LAID_OUT, run.token)]
