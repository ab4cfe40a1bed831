"""Resolved: only what is proven on every host ends the state, and nothing is changed when it is not so."""

from __future__ import annotations

import pytest

from deploynaut.engine.pipeline import Status, Step
from deploynaut.engine.steps.base import StepFailed
from deploynaut.engine.steps.resolve import resolve
from tests.engine.steps.lab import Deployment, Environment

CUT = Step("resolve")


def left_behind(live: Environment) -> Deployment:
    """A deployment whose way back failed: release 1 is linked, the screen is up."""

    def no_content(deployment: Deployment, host: str, text: str) -> None:
        if deployment.state.status is Status.ROLLING_BACK and "rm -f -- " in text:
            live.host.database.rename(live.host.database.with_suffix(".away"))

    deployment = live.deployment("broken/search-500", before=no_content)
    assert deployment.go() is Status.ROLLBACK_FAILED, deployment.text
    live.host.database.with_suffix(".away").rename(live.host.database)
    assert live.host.get("/") == 503
    return deployment


def test_what_is_live_is_proven_and_the_screen_comes_down(live: Environment) -> None:
    deployment = left_behind(live)
    result = resolve(deployment.context(CUT), 1)
    assert live.host.get("/") == 200
    assert result.facts["screen"] == ["web1"] and "every test passed" in result.summary


def test_another_release_than_was_said_leaves_everything_as_it_is(live: Environment) -> None:
    deployment = left_behind(live)
    with pytest.raises(StepFailed, match="leads to 1, not to release 2"):
        resolve(deployment.context(CUT), 2)
    assert live.host.get("/") == 503


def test_a_failing_test_is_named_and_the_site_stays_open(live: Environment) -> None:
    deployment = left_behind(live)
    live.host.database.unlink()
    result = resolve(deployment.context(CUT), 1)
    assert result.facts["failing"] and "failing tests: " in result.summary
    assert not live.host.flag.exists()


def test_a_release_may_follow_one_that_is_live_but_not_known_good(live: Environment) -> None:
    """What was withdrawn, or named by Ops, is live; a failure goes back to what is known good."""
    known_good = live.good
    withdrawn = live.release("1.1")
    live.good = known_good
    refused = live.deployment("1.2")
    assert refused.go() is Status.FAILED and "should be live" in refused.text
    assert live.host.live == str(withdrawn.number)
    assert live.deployment("1.2", live=withdrawn.number).go() is Status.SUCCEEDED
