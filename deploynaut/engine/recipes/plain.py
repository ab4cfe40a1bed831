"""A site of files, with a program of its own or none: a flag file is its screen, all else is an option."""

from __future__ import annotations

from collections.abc import Mapping

from deploynaut.engine.recipes.base import FlagFile, Recipe
from deploynaut.engine.recipes.options import Options

NAME = "plain"


def make(options: Mapping[str, object]) -> Recipe:
    """All options are optional: docroot, shared, build, migrate, pause, resume, reload, database, release_url."""
    given = Options(NAME, options)
    recipe = Recipe(
        name=NAME,
        docroot=given.path("docroot"),
        shared=given.shared("shared"),
        build=given.commands("build"),
        migrate=given.words("migrate"),
        pause=given.words("pause"),
        resume=given.words("resume"),
        reload=given.words("reload"),
        maintenance=FlagFile("maintenance.html"),
        database=given.database("database"),
        release_url=given.web_path("release_url"),
    )
    given.end()
    return recipe
