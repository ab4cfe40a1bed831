"""What a production release changes: compared by the worker when it begins, and anew when its plan is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploynaut.deployments import comparing, comparison
from deploynaut.deployments.comparison import File
from deploynaut.deployments.models import Deployment
from deploynaut.engine.pipeline import Claimed, TaskFailed, TaskSucceeded
from deploynaut.engine.testing_mirror import FakeMirror
from deploynaut.instances.models import Environment
from deploynaut.runs.models import Run, StepFacts
from tests.builders import NOW, Story, make_deployment, make_environment, make_instance, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def prod() -> Environment:
    return make_environment(make_instance(), "prod", kind="production")


def newest(deployment: Deployment) -> Run:
    found = Run.objects.filter(kind="comparison", subject_id=deployment.pk).order_by("-pk").first()
    assert found is not None
    return found


def test_it_is_begun_with_a_production_release_alone(prod: Environment) -> None:
    waiting = make_deployment(prod, at="approval")
    assert comparison.of(waiting).making
    assert not Run.objects.filter(kind="comparison").exclude(subject_id=waiting.pk).exists()


def test_a_new_plan_is_compared_anew(prod: Environment) -> None:
    waiting = make_deployment(prod, at="approval")
    Environment.objects.filter(pk=prod.pk).update(pipeline="steps: [{rollback_window: {lasts: 2h}}]")
    with pytest.raises(Exception, match="asked again"):
        waiting.approve(by=make_user("Mia"), plan_hash=waiting.plan_hash, now=NOW + timedelta(hours=1))
    assert Run.objects.filter(kind="comparison", subject_id=waiting.pk).count() == 2


def test_what_the_worker_found_is_read_again(prod: Environment) -> None:
    waiting = make_deployment(prod, at="approval")
    run = newest(waiting)
    change = {"id": "a" * 40, "subject": "<b>Fix</b>", "body": "", "author": "Ana", "at": NOW.isoformat()}
    files = [{"path": "x/migrations/1.py", "how": "added", "size": 9}]
    facts = {"before": "b" * 40, "included": [change], "included_count": 1, "files": files, "files_count": 1}
    run.apply(Claimed(), now=NOW)
    run.apply(TaskSucceeded(), now=NOW, facts=StepFacts("1 commit", facts))
    found = comparison.of(waiting)
    assert found.made and found.included[0].subject == "<b>Fix</b>" and found.noteworthy[0].why_look == "migration"


def test_why_there_is_none_is_said(prod: Environment) -> None:
    waiting = make_deployment(prod, at="approval")
    run = newest(waiting)
    run.apply(Claimed(), now=NOW)
    run.apply(TaskFailed("Our mirror lacks objects."), now=NOW)
    assert comparison.of(waiting).problem == "Our mirror lacks objects."
    Run.objects.filter(pk=run.pk).update(kind="other")
    assert "begun before" in comparison.of(waiting).problem


def test_the_first_release_shows_its_newest_commits() -> None:
    mirror = FakeMirror()
    first = mirror.commit({"a": "1"}, subject="First")
    found = comparing.differences(mirror, "", first)  # type: ignore[arg-type]
    assert found["before"] == "" and [one["subject"] for one in found["included"]] == ["First"]


@pytest.mark.parametrize(
    ("path", "size", "why"),
    [
        ("app/migrations/0001.py", 1, "migration"),
        ("db/change.sql", 1, "migration"),
        ("composer.lock", 1, "dependencies"),
        ("public/.htaccess", 1, "rules of the web server"),
        ("assets/film.mp4", 2_000_000, "over 1 MB"),
        ("code/Page.php", 900, ""),
    ],
)
def test_files_worth_a_look(path: str, size: int, why: str) -> None:
    assert File(path, "changed", size).why_look == why


def test_a_comparison_does_not_hold_its_environment(prod: Environment) -> None:
    waiting = make_deployment(prod, at="approval")
    assert newest(waiting).lock_key != waiting.environment.lock
    assert Story(waiting).run.kind == "deployment"
