"""A worker killed before each of a deployment's effects: whoever takes over ends with the site old or new."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploynaut.engine.pipeline import Mark, Status
from tests.engine.steps.conftest import MakeEnvironment
from tests.engine.steps.lab import SWITCH, Cut, Deployment, Environment, restores

pytestmark = pytest.mark.faults
PARTS = 4
PREPARED = 12
"""Effects of `prepare`, at most; the good release is cut there, which is enough."""

MORE_THAN_THERE_ARE = 120
"""Effects of one deployment: the loops end by themselves when one was not cut."""


def old(environment: Environment, deployment: Deployment, content: list[str] | None) -> bool:
    host = environment.host
    seen = (host.live, host.get("/"), host.flag.exists(), host.content() == content)
    return seen == ("1", 200, False, True)


def new(environment: Environment, deployment: Deployment) -> bool:
    host = environment.host
    migrated = sum("ADD COLUMN summary" in line or "summary" in line for line in host.content() or []) > 0
    return (host.live, host.get("/"), host.flag.exists(), migrated) == ("2", 200, False, True)


def outcome_of(deployment: Deployment) -> Status:
    """A migration that was cut off goes back; everything else is run again, and goes on."""
    cut_off = deployment.killed and max(deployment.marks_when_killed, default=None) is Mark.MIGRATING
    return Status.ROLLED_BACK if cut_off else Status.SUCCEEDED


def looking_at_switches(seen: list[int]) -> Callable[[Deployment, str, str], None]:
    """Notes what visitors get whenever a link is switched."""

    def look(deployment: Deployment, host: str, text: str) -> None:
        if SWITCH in text:
            seen.append(deployment.environment.host.get("/"))

    return look


def leftovers(environment: Environment) -> set[str]:
    return {name for name in environment.host.releases() if not name.isdigit()}


@pytest.mark.parametrize("part", range(PARTS))
def test_a_good_release_killed_anywhere_ends_old_or_new(make_live: MakeEnvironment, part: int) -> None:
    for at in range(1 + part, MORE_THAN_THERE_ARE, PARTS):
        environment = make_live()
        before = environment.host.content()
        seen: list[int] = []
        deployment = environment.deployment("1.1", cut=Cut(at), before=looking_at_switches(seen))
        status = deployment.go()
        assert status is outcome_of(deployment), deployment.text
        assert set(seen) == {503}, deployment.text
        right = new(environment, deployment) if status is Status.SUCCEEDED else old(environment, deployment, before)
        assert right, deployment.text
        assert leftovers(environment) == set(), deployment.text
        if not deployment.killed:
            assert at > 25
            return
    pytest.fail("a deployment without an end")


@pytest.mark.parametrize("part", range(PARTS))
def test_a_way_back_killed_anywhere_ends_with_the_old_site(make_live: MakeEnvironment, part: int) -> None:
    for at in range(PREPARED + part, MORE_THAN_THERE_ARE, PARTS):
        environment = make_live()
        before = environment.host.content()
        deployment = environment.deployment("broken/search-500", cut=Cut(at))
        assert deployment.go() is Status.ROLLED_BACK, deployment.text
        assert old(environment, deployment, before), deployment.text
        if not deployment.killed:
            assert at > 35
            return
    pytest.fail("a deployment without an end")


def test_the_data_saved_before_going_back_are_those_before_our_own_restore(make_live: MakeEnvironment) -> None:
    whole = make_live().deployment("broken/search-500")
    whole.go()
    saved = whole.facts["back:roll_back"]["safety"]["inventory"]
    environment = make_live()
    deployment = environment.deployment("broken/search-500")
    restored: list[str] = []

    def kill_after_restore(deployment: Deployment, host: str, text: str) -> None:
        if restores(text) and not restored:
            restored.append(text)
            deployment.cut.at = deployment.cut.count + 2  # this one happens

    deployment.before = kill_after_restore
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert deployment.killed
    assert deployment.facts["back:roll_back"]["safety"]["inventory"] == saved


def test_a_migration_that_is_killed_halfway_is_ended_and_undone(live: Environment) -> None:
    before = live.host.content()
    deployment = live.deployment("slow/migration")
    deployment.lines = Dying(deployment)
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert deployment.killed
    assert "The worker died while the database was being migrated." in deployment.state.cause
    assert old(live, deployment, before)


class Dying(list[str]):
    """A log whose writer is killed when the migration has begun to speak."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__()
        self.deployment = deployment

    def append(self, line: str) -> None:
        super().append(line)
        if line.startswith("| 0003_word_counts"):
            self.deployment.cut.dead = True


def test_a_migration_that_is_aborted_halfway_is_ended_and_undone(live: Environment) -> None:
    before = live.host.content()
    deployment = live.deployment("slow/migration")
    deployment.lines = Aborting(deployment)
    assert deployment.go() is Status.ROLLED_BACK, deployment.text
    assert deployment.state.abort_by == "Rob"
    assert old(live, deployment, before)


class Aborting(Dying):
    """A log by which somebody sees the migration begin, and presses Abort."""

    def append(self, line: str) -> None:
        list.append(self, line)
        if line.startswith("| 0003_word_counts"):
            self.deployment.abort()
