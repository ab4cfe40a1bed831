"""The steps of a deployment: what a machine does, each a file. Packages from outside add theirs by an entry point."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from deploynaut.engine.steps.base import StepType

GROUP = "deploynaut.steps"


class BadStep(ValueError):
    """A step type of an installed package cannot be used; the text names it."""


class _Steps(Mapping[str, StepType]):
    """Step types by kind; those of installed packages are loaded when one is first asked for."""

    def __getitem__(self, kind: str) -> StepType:
        return _known()[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(_known())

    def __len__(self) -> int:
        return len(_known())


STEPS: Mapping[str, StepType] = _Steps()


@functools.cache
def _known() -> dict[str, StepType]:
    found = {step.kind: step for step in _ours()}
    for entry in entry_points(group=GROUP):
        if entry.name in found:
            raise BadStep(f"The package of {entry.value} brings a step {entry.name!r}, which is there already.")
        found[entry.name] = entry.load()()
    return found


def _ours() -> tuple[StepType, ...]:
    # Only the worker runs steps: a web process that needs their values alone must not load every room below.
    from deploynaut.engine.steps.backup import Backup
    from deploynaut.engine.steps.prepare import Prepare
    from deploynaut.engine.steps.release import Release
    from deploynaut.engine.steps.roll_back import RollBack
    from deploynaut.engine.steps.smoke_tests import SmokeTests

    return (Prepare(), Backup(), Release(), SmokeTests(), RollBack())
