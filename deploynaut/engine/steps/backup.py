"""The outage begins: screen up on every web host, data saved and read back."""

from __future__ import annotations

from deploynaut.engine.pipeline import Mark
from deploynaut.engine.steps import screen
from deploynaut.engine.steps.base import OnInterrupt, StepContext, StepFailed, StepResult
from deploynaut.engine.steps.failures import in_words
from deploynaut.engine.steps.saving import as_fact, database_of, name_for, save
from deploynaut.engine.steps.site_work import pause_work


class Backup:
    """See `run`."""

    kind = "backup"
    label = "Backup"
    on_interrupt: OnInterrupt = "rerun"

    def run(self, context: StepContext) -> StepResult:
        """Screen up and proven, background work paused, database saved. Facts: `snapshot`, None without a database."""
        with in_words("The backup failed"):
            if Mark.MIGRATING in context.marks:
                # A snapshot of data that the new release has changed must never stand for the ones before.
                raise StepFailed(
                    "The migration has begun already; the data as they were before cannot be saved any more."
                )
            context.mark(Mark.SCREEN)
            screen.put_up(context)
            pause_work(context)
            return _saved(context)


def _saved(context: StepContext) -> StepResult:
    database = database_of(context.recipe)
    if database is None:
        context.mark(Mark.SAVED)
        return StepResult("screen up; this site has no database to save", {"snapshot": None})
    stored = save(context, database, name=name_for(context, "backup"))
    if stored.inventory is None:
        context.log("there is no database yet; going back means that there is none again")
    context.mark(Mark.SAVED)
    return StepResult(f"screen up, database saved ({stored.size} bytes)", {"snapshot": as_fact(stored)})
