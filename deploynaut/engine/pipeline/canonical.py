"""What of a pipeline an approval is for, in one versioned form: the plan's hash is over it.

A harmless edit must void no approval, so it leaves out what changes neither what runs nor who protects it: words,
addressees, sizes, time limits. Lists whose order means nothing are sorted; a default that is written out is the same
as one that is left out. The committed example in the tests shows every key: an upgrade that changes it would void
every approval that waits, so a later key goes in only where it differs from its default.
"""

from __future__ import annotations

from typing import Any

from deploynaut.engine.pipeline.spec import PipelineSpec, TestSpec

VERSION = 1


def canonical(spec: PipelineSpec) -> dict[str, Any]:
    """The pipeline as plain values that JSON can hold, equal for pipelines that do the same."""
    found: dict[str, Any] = {
        "version": VERSION,
        "steps": list(spec.kinds),
        "promote_from": spec.promote_from,
        "assets": spec.settings("backup").assets,
        "smoke_tests": {name: _test(test) for name, test in sorted(spec.smoke_tests.items())},
        "on_failure": {"database": spec.on_failure.database},
    }
    if "approval" in spec.kinds:
        found["ask"] = [sorted(set(group)) for group in spec.settings("approval").ask]
    if "rollback_window" in spec.kinds:
        found["window"] = int(spec.settings("rollback_window").lasts.total_seconds())
    return found


def _test(test: TestSpec) -> dict[str, Any]:
    return {
        "url": test.url,
        "status": test.status,
        "contains": test.contains,
        "lacks": test.lacks,
        "redirect": test.redirect,
        "may_be_broken": test.may_be_broken,
        "verify_tls": test.verify_tls,
    }
