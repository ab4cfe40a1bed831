"""What the button "Check connection" asks of a host, told line by line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploynaut.engine.connections.base import ConnectionFailed, Fenced
from deploynaut.engine.recipes import Recipe
from deploynaut.engine.shell import script
from deploynaut.engine.steps.base import TargetHost

TIMEOUT = 60.0
PROGRAMS = (
    "tar",
    "find",
    "xargs",
    "sha256sum",
    "readlink",
    "stat",
    "awk",
    "sort",
    "uniq",
    "head",
    "cp",
    "mv",
    "mktemp",
)
LEAST_BYTES = 200 * 1024 * 1024
LEAST_INODES = 5_000

_ASK = r"""
export LC_ALL=C
echo "login $(id -un 2>/dev/null || id -u)"
echo "time $(date -u '+%Y-%m-%d %H:%M:%S')"
probe=".deploynaut-check.$$"
if (: >"$probe") 2>/dev/null; then rm -f -- "$probe"; echo "writable yes"; else echo "writable no"; fi
echo "room $(stat -f -c '%a %S %d %c' . 2>/dev/null)"
if [ -L current ]; then echo "current link $(readlink -- current)"
elif [ -e current ]; then echo "current other"
else echo "current none"
fi
if [ -d releases ] && [ -d shared ]; then echo "ready yes"; else echo "ready no"; fi
if [ -d releases ] && [ "$(stat -c %d releases)" != "$(stat -c %d .)" ]; then echo "split yes"; else echo "split no"; fi
for program; do command -v "$program" >/dev/null 2>&1 || echo "missing $program"; done
if command -v python3 >/dev/null 2>&1; then
  ask='import sqlite3, sys; print(sys.version.split()[0], sqlite3.sqlite_version)'
  echo "python $(python3 -c "$ask" 2>&1 | tail -n 1)"
fi
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was asked, and the truth about it."""

    ok: bool
    text: str


def check_connection(host: TargetHost, *, recipe: Recipe, log: Callable[[str], None]) -> list[Line]:
    """Ask the host everything at once; each line goes to the log. What fails is a line, not an error.

    Fenced and Stopped pass through.
    """
    lines = _lines(host, recipe)
    for line in lines:
        log(f"{'ok' if line.ok else 'NOT OK'}: {line.text}")
    return lines


def _lines(host: TargetHost, recipe: Recipe) -> list[Line]:
    try:
        said = host.connection.run(script(_ASK, *PROGRAMS), timeout=TIMEOUT).text
    except Fenced:
        raise
    except ConnectionFailed as error:
        return [Line(False, f"{host.name} cannot be used: {error}")]
    found = [line.partition(" ")[::2] for line in said.splitlines()]
    facts = dict(found)
    missing = [program for word, program in found if word == "missing"]
    return [
        Line(True, f"{host.name} answers; logged in as {facts.get('login', '?')}"),
        _writable(host, facts),
        *_room(facts.get("room", "")),
        _programs(host, missing),
        *_python(host, recipe, facts.get("python", "")),
        *_places(host, facts),
        Line(True, f"its clock says {facts.get('time', '?')} UTC"),
    ]


def _writable(host: TargetHost, facts: dict[str, str]) -> Line:
    base = host.connection.base
    if facts.get("writable") == "yes":
        return Line(True, f"{base} can be written to")
    return Line(False, f"{base} cannot be written to by this user. Give it to the deploy user, or mend the disk.")


def _room(text: str) -> list[Line]:
    try:
        free, size, inodes, all_inodes = map(int, text.split())
    except ValueError:
        return [Line(False, "how much room there is could not be seen (stat -f)")]
    enough = free * size >= LEAST_BYTES
    lines = [Line(enough, f"{free * size // 1024**2} MB free" + ("" if enough else ": too little for a release"))]
    if all_inodes:
        enough = inodes >= LEAST_INODES
        lines.append(Line(enough, f"{inodes} inodes free" + ("" if enough else ": too few for a release")))
    return lines


def _programs(host: TargetHost, missing: list[str]) -> Line:
    if missing:
        return Line(False, f"missing on {host.name}: {', '.join(missing)}. Install them there.")
    return Line(True, "every program that is needed is there")


def _python(host: TargetHost, recipe: Recipe, python: str) -> list[Line]:
    if recipe.database is None or "db" not in host.roles:
        return []
    version, _, sqlite = python.partition(" ")
    if sqlite and version[:1].isdigit():
        return [Line(True, f"Python {version} with SQLite {sqlite}")]
    return [
        Line(
            False,
            f"python3 with its sqlite3 module is needed there to save the database. It said: {python or 'nothing'}",
        )
    ]


def _places(host: TargetHost, facts: dict[str, str]) -> list[Line]:
    kind, _, leads_to = facts.get("current", "none").partition(" ")
    if kind == "other":
        text = "`current` is a directory or file, not a link: Deploynaut will not replace it. Move it away."
        return [Line(False, text)]
    lines = [Line(True, f"current leads to {leads_to}" if kind == "link" else "there is no `current` yet")]
    if facts.get("split") == "yes":
        lines.append(Line(False, "releases/ is on another file system than the base path; put both on one."))
    if facts.get("ready") == "no":
        lines.append(Line(True, f"{host.name} is not set up yet: press Set up"))
    return lines
