"""The `current` links of all hosts: where they lead, and switching them together."""

from __future__ import annotations

from datetime import datetime

from deploynaut.engine.packages import CurrentIsNoLink, Is, ReleaseMissing, live, survey, switch
from deploynaut.engine.steps.base import StepContext, StepFailed, TargetHost
from deploynaut.engine.steps.hosts import everywhere


def switch_all(context: StepContext, number: int, *, until: datetime | None = None) -> None:
    """`current` of every host leads to the release. Two phases: nothing is switched before every host could.

    Repeating it changes nothing. Raises StepFailed naming each host that could not.
    """
    what = f"Release {number} could not be made live"
    everywhere(context, context.targets, lambda host: _could(host, number), what=what, until=until)
    everywhere(context, context.targets, lambda host: _switch(context, host, number), what=what, until=until)


def read_back(host: TargetHost, number: int) -> None:
    """Raises StepFailed when `current` leads elsewhere."""
    found = live(host.connection)
    if found != str(number):
        raise StepFailed(f"`current` leads to {found or 'no release'}, not to release {number}.")


def _could(host: TargetHost, number: int) -> None:
    seen = survey(host.connection)
    if seen.current is Is.SOMETHING_ELSE:
        raise CurrentIsNoLink("`current` is a directory or file, not a link, and is never replaced.")
    if str(number) not in {release.name for release in seen.releases if release.ours}:
        raise ReleaseMissing(f"Release {number} is not there.")


def _switch(context: StepContext, host: TargetHost, number: int) -> None:
    switch(host.connection, release=str(number))
    context.log(f"{host.name}: current leads to release {number}")
