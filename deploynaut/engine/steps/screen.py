"""The maintenance screen: put up on every web host and proven there, taken down, asked for.

Its kind is a flag file: while it exists the site answers 503 with its content and with `X-Deploynaut-Maintenance`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from deploynaut.engine.connections.base import ConnectionFailed
from deploynaut.engine.shell import command
from deploynaut.engine.steps.base import StepContext, StepFailed, StepTimedOut, TargetHost
from deploynaut.engine.steps.hosts import everywhere, on_all
from deploynaut.engine.steps.served import wait_for_screen

TIMEOUT = 30.0
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Back soon</title>
<style>
body { font: 1.2rem/1.6 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem; padding: 0 1.5rem; color: #222 }
@media (prefers-color-scheme: dark) { body { background: #181a1b; color: #e8e6e3 } }
</style>
</head>
<body>
<h1>We will be back soon</h1>
<p>This site is being updated. Please try again in a few minutes.</p>
</body>
</html>
"""


def put_up(context: StepContext, *, until: datetime | None = None) -> None:
    """Put the screen up on all web hosts; each is asked for a page and answers 503.

    Repeating it is harmless. A host that cannot be reached is tried again until `until`.
    Raises StepFailed naming each host without a proven screen; the others have theirs up.
    """
    what = "The maintenance screen could not be put up"
    everywhere(context, context.web, lambda host: _put_up(context, host), what=what, until=until)


def take_down(context: StepContext, *, until: datetime | None = None) -> None:
    """Take the screen down on all web hosts. Repeating it is harmless."""
    what = "The maintenance screen could not be taken down"
    everywhere(context, context.web, lambda host: _take_down(context, host), what=what, until=until)


def up_on(context: StepContext, hosts: Iterable[TargetHost]) -> frozenset[str]:
    """Names of the hosts whose screen is up."""
    found = on_all(hosts, lambda host: _is_up(context, host), what="The maintenance screen could not be looked for")
    return frozenset(name for name, up in found.items() if up)


def put_up_wherever_possible(context: StepContext) -> str:
    """After a failed way back: the screen on every host that can be reached. What is wrong with the others, in words.

    Empty when all have it. Fenced off or shut down passes through: whoever takes over does it again.
    """
    try:
        put_up(context)
    except (StepFailed, StepTimedOut) as error:
        context.log(str(error))
        return str(error)
    context.log("the maintenance screen is up again")
    return ""


def _put_up(context: StepContext, host: TargetHost) -> None:
    flag = context.recipe.maintenance.path
    if not _is_up(context, host):
        host.connection.put(PAGE.encode(), flag)
    wait_for_screen(context, host)
    context.log(f"{host.name}: the maintenance screen is up")


def _take_down(context: StepContext, host: TargetHost) -> None:
    flag = context.recipe.maintenance.path
    host.connection.run(command("rm", "-f", "--", flag), timeout=TIMEOUT)
    context.log(f"{host.name}: the maintenance screen is down")


def _is_up(context: StepContext, host: TargetHost) -> bool:
    flag = context.recipe.maintenance.path
    result = host.connection.run(command("test", "-e", flag), timeout=TIMEOUT, check=False)
    if result.status not in (0, 1):
        raise ConnectionFailed(f"Whether {flag} is there could not be seen.", host=host.name)
    return result.ok
