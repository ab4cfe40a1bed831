"""The tests of the working site, from outside: before a release, after it, and on the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploynaut.engine.connections.base import Fenced
from deploynaut.engine.smoke_tests import Allowed, Finding, HttpTransport, SmokeTest, Verdict, run_all, verdict
from deploynaut.engine.steps import screen
from deploynaut.engine.steps.base import OnInterrupt, StepContext, StepFailed, StepResult, StepTimedOut, Stopped
from deploynaut.engine.steps.cleanup import clean_up_old_releases
from deploynaut.engine.steps.failures import in_words
from deploynaut.engine.steps.hosts import pause
from deploynaut.engine.steps.way_back import TOUCHED


class SmokeTests:
    """See `run`."""

    kind = "smoke_tests"
    label = "Smoke tests"
    on_interrupt: OnInterrupt = "rerun"

    def run(self, context: StepContext) -> StepResult:
        """Every test; one that fails fails the step, unless the rule excuses it. Facts: `findings`, `excused`.

        On the way back, a site that had been changed and fails its tests gets its screen again, before this says so.
        After a success forward, old releases are removed.
        """
        with in_words("The smoke tests could not be run"):
            if not context.way_back:
                result = _tested(context)
                clean_up_old_releases(context)
                return result
            if context.in_maintenance:
                return StepResult("not tested: the screen was up before this deployment began, and still is")
            if context.marks & TOUCHED:
                return _tested_or_closed(context)
            return _tested(context)


def measure(context: StepContext) -> list[Finding]:
    """What the site answers now."""
    transport = HttpTransport(allowed=Allowed.of(context.hosts))

    def rest(seconds: float) -> None:
        pause(context, seconds)

    return run_all(tests_of(context), transport=transport, guard=context.guard, sleep=rest, log=context.log)


def tests_of(context: StepContext) -> list[SmokeTest]:
    """The tests of the pipeline file, each with the attempts and the delay of its step."""
    settings = context.spec.settings("smoke_tests")
    return [
        SmokeTest(
            name=name,
            url=test.url,
            status=test.status,
            contains=test.contains,
            lacks=test.lacks,
            within=test.within.total_seconds(),
            attempts=settings.attempts,
            delay=settings.delay.total_seconds(),
            redirect=test.redirect,
            may_be_broken=test.may_be_broken,
            verify_tls=test.verify_tls,
        )
        for name, test in context.spec.smoke_tests.items()
    ]


def _tested(context: StepContext) -> StepResult:
    found = _judged(context)
    if not found.ok:
        raise StepFailed(f"Smoke test {found.text()}")
    return StepResult(
        found.text(), {"findings": _facts((*found.passed, *found.excused)), "excused": _names(found.excused)}
    )


def _tested_or_closed(context: StepContext) -> StepResult:
    try:
        return _tested(context)
    except (StepFailed, StepTimedOut) as failure:
        without = screen.put_up_wherever_possible(context)
        said = f"{without} {failure}" if without else f"{failure}. The maintenance screen is up again."
        raise StepFailed(said) from failure
    except (Fenced, Stopped):
        raise
    except Exception as fault:
        fault.add_note(screen.put_up_wherever_possible(context) or "The maintenance screen is up.")
        raise


def _judged(context: StepContext) -> Verdict:
    baseline = context.facts.get("prepare", {}).get("baseline") or []
    before = [Finding.from_json(value) for value in baseline]
    return verdict(measure(context), before, after_rollback=context.way_back)


def _facts(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [finding.as_json() for finding in findings]


def _names(findings: Sequence[Finding]) -> list[str]:
    return [finding.test for finding in findings]
