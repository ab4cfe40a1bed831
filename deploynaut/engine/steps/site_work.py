"""What a recipe asks to be done on the hosts around a release: pause and resume background work, reload the server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from deploynaut.engine.connections.base import quoted
from deploynaut.engine.recipes import Words
from deploynaut.engine.shell import command
from deploynaut.engine.steps.base import StepContext, TargetHost
from deploynaut.engine.steps.hosts import everywhere

TIMEOUT = 120.0
LONGEST_LINE = 4000


def pause_work(context: StepContext, *, until: datetime | None = None) -> None:
    """Cron jobs and queues of the site rest. Raises StepFailed."""
    recipe = context.recipe
    what = "Background work could not be paused"
    everywhere(context, context.targets, lambda host: _run(context, host, recipe.pause), what=what, until=until)


def resume_work(context: StepContext, *, until: datetime | None = None) -> None:
    """Cron jobs and queues of the site go on. Raises StepFailed."""
    recipe = context.recipe
    what = "Background work could not be resumed"
    everywhere(context, context.targets, lambda host: _run(context, host, recipe.resume), what=what, until=until)


def reload_servers(context: StepContext, *, until: datetime | None = None) -> None:
    """Whatever keeps old code in memory lets go of it. Raises StepFailed."""
    what = "The web server could not be reloaded"
    everywhere(context, context.web, lambda host: reload_on(context, host), what=what, until=until)


def reload_on(context: StepContext, host: TargetHost) -> None:
    """The same on one host."""
    _run(context, host, context.recipe.reload)


def _run(context: StepContext, host: TargetHost, words: Words) -> None:
    if not words:
        return
    context.log(f"{host.name}: {command(*words)}")
    with Lines(context.log) as lines:
        host.connection.run(command(*words), timeout=TIMEOUT, output=lines.hear)


class Lines:
    """Output of a command, cut into quoted lines for a log; what has no line end is told when it ends."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._rest = b""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rest:
            self._tell(self._rest)

    def hear(self, data: bytes) -> None:
        """Takes the next piece."""
        whole, end, self._rest = (self._rest + data).rpartition(b"\n")
        if end:
            self._tell(whole)
        if len(self._rest) > LONGEST_LINE:
            self._tell(self._rest)
            self._rest = b""

    def _tell(self, lines: bytes) -> None:
        self._log(quoted(lines.decode("utf-8", "replace")))
