"""Rows counted for the rollback page, dry runs, and commits held on to: who may ask for them, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from deploynaut.accounts.models import AuditEntry
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.deployments import counts, dry_runs, kept_commits
from deploynaut.deployments.counts import CannotCount, TableCount, begin_count, compared
from deploynaut.deployments.dry_runs import CannotRehearse, begin_dry_run
from deploynaut.deployments.errand_work import count_rows
from deploynaut.deployments.models import Deployment
from deploynaut.engine.steps.base import StepFailed
from deploynaut.instances.models import Environment, Target
from deploynaut.instances.revisions import By, Revision, RevisionNotFound
from deploynaut.runs.models import Hold, Run
from deploynaut.runs.subjects import Session, Work
from tests.builders import NOW, make_commit, make_deployment, make_environment, make_instance, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def prod() -> Environment:
    return make_environment(make_instance(), "prod", kind="production")


@pytest.fixture
def window(prod: Environment) -> Deployment:
    """In its rollback window; the backup counted three tables, one of which has no count."""
    deployment = make_deployment(prod, at="rollback_window")
    saved(deployment, {"news": 6, "page": 3, "search": -1})
    return deployment


def saved(deployment: Deployment, tables: dict[str, int]) -> None:
    objects: dict[str, Any] = {"tables": tables, "views": [], "triggers": []}
    deployment.run.steps.filter(kind="backup").update(facts={"snapshot": {"name": "x", "objects": objects}})


def ended(run: Run, **facts: Any) -> None:
    run.steps.update(facts=facts)
    Run.objects.filter(pk=run.pk).update(status="succeeded", ended_at=NOW)


# --- rows ------------------------------------------------------------------------------------------------------------


def test_the_initiator_has_the_rows_counted_under_a_lock_of_its_own(window: Deployment) -> None:
    run = begin_count(window, by=window.initiator, now=NOW)
    assert (run.kind, run.subject_id) == ("row_count", window.pk)
    assert run.lock_key != window.environment.lock
    assert begin_count(window, by=make_user("Mia"), now=NOW) == run, "two clicks are one count"
    ended(run)
    assert begin_count(window, by=window.initiator, now=NOW) != run


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.TECHNICAL_STAFF, Role.ADMINISTRATOR])
def test_whoever_may_not_roll_back_has_nothing_counted(window: Deployment, role: Role | None) -> None:
    instance = None if role is Role.ADMINISTRATOR else window.environment.instance
    sam = make_user("Sam", *([role] if role else []), instance=instance)
    with pytest.raises(NotAllowed):
        begin_count(window, by=sam, now=NOW)
    assert counts.newest(window) is None


@pytest.mark.parametrize("state", ["approval", "confirm", "release", "succeeded", "rolled back", "aborted"])
def test_rows_are_counted_in_the_window_alone(prod: Environment, state: str) -> None:
    deployment = make_deployment(prod, at=state)
    saved(deployment, {"news": 6})
    with pytest.raises(CannotCount, match="not in it"):
        begin_count(deployment, by=deployment.initiator, now=NOW)


def test_a_site_without_a_database_has_nothing_to_compare(window: Deployment) -> None:
    window.run.steps.filter(kind="backup").update(facts={"snapshot": None})
    with pytest.raises(CannotCount, match="saved no database"):
        begin_count(window, by=window.initiator, now=NOW)


def test_what_differs_comes_first_and_what_cannot_be_counted_says_so(window: Deployment) -> None:
    assert compared(window) is None
    at = NOW + timedelta(minutes=5)
    tables = {"news": 9, "page": 3, "added": 1, "search": -1}
    ended(begin_count(window, by=window.initiator, now=NOW), tables=tables, at=at.isoformat())
    begin_count(window, by=window.initiator, now=NOW)  # one that goes on hides nothing
    assert compared(window) == (
        [
            TableCount("added", None, 1),
            TableCount("news", 6, 9),
            TableCount("page", 3, 3),
            TableCount("search", None, None),
        ],
        at,
    )


def work() -> Work:
    def never(*_: object) -> None:
        return None

    return Work(token=99, log=never, guard=lambda: None, mark=never, clock=lambda: NOW, mask=never, session=Session())


def test_a_count_that_comes_after_the_window_looks_at_nothing(window: Deployment) -> None:
    run = begin_count(window, by=window.initiator, now=NOW)
    window.dismiss(by=window.initiator, now=NOW)
    with pytest.raises(StepFailed, match="not open any more"):
        count_rows(run, work())


def test_a_count_whose_deployment_has_lost_its_hold_looks_at_nothing(window: Deployment) -> None:
    run = begin_count(window, by=window.initiator, now=NOW)
    Hold.objects.filter(key=window.environment.lock).update(run=None)
    with pytest.raises(StepFailed, match="not open any more"):
        count_rows(run, work())


# --- dry runs --------------------------------------------------------------------------------------------------------


def revision(environment: Environment) -> Revision:
    return Revision(make_commit(environment.instance).hex, By.BRANCH, "main")


def test_rob_has_a_dry_run_of_production_which_needs_no_promotion(prod: Environment) -> None:
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=prod.instance)
    chosen = revision(prod)
    run = begin_dry_run(prod, revision=chosen, by=rob, now=NOW)
    assert (run.kind, run.subject_id, run.lock_key) == ("dry_run", prod.pk, prod.lock)
    assert dry_runs.told(run) == {
        "commit": chosen.commit, "chosen_by": "branch", "name": "main", "asked_by": "Rob",
    }  # fmt: skip
    assert AuditEntry.objects.filter(action="dry run begun", actor_name="Rob").exists()
    assert not Deployment.objects.filter(environment=prod).exists()
    with pytest.raises(CannotRehearse, match="goes on already"):
        begin_dry_run(prod, revision=chosen, by=rob, now=NOW)


@pytest.mark.parametrize("kind", ["test", "uat", "production"])
@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.OPS, Role.ADMINISTRATOR])
def test_whoever_may_not_begin_a_release_has_no_dry_run(kind: str, role: Role | None) -> None:
    environment = make_environment(make_instance(), "here", kind=kind)
    instance = None if role is Role.ADMINISTRATOR else environment.instance
    sam = make_user("Sam", *([role] if role else []), instance=instance)
    with pytest.raises(NotAllowed):
        begin_dry_run(environment, revision=revision(environment), by=sam, now=NOW)
    assert dry_runs.newest(environment) is None


def test_a_dry_run_needs_a_commit_and_a_host(prod: Environment) -> None:
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=prod.instance)
    with pytest.raises(RevisionNotFound):
        begin_dry_run(prod, revision=Revision("f" * 40, By.COMMIT), by=rob, now=NOW)
    chosen = revision(prod)
    Target.objects.filter(environment=prod).update(set_up_at=None)
    with pytest.raises(CannotRehearse, match="no target"):
        begin_dry_run(prod, revision=chosen, by=rob, now=NOW)


def test_a_dry_run_does_not_wait_for_a_deployment_that_is_at_work(window: Deployment) -> None:
    prod = window.environment
    Hold.objects.update_or_create(key=prod.lock, defaults={"run": window.run, "token": 7})
    with pytest.raises(CannotRehearse, match="is at work on the hosts"):
        begin_dry_run(prod, revision=revision(prod), by=window.initiator, now=NOW)


# --- commits ---------------------------------------------------------------------------------------------------------


def test_a_production_release_holds_on_to_its_commit_from_the_beginning(prod: Environment) -> None:
    waiting = make_deployment(prod, at="approval")
    (run,) = Run.objects.filter(kind=kept_commits.KIND, subject_id=waiting.pk)
    assert run.lock_key == prod.instance.repository_lock, "in line with fetches"


def test_a_planned_release_to_uat_holds_on_to_its_commit_too() -> None:
    uat = make_environment()
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=uat.instance)
    chosen = revision(uat)
    planned = Deployment.objects.begin(
        environment=uat, by=rob, revision=chosen, now=NOW, scheduled_for=NOW + timedelta(days=2)
    )
    assert Run.objects.filter(kind=kept_commits.KIND, subject_id=planned.pk).exists()


def test_a_release_to_uat_at_once_needs_none() -> None:
    make_deployment(at="prepare")
    assert not Run.objects.filter(kind=kept_commits.KIND).exists()
