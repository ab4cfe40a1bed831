"""One file a kind of site; packages from outside add theirs by an entry point in the group `deploynaut.recipes`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from deploynaut.engine.recipes import plain
from deploynaut.engine.recipes.base import (
    DatabaseAt,
    DatabaseKind,
    FlagFile,
    PathKind,
    Recipe,
    RecipeError,
    SharedPath,
    Words,
)

__all__ = [
    "RECIPES",
    "DatabaseAt",
    "DatabaseKind",
    "FlagFile",
    "PathKind",
    "Recipe",
    "RecipeError",
    "SharedPath",
    "Words",
    "known",
    "make",
]

Maker = Callable[[Mapping[str, object]], Recipe]
GROUP = "deploynaut.recipes"

RECIPES: dict[str, Maker] = {plain.NAME: plain.make}
"""The recipes of the house, by name."""


def make(name: str, options: Mapping[str, object]) -> Recipe:
    """The recipe `name` with an environment's options. Raises RecipeError, which names the option."""
    makers = known()
    if name not in makers:
        raise RecipeError(f"There is no recipe {name[:80]!r}. Choose one of: {', '.join(sorted(makers))}.")
    return makers[name](options)


@functools.cache
def known() -> Mapping[str, Maker]:
    """Ours and those of installed packages. Raises RecipeError when a package takes a name that is taken."""
    found = dict(RECIPES)
    for entry in entry_points(group=GROUP):
        if entry.name in found:
            raise RecipeError(f"The package of {entry.value} brings a recipe {entry.name!r}, which is there already.")
        found[entry.name] = _load(entry)
    return found


def _load(entry: EntryPoint) -> Maker:
    try:
        maker: Maker = entry.load()
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"The recipe {entry.name!r} of an installed package cannot be loaded: {error}.") from error
    return maker
