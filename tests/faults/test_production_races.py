"""Many people and workers at one gate in the same instant: one of them decides, the others are told who did.

Threads on the database's own file, as many processes would be. A few rounds here; all of them with
`./test faults --all` (`pytest tests/faults/test_production_races.py` with DEPLOYNAUT_TEST_ALL=1).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from django.db import connections

from deploynaut.accounts.models import AuditEntry, User
from deploynaut.accounts.roles import Role
from deploynaut.deployments.approval import Answer
from deploynaut.deployments.models import Bar, Deployment
from deploynaut.durable import port
from deploynaut.durable.inline import InlineEngine
from deploynaut.engine.pipeline import NotAllowed, Status
from deploynaut.engine.steps.base import StepResult
from deploynaut.instances.models import Commit, Environment
from deploynaut.runs.runner import advance
from tests.builders import NOW, Story, make_commit, make_deployment, make_environment, make_instance, make_user

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]
INSTANT, HOUR = timedelta(microseconds=1), timedelta(hours=1)
Act = Callable[[], object]


@pytest.fixture
def prod(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """A production environment with a release to go back to, its people, and tasks that are done at once."""
    done = SimpleNamespace(run=lambda _: StepResult("done"))
    kinds = ("prepare", "backup", "release", "smoke_tests", "roll_back")
    monkeypatch.setattr("deploynaut.engine.steps.STEPS", dict.fromkeys(kinds, done))
    monkeypatch.setattr("deploynaut.deployments.context.context", lambda *_: None)
    with port.using(InlineEngine(now=NOW)):
        prod = make_environment(make_instance(), "prod", kind="production")
        make_deployment(prod, at="succeeded", commit=make_commit(prod.instance), now=NOW - timedelta(days=2))
        for number in range(4):
            make_user(f"Mia{number}", Role.DEPLOYMENT_MANAGER, instance=prod.instance)
        yield prod


def begun(prod: Environment, at: str, *, round: int) -> Story:
    """A release at this moment, ten days after that of the round before; what was refused then is let in again."""
    Bar.objects.all().delete()
    now = NOW + timedelta(days=10 * round)
    passed = Deployment.objects.filter(environment__name="uat").latest("pk")
    commit = Commit.objects.get(instance=prod.instance_id, hex=passed.commit)
    one = make_deployment(prod, at=at, commit=commit, now=now)
    return Story(one, now + HOUR / 2)


def deadline(story: Story) -> datetime:
    found = story.run.steps.get(status="waiting").deadline
    assert found is not None
    return found


def at_once(acts: list[tuple[str, Act]]) -> Counter[str]:
    """All of them in one instant; how often each kind was done. Who came too late has been told so, in words."""
    ready, done, odd = threading.Barrier(len(acts)), Counter[str](), []

    def click(name: str, act: Act) -> None:
        ready.wait()
        try:
            act()
            done[name] += 1
        except NotAllowed as late:
            if not str(late):
                odd.append("refused without a word")
        except BaseException as error:
            odd.append(f"{name}: {error!r}")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=click, args=each) for each in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not odd, odd
    return done


def entries(one: Deployment) -> Counter[str]:
    """What the audit trail says was done to it."""
    return Counter(AuditEntry.objects.all().about("deployment", one.pk).values_list("action", flat=True))


def told_twice(one: Deployment) -> list[tuple[str, str]]:
    """Who has heard of the same thing twice; groups are asked again, so asking does not count."""
    found = Counter(one.run.messages.exclude(event="approval asked").values_list("event", "address", "channel"))
    return [key[:2] for key, count in found.items() if count > 1]


def rounds(play: Callable[[int], str], number: int) -> None:
    """So many rounds; what they came to is printed."""
    print(dict(Counter(play(round) for round in range(number))))


# --- approve, reject, abort, expire ----------------------------------------------------------------------------------


def clients(one: Deployment, end: datetime) -> list[tuple[str, Act]]:
    """Twenty: some before the end of the time to answer, some in its instant, and workers that read it."""
    given, before = one.plan_hash, end - INSTANT
    fresh = partial(Deployment.objects.get, pk=one.pk)

    def of(by: User, now: datetime) -> list[tuple[str, Act]]:
        return [
            ("approve", lambda: fresh().approve(by=by, plan_hash=given, now=now)),
            ("reject", lambda: fresh().reject(by=by, plan_hash=given, reason="not now", now=now)),
            ("abort", lambda: fresh().abort(by=by, now=now)),
            ("look", lambda: advance(one.run_id, clock=lambda: end)),
            ("look", lambda: advance(one.run_id, clock=lambda: before)),
        ]

    times = (before, before, before, end)
    return [act for number, now in enumerate(times) for act in of(make_user(f"Mia{number}"), now)]


def test_twenty_clients_at_one_request_make_one_decision(prod: Environment, long: bool) -> None:
    def play(round: int) -> str:
        story = begun(prod, "approval", round=round)
        one, end = story.fresh(), deadline(story)
        acts = clients(one, end)
        assert len(acts) == 20
        done = at_once(acts)
        trail = entries(one)
        assert done["approve"] + done["reject"] <= 1 and done["abort"] <= 1
        assert Answer.objects.filter(deployment=one).count() == done["approve"] + done["reject"]
        assert [trail[name] for name in ("approved", "rejected", "aborted")] == [
            done[name] for name in ("approve", "reject", "abort")
        ]
        # An abort may follow an approval; what was rejected is over.
        assert not (done["abort"] and done["reject"])
        advance(one.run_id, clock=lambda: end)
        came = next((name for name in ("abort", "reject", "approve") if done[name]), "expire")
        after = story.fresh()
        assert after.status is DECIDED[came] and told_twice(one) == []
        if came == "approve":
            after.abort(by=after.initiator, now=end)
        assert Deployment.objects.filter(active=True).count() == 0
        return came

    rounds(play, 200 if long else 12)


DECIDED = {
    "approve": Status.WAITING,
    "reject": Status.REJECTED,
    "abort": Status.ABORTED,
    "expire": Status.EXPIRED,
}

# --- Rollback, Dismiss, expiry ---------------------------------------------------------------------------------------


def test_rollback_dismiss_and_expiry_in_one_instant_have_one_winner(prod: Environment, long: bool) -> None:
    def play(round: int) -> str:
        story = begun(prod, "rollback_window", round=round)
        one, end = story.fresh(), deadline(story)
        done = at_once([act for by in (one.initiator, make_user("Mia")) for act in closing(one, end, by)])
        advance(one.run_id, clock=lambda: end)
        ended, trail = story.fresh(), entries(one)
        assert done["rollback"] + done["dismiss"] <= 1 and done["late"] == 0
        assert trail["rollback asked for"] == done["rollback"] and trail["window dismissed"] == done["dismiss"]
        assert ended.status is (Status.ROLLED_BACK if done["rollback"] else Status.SUCCEEDED)
        assert ended.run.steps.filter(back=True, kind="roll_back").count() == done["rollback"]
        assert told_twice(one) == []
        return "rollback" if done["rollback"] else "dismiss" if done["dismiss"] else "expire"

    rounds(play, 100 if long else 8)


def closing(one: Deployment, end: datetime, by: User) -> list[tuple[str, Act]]:
    """Both buttons in the last instant, one too late, and a worker that reads the end."""
    fresh = partial(Deployment.objects.get, pk=one.pk)
    return [
        ("rollback", lambda: fresh().roll_back(by=by, now=end - INSTANT)),
        ("dismiss", lambda: fresh().dismiss(by=by, now=end - INSTANT)),
        ("late", lambda: fresh().roll_back(by=by, now=end)),
        ("look", lambda: advance(one.run_id, clock=lambda: end)),
    ]


# --- Deploy ----------------------------------------------------------------------------------------------------------


def test_deploy_pressed_and_a_changed_plan_and_engines_in_one_instant_begin_it_once_or_not_at_all(
    prod: Environment, long: bool
) -> None:
    """The approval is used once: by one Deploy, for the plan that was approved, however many engines look."""

    def play(round: int) -> str:
        story = begun(prod, "confirm", round=round)
        one, now, fresh = story.fresh(), story.now, partial(Deployment.objects.get, pk=story.deployment.pk)
        edited = f"steps: [{{rollback_window: {{lasts: {round + 20}m}}}}]"
        acts: list[tuple[str, Act]] = [
            *[("start", lambda: fresh().start(by=one.initiator, plan_hash=one.plan_hash, now=now))] * 6,
            ("edit", lambda: Environment.objects.filter(pk=prod.pk).update(pipeline=edited)),
            *[("look", lambda: advance(one.run_id, clock=lambda: now))] * 4,
        ]
        done = at_once(acts)
        for _ in range(3):
            advance(one.run_id, clock=lambda: now)
        after = story.fresh()
        assert done["start"] <= 1 and entries(one)["deploy pressed"] == done["start"]
        assert after.run.steps.get(status="waiting").kind == ("rollback_window" if done["start"] else "approval")
        assert after.run.steps.get(kind="prepare").status == ("succeeded" if done["start"] else "pending")
        assert not done["start"] or edited not in after.pipeline
        assert one.run.messages.filter(event="window open", channel="email").count() == done["start"]
        after.abort(by=one.initiator, now=now)
        advance(one.run_id, clock=lambda: now)
        assert story.fresh().status.ended
        return "deployed" if done["start"] else "asked again"

    rounds(play, 50 if long else 6)


def test_a_withdrawal_in_the_instant_of_deploy_is_seen_at_the_line_at_the_latest(prod: Environment, long: bool) -> None:
    def play(round: int) -> str:
        uat = Environment.objects.get(name="uat")
        passed = make_deployment(uat, at="succeeded", commit=make_commit(prod.instance), now=NOW + round * 10 * HOUR)
        story = begun(prod, "confirm", round=round)
        one, now = story.fresh(), story.now
        fresh = partial(Deployment.objects.get, pk=one.pk)
        done = at_once(
            [
                ("start", lambda: fresh().start(by=one.initiator, plan_hash=one.plan_hash, now=now)),
                ("withdraw", lambda: passed.withdraw(by=one.initiator, reason="it is broken", now=now)),
                ("look", lambda: advance(one.run_id, clock=lambda: now)),
            ]
        )
        assert done["withdraw"] == 1
        advance(one.run_id, clock=lambda: now)
        after = story.fresh()
        worked = str(after.run.steps.get(kind="prepare").status)
        assert (after.status, worked) in AFTER_WITHDRAWAL
        _close(after, uat, now=now)
        return str(after.status)

    rounds(play, 30 if long else 4)


AFTER_WITHDRAWAL = {
    (Status.REJECTED, "skipped"),
    (Status.FAILED, "failed"),
    (Status.WAITING, "succeeded"),
}


def _close(one: Deployment, uat: Environment, *, now: datetime) -> None:
    """Nothing is open for the next round."""
    if not one.status.ended:
        one.dismiss(by=one.initiator, now=now)
    back = Deployment.objects.open_on(uat)
    if back is not None:
        back.abort(by=back.initiator, now=now)
