"""Sessions of a run at a site's database: proven gone before anything else is done there.

A database in a file has no sessions but the processes that have it open. One that has left its process group, as
daemons do, outlives the fence's own proof, so what a migration starts carries the run's name in its environment. A
database with a server of its own has its sessions named and ended by its adapter.
"""

from __future__ import annotations

from deploynaut.engine.connections.base import Connection, StillRunning
from deploynaut.engine.shell import script

NAME = "DEPLOYNAUT_RUN"
"""The variable in which everything that a migration starts carries its run."""

_TIMEOUT = 90.0
_LEFT = 75

_END = r"""
export LC_ALL=C
word=$1
left() {
  found=$(grep -lszxF -- "$word" /proc/[0-9]*/environ | sed 's,[^0-9],,g')
  [ -n "$found" ]
}
began=$(cut -d. -f1 /proc/uptime)
said=
while left; do
  up=$(cut -d. -f1 /proc/uptime)
  [ -n "$said" ] || said=$(echo $found)
  [ $((up - began)) -lt 60 ] || { echo $found; exit 75; }
  if [ $((up - began)) -lt 5 ]; then kill -s TERM $found 2>/dev/null; else kill -s KILL $found 2>/dev/null; fi
  kill -s CONT $found 2>/dev/null
  sleep 0.1 2>/dev/null || sleep 1
done
echo "$said"
"""


def named(connection: Connection, *, run: str) -> dict[str, str]:
    """What a migration's environment carries: the run, and the base path, which one environment alone has."""
    return {NAME: f"{run} {connection.base}"}


def end_sessions(connection: Connection, *, run: str) -> str:
    """End what a migration of this run has left behind outside its process group; the ids it had, or nothing.

    Raises StillRunning when some of it lives after 60 s.
    """
    word = f"{NAME}={named(connection, run=run)[NAME]}"
    done = connection.run(script(_END, word), timeout=_TIMEOUT, check=False)
    if done.status == _LEFT:
        text = f"Processes of this run live on {connection.name} after 60 s: {done.text.strip()}. End them by hand."
        raise StillRunning(text, host=connection.name)
    return done.text.strip()
