"""What a run of smoke tests means: one pure rule over findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploynaut.engine.smoke_tests.values import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`excused` failed and do not count, each for its reason by the rule; `failed` decide."""

    failed: tuple[Finding, ...] = ()
    excused: tuple[Finding, ...] = ()
    passed: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no failure counts."""
        return not self.failed

    @property
    def flaky(self) -> tuple[Finding, ...]:
        """Passed, and not at once."""
        return tuple(finding for finding in self.passed if finding.flaky)

    def text(self) -> str:
        """For a tile and a message: what failed first, or how much passed."""
        notes = [f"excused, broken before too: {', '.join(each.test for each in self.excused)}"] if self.excused else []
        notes += [f"not at once: {', '.join(each.test for each in self.flaky)}"] if self.flaky else []
        if self.failed:
            others = len(self.failed) - 1
            more = [f"{others} more {'test' if others == 1 else 'tests'} failed"] if others else []
            return "; ".join([f"{self.failed[0].test}: {self.failed[0].reason}", *more, *notes])
        if not self.passed and not self.excused:
            return "no smoke tests are set up"
        return "; ".join([f"{len(self.passed)} passed", *notes])


def verdict(
    findings: Sequence[Finding], baseline: Sequence[Finding] | None = None, *, after_rollback: bool = False
) -> Verdict:
    """Any failing test fails. Excused: marked `may_be_broken` and failed in the same way before, measured openly.

    `after_rollback`: a test that failed in the baseline is not demanded. What the baseline did not measure (no entry,
    or the screen was up) is demanded: nothing says that it was broken.
    """
    before = {finding.test: finding for finding in baseline or ()}
    failures = [finding for finding in findings if not finding.ok]
    excused = [each for each in failures if _excused(each, before.get(each.test), after_rollback=after_rollback)]
    return Verdict(
        failed=tuple(finding for finding in failures if finding not in excused),
        excused=tuple(excused),
        passed=tuple(finding for finding in findings if finding.ok),
    )


def _excused(finding: Finding, before: Finding | None, *, after_rollback: bool) -> bool:
    if before is None or before.ok or before.behind_screen or finding.behind_screen:
        return False
    return after_rollback or (finding.may_be_broken and finding.same_as(before))
