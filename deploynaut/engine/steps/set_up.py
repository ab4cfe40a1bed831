"""A target made ready: its directories, and release 0, which is the maintenance screen alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploynaut.engine.connections.base import Connection
from deploynaut.engine.packages import Is, Survey, survey
from deploynaut.engine.recipes import Recipe
from deploynaut.engine.shell import script
from deploynaut.engine.steps.base import StepFailed, TargetHost
from deploynaut.engine.steps.failures import in_words
from deploynaut.engine.steps.screen import PAGE

SCREEN_ALONE = 0
TIMEOUT = 60.0

# A directory half made by a killed run has another name; the last word is what makes it release 0.
_LAY_OUT = r"""
set -eu
umask 022
mkdir -p -- shared
if [ -d releases/0 ] && ! [ -L releases/0 ] && [ -e releases/0/.deploynaut-release ]; then exit 0; fi
part="releases/.0.part"
rm -rf -- "$part" releases/0
mkdir -m 0755 -- "$part"
cat >"$part/$1"
echo 0 >"$part/.deploynaut-release"
mv -T -- "$part" releases/0
echo made
"""

_LINK = r"""
set -eu
[ -e current ] || [ -L current ] || { ln -s -- releases/0 current; echo linked; }
"""


def set_up_target(host: TargetHost, *, recipe: Recipe, log: Callable[[str], None]) -> dict[str, Any]:
    """Make `releases/`, `shared/` and release 0; `current` leads to it when nothing is there. It may be repeated.

    Facts: `release` (the live one), `free_bytes`. Raises StepFailed when `current` is somebody else's: none is adopted.
    """
    with in_words(f"{host.name} could not be set up"):
        connection = host.connection
        survey(connection)  # makes releases/ and our own directory
        if lay_out_screen_alone(connection, page=recipe.maintenance.path):
            log(f"{host.name}: release 0, the screen alone, is laid out")
        if connection.run(script(_LINK), timeout=TIMEOUT).output:
            log(f"{host.name}: current leads to release 0")
        seen = survey(connection)
        if objection := _foreign(seen, connection):
            raise StepFailed(objection)
    log(f"{host.name}: release {seen.live} is live")
    return {"release": int(seen.live or 0), "free_bytes": seen.free_bytes}


def lay_out_screen_alone(connection: Connection, *, page: str) -> bool:
    """Release 0, a screen in the file `page`, when it is not there yet; says whether it was made."""
    made = connection.run(script(_LAY_OUT, page), timeout=TIMEOUT, stdin=PAGE.encode())
    return bool(made.output)


def _foreign(seen: Survey, connection: Connection) -> str:
    where = f"{connection.base}/current on {connection.name}"
    if seen.current is Is.SOMETHING_ELSE:
        return (
            f"{where} is a real directory or file. Deploynaut replaces nothing that it has not made: "
            "move it away, or move it to releases/ and make `current` a link to it, then set the target up again."
        )
    if seen.live is None:
        return (
            f"{where} leads to {seen.leads_to or 'nothing'}, which is no release. Remove the link, then set up again."
        )
    return ""
