"""Old releases go after a success. Nothing here changes how a deployment ends: what cannot be removed is told."""

from __future__ import annotations

from deploynaut.engine.connections.base import Fenced
from deploynaut.engine.packages import clean_up, removable, remove, survey
from deploynaut.engine.steps.base import StepContext, StepFailed, StepTimedOut, Stopped, TargetHost
from deploynaut.engine.steps.hosts import on_all


def clean_up_old_releases(context: StepContext) -> None:
    """Keep the newest `keep_releases`, and always the live, the known good, the pinned and whatever is foreign."""
    try:
        on_all(context.targets, lambda host: _clean_up(context, host), what="Old releases could not be removed")
    except (StepFailed, StepTimedOut) as note:
        context.log(f"{note} The deployment is none the worse for it.")
    except (Fenced, Stopped):
        raise
    except Exception as fault:
        # A fault of ours in tidying up must not take a good release back.
        context.log(
            f"Old releases could not be removed ({type(fault).__name__}). The deployment is none the worse for it."
        )


def remove_laid_out(context: StepContext) -> None:
    """The release of this run goes from every host that can be reached; it is not live there."""
    what = f"Release {context.number} could not be removed everywhere, which harms nothing"
    try:
        on_all(context.targets, lambda host: remove(host.connection, release=str(context.number)), what=what)
    except (StepFailed, StepTimedOut) as note:
        context.log(str(note))


def _clean_up(context: StepContext, host: TargetHost) -> None:
    seen = survey(host.connection)
    pinned = {str(number) for number in context.kept}
    known_good = str(context.back_to.number) if context.back_to else None
    keep = context.spec.keep_releases
    old = removable(seen.releases, live=seen.live, known_good=known_good, pinned=pinned, keep=keep)
    if old or seen.leftovers:
        done = clean_up(host.connection, releases=old, leftovers=seen.leftovers)
        context.log(f"{host.name}: {done}")
