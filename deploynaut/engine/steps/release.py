"""The release: migrate once, switch every host, prove what is served, open the site."""

from __future__ import annotations

from deploynaut.engine.connections.base import CommandFailed
from deploynaut.engine.databases import sessions
from deploynaut.engine.pipeline import Mark
from deploynaut.engine.shell import command
from deploynaut.engine.steps import screen
from deploynaut.engine.steps.base import OnInterrupt, StepContext, StepFailed, StepResult
from deploynaut.engine.steps.failures import in_words, last_words
from deploynaut.engine.steps.links import switch_all
from deploynaut.engine.steps.served import wait_for_release
from deploynaut.engine.steps.site_work import Lines, reload_servers, resume_work


class Release:
    """See `run`."""

    kind = "release"
    label = "Release"
    on_interrupt: OnInterrupt = "by mark"

    def run(self, context: StepContext) -> StepResult:
        """From data saved to a site open with the new release. Run again, it repeats the switch, never a migration.

        The screen comes down here also when it was up before: the tests that follow run on the working site, and
        when they fail it goes up again.
        """
        with in_words("The release failed"):
            screen.put_up(context, until=context.clock() + context.answer_within)
            migrated = _migrate(context)
            context.mark(Mark.SWITCHING)
            until = context.clock() + context.answer_within
            switch_all(context, context.number, until=until)
            reload_servers(context, until=until)
            context.mark(Mark.VERIFYING)
            wait_for_release(context, context.number)
            context.mark(Mark.OPEN)
            screen.take_down(context, until=until)
            resume_work(context)
        return StepResult(f"release {context.number} is live", {"migrated": migrated})


def _migrate(context: StepContext) -> bool:
    """Once, on one host, in the laid-out release. True when it ran now or, before an interruption, to its end."""
    words = context.recipe.migrate
    if not words:
        return False
    if Mark.SWITCHING in context.marks:
        context.log("the migration was done before this step was cut off")
        return True
    if Mark.MIGRATING in context.marks:
        raise StepFailed("The migration was cut off; half of it may have been done, so it is not repeated.")
    context.mark(Mark.MIGRATING)
    host = context.once
    migrate = command(*words).in_directory(f"releases/{context.number}")
    migrate = migrate.with_environment(
        PYTHONDONTWRITEBYTECODE="1", **sessions.named(host.connection, run=context.label)
    )
    context.log(f"{host.name}: {command(*words)}")
    try:
        with Lines(context.log) as lines:
            host.connection.run(migrate, timeout=_limit(context), output=lines.hear)
    except CommandFailed as error:
        # The command line of ours says nothing to a person; what the site's own program said last does.
        raise StepFailed(f"The migration failed on {host.name} (status {error.status}): {last_words(error)}") from error
    return True


def _limit(context: StepContext) -> float:
    seconds: float = context.spec.settings("release").timeout.total_seconds()
    return seconds
