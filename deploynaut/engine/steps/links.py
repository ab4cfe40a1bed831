"""The `current` links of all hosts: where they lead, and switching them together."""

from __future__ import annotations

from datetime import datetime

from deploynaut.engine.packages import CurrentIsNoLink, Is, ReleaseMissing, live, survey, switch
from deploynaut.engine.steps.base import StepContext, StepFailed, TargetHost
from deploynaut.engine.steps.hosts import everywhere


def switch_all(context: StepContext, number: int, *, until: datetime | None = None) -> None:
    """`current` of every host leads to the release. Two phases: nothing is switched before every host could.

    Every host must have the same package under that number. Repeating it changes nothing. Raises StepFailed naming
    each host that could not.
    """
    what, digest = f"Release {number} could not be made live", _digest(context, number)
    everywhere(context, context.targets, lambda host: _could(host, number, digest), what=what, until=until)
    everywhere(context, context.targets, lambda host: _switch(context, host, number), what=what, until=until)


def read_back(host: TargetHost, number: int) -> None:
    """Raises StepFailed when `current` leads elsewhere."""
    found = live(host.connection)
    if found != str(number):
        raise StepFailed(f"`current` leads to {found or 'no release'}, not to release {number}.")


def _digest(context: StepContext, number: int) -> str:
    """The content that the release must have; empty when nothing is known of it."""
    if context.back_to is not None and number == context.back_to.number:
        return context.back_to.digest
    prepared: str = context.facts.get("prepare", {}).get("digest", "") if number == context.number else ""
    return prepared


def _could(host: TargetHost, number: int, digest: str) -> None:
    seen = survey(host.connection)
    if seen.current is Is.SOMETHING_ELSE:
        raise CurrentIsNoLink("`current` is a directory or file, not a link, and is never replaced.")
    there = next((release for release in seen.releases if release.ours and release.name == str(number)), None)
    if there is None:
        raise ReleaseMissing(f"Release {number} is not there.")
    if digest and there.digest and there.digest != digest:
        raise StepFailed(
            f"Release {number} is package {there.digest[:12]} there, not {digest[:12]}. Somebody has changed it."
        )


def _switch(context: StepContext, host: TargetHost, number: int) -> None:
    switch(host.connection, release=str(number))
    context.log(f"{host.name}: current leads to release {number}")
