"""Ends the state after a failed rollback: what is said to be live is proven on every host, the screen comes down."""

from __future__ import annotations

from deploynaut.engine.steps import screen
from deploynaut.engine.steps.base import StepContext, StepResult
from deploynaut.engine.steps.failures import in_words
from deploynaut.engine.steps.served import wait_for_release
from deploynaut.engine.steps.site_work import resume_work
from deploynaut.engine.steps.smoke_tests import measure


def resolve(context: StepContext, number: int) -> StepResult:
    """Prove that release `number` is live on every host, take the screen down, and say what the tests find.

    A failing test does not put the screen up again: a person has decided. It is named in the summary.
    Facts: `screen` (hosts whose screen was up), `failing` (names of tests). Raises StepFailed: nothing was changed,
    or the screen is still up where it could not be taken down.
    """
    with in_words("The state was not ended"):
        wait_for_release(context, number)
        up = sorted(screen.up_on(context, context.web))
        if up:
            screen.take_down(context)
        resume_work(context)
        failing = [finding.test for finding in measure(context) if not finding.ok]
    tests = f"; failing tests: {', '.join(failing)}" if failing else "; every test passed"
    where = f"the screen was taken down on {', '.join(up)}" if up else "no screen was up"
    return StepResult(f"release {number} is live on every host; {where}{tests}", {"screen": up, "failing": failing})
