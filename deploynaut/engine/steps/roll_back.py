"""The way back: as much as was done is undone, in the order of the decisions. Cut off anywhere, it is run again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from deploynaut.engine.connections.base import Fenced, StillRunning
from deploynaut.engine.databases.sessions import end_sessions
from deploynaut.engine.packages import remove
from deploynaut.engine.pipeline import Mark
from deploynaut.engine.steps import screen
from deploynaut.engine.steps.base import (
    OnInterrupt,
    StepContext,
    StepFailed,
    StepResult,
    StepTimedOut,
    Stopped,
    TargetHost,
)
from deploynaut.engine.steps.cleanup import remove_laid_out
from deploynaut.engine.steps.failures import FORESEEN, in_words
from deploynaut.engine.steps.hosts import everywhere, on_all, patiently
from deploynaut.engine.steps.known_good import lay_out_again, prove
from deploynaut.engine.steps.links import switch_all
from deploynaut.engine.steps.saving import as_fact, database_of, from_fact, name_for, put_back, save_once
from deploynaut.engine.steps.served import shows_screen, wait_for_release
from deploynaut.engine.steps.set_up import SCREEN_ALONE, lay_out_screen_alone
from deploynaut.engine.steps.site_work import pause_work, reload_servers, resume_work
from deploynaut.engine.steps.way_back import TOUCHED, database_goes_back


class RollBack:
    """See `run`."""

    kind = "roll_back"
    label = "Going back"
    on_interrupt: OnInterrupt = "rerun"

    def run(self, context: StepContext) -> StepResult:
        """Put the site back as it was, as far as the marks say that it was changed.

        Facts: `database` (`restored`, `kept`, or `untouched`) and `safety`, the snapshot of the data before they went
        back. When it fails, the screen is up on every host that can be reached, or the failure begins with where not.
        """
        until = context.clock() + context.patience
        try:
            with in_words("Going back failed"):
                return _undo(context, until)
        except (StepFailed, StepTimedOut) as failure:
            raise StepFailed(_after(context, str(failure))) from failure
        except (Fenced, Stopped):
            raise
        except Exception as fault:
            # A fault of ours is no reason to leave the site open; whoever tells of it tells this first.
            fault.add_note(_after(context, ""))
            raise


def _undo(context: StepContext, until: datetime) -> StepResult:
    if Mark.SCREEN not in context.marks:
        on_all(context.targets, lambda host: _leave(context, host), what="What runs there could not be ended")
        return StepResult("nothing to put back", {"database": "untouched", "safety": None})
    everywhere(context, context.targets, _end_work, what="What runs there could not be ended", until=until)
    if Mark.MIGRATING in context.marks:
        patiently(context, context.once, lambda: _end_sessions(context), until=until)
    if context.marks & TOUCHED:
        return _put_site_back(context, until)
    summary = _open_untouched_site(context, until)
    remove_laid_out(context)
    return StepResult(summary, {"database": "untouched", "safety": None})


def _leave(context: StepContext, host: TargetHost) -> None:
    """Nobody's site was touched: a host that is out of reach, or full, is no reason to call it broken.

    What may be left there is ended and cleared away by the next run, before anything else. Work that is there and
    cannot be ended is told.
    """
    try:
        _end_work(host)
        remove(host.connection, release=str(context.number))
    except (Fenced, StillRunning):
        raise
    except FORESEEN as note:
        context.log(f"{host.name}: nothing was changed there, and nothing could be cleared away: {note}")


def _end_work(host: TargetHost) -> None:
    # A migration that was cut off must be gone before data are put back: it would write into them.
    host.connection.take_over()
    host.connection.stop_work()


def _end_sessions(context: StepContext) -> None:
    if left := end_sessions(context.once.connection, run=context.label):
        context.log(f"{context.once.name}: the migration had left processes outside its group; they are ended: {left}")


def _after(context: StepContext, failure: str) -> str:
    """The screen goes up again where it can; where it cannot is said first."""
    if Mark.SCREEN not in context.marks:
        return failure
    without = screen.put_up_wherever_possible(context)
    return f"{without} {failure}".strip() if without else f"{failure} The maintenance screen is up.".strip()


def _open_untouched_site(context: StepContext, until: datetime) -> str:
    if context.in_maintenance:
        context.log("the maintenance screen was up before this deployment began; it stays")
        return "nothing to put back; the screen was up before and stays"
    resume_work(context, until=until)
    screen.take_down(context, until=until)
    return "nothing to put back; the screen is down"


# --- code or data were changed ---------------------------------------------------------------------------------------


def _put_site_back(context: StepContext, until: datetime) -> StepResult:
    """Screen, background work rests, safety snapshot, link, data, reload, verify, screen down."""
    screen.put_up(context, until=until)
    if Mark.OPEN in context.marks:
        # The release has let cron and queues go on; nothing may write while the data go back.
        pause_work(context, until=until)
    safety = _safety(context, until)
    number = context.back_to.number if context.back_to else SCREEN_ALONE
    everywhere(
        context, context.targets, lambda host: _lay_out(context, host), what="No release to go back to", until=until
    )
    switch_all(context, number, until=until)
    database = _data_back(context, until)
    reload_servers(context, until=until)
    wait_for_release(context, number, until=until)
    _open(context, until)
    where = f"release {number} is live again" if context.back_to else "nothing to go back to: the screen alone is live"
    return StepResult(f"{where}, database {database}", {"database": database, "safety": safety})


def _goes_back(context: StepContext) -> bool:
    keep = context.spec.on_failure.database == "keep"
    # A first deployment leaves nothing of itself: its data go back by production's rule, wherever it ran.
    strictly = context.production or context.back_to is None
    return database_goes_back(marks=context.marks, production=strictly, code_only=context.code_only, keep=keep)


def _safety(context: StepContext, until: datetime) -> dict[str, Any] | None:
    """The data as they were before our restore began: taken once, however often this step begins."""
    database = database_of(context.recipe)
    if database is None or not _goes_back(context):
        return None
    name = name_for(context, "before-going-back")
    stored = patiently(context, context.once, lambda: save_once(context, database, name=name), until=until)
    return as_fact(stored)


def _data_back(context: StepContext, until: datetime) -> str:
    database = database_of(context.recipe)
    if database is None or not _goes_back(context):
        return "untouched" if Mark.MIGRATING not in context.marks else "kept"
    stored = from_fact(context.facts.get("backup", {}).get("snapshot") or {})
    patiently(context, context.once, lambda: put_back(context, database, stored), until=until)
    context.log(f"the data are as of {stored.taken_at:%H:%M:%S} UTC again, from {stored.name}")
    return "restored"


def _lay_out(context: StepContext, host: TargetHost) -> None:
    if context.back_to is None:
        lay_out_screen_alone(host.connection, page=context.recipe.maintenance.path)
    elif Mark.OPEN in context.marks:
        # Hours may have passed since `prepare` read its files: a release that lost some is no way back.
        prove(context, host, context.back_to)
    else:
        lay_out_again(context, host, context.back_to, only_if_missing=True)


def _open(context: StepContext, until: datetime) -> None:
    """Screen down, except where it was up before. Release 0 is a screen by itself, but only where it proves so."""
    if context.in_maintenance:
        context.log("the maintenance screen was up before this deployment began; it stays")
        return
    resume_work(context, until=until)
    screen.take_down(context, until=until)
    if context.back_to is None and not all(_shows_screen(context).values()):
        context.log("release 0 does not answer 503 by itself here; the maintenance screen goes up again")
        screen.put_up(context, until=until)


def _shows_screen(context: StepContext) -> dict[str, bool]:
    return on_all(context.web, lambda host: shows_screen(context, host), what="The screen could not be looked for")
