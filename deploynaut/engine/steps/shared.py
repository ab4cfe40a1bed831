"""Shared paths: seeded once from the package, linked into every release."""

from __future__ import annotations

import posixpath

from deploynaut.engine.packages import Package, seed
from deploynaut.engine.recipes import PathKind, Recipe, SharedPath
from deploynaut.engine.shell import command, script
from deploynaut.engine.steps.base import StepContext, TargetHost

TIMEOUT = 300.0

_MAKE = r"""
set -eu
umask 022
if [ -e "$1" ] || [ -L "$1" ]; then exit 0; fi
mkdir -p -- "$(dirname -- "$1")"
if [ "$2" = directory ]; then mkdir -- "$1"; else : >"$1"; fi
echo made
"""

_LINKS = r"""
set -eu
cd -- "releases/$1" 2>/dev/null || exit 0
find . -type l -lname '*/shared/*' -printf '%P\0%l\0'
"""


def links(recipe: Recipe) -> dict[str, str]:
    """For each shared path of the recipe, where its link in a release leads."""
    return {shared.path: _link(shared.path) for shared in recipe.shared}


def links_there(host: TargetHost, number: int) -> dict[str, str]:
    """The shared links that a release on the host has; the recipe may have had other shared paths when it was made."""
    said = host.connection.run(script(_LINKS, str(number)), timeout=TIMEOUT).output
    fields = said.decode("utf-8", "surrogateescape").split("\0")
    pairs = zip(fields[0:-1:2], fields[1:-1:2], strict=True)
    return {path: target for path, target in pairs if target == _link(path)}


def missing(context: StepContext, host: TargetHost) -> list[str]:
    """The shared paths that are not there yet. Looks, and makes none."""
    asked = ((shared.path, command("test", "-e", f"shared/{shared.path}")) for shared in context.recipe.shared)
    return [path for path, test in asked if not host.connection.run(test, timeout=TIMEOUT, check=False).ok]


def fill(context: StepContext, host: TargetHost, package: Package) -> None:
    """Every shared path is there on the host: seeded from the package when it is empty, else as it was."""
    for shared in context.recipe.shared:
        place = f"shared/{shared.path}"
        if seed(host.connection, package=package, path=shared.path, to=place):
            context.log(f"{host.name}: {place} was empty and is filled from the package")
        else:
            _make(context, host, shared, place)
        if shared.path in package.manifest.states:
            context.log(f"{host.name}: the package holds {shared.path} too; {place} wins")


def _make(context: StepContext, host: TargetHost, shared: SharedPath, place: str) -> None:
    kind = "directory" if shared.kind is PathKind.DIRECTORY else "file"
    if host.connection.run(script(_MAKE, place, kind), timeout=TIMEOUT).output:
        context.log(f"{host.name}: {place} was not there; an empty {kind} was made")


def _link(path: str) -> str:
    return posixpath.join("../" * (path.count("/") + 2), "shared", path)
