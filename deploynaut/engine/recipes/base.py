"""What a recipe is made of: values only. Steps turn them into commands; nothing here acts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deploynaut.engine.databases import Database, SqliteDatabase

Words = tuple[str, ...]
"""A program and its arguments; empty: nothing to run."""


class PathKind(StrEnum):
    """What a shared path is, for the case that it is not there yet."""

    FILE = "file"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class SharedPath:
    """A path that outlives releases: `shared/<path>`, linked into each release.

    What a package holds there seeds an empty `shared/` once; afterwards the link wins.
    """

    path: str
    kind: PathKind


@dataclass(frozen=True, slots=True)
class FlagFile:
    """A screen by a file: while `path` (below the base) exists, the web server answers 503 with its text."""

    path: str = "maintenance.html"


class DatabaseKind(StrEnum):
    """The databases that there is an adapter for."""

    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class DatabaseAt:
    """The site's database. `path`: of the file, below the base, such as `shared/content.sqlite3`."""

    kind: DatabaseKind
    path: str

    def adapter(self) -> Database:
        """What saves it and puts it back."""
        return SqliteDatabase(path=self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one kind of site is built, put in place and looked after.

    `docroot`: what the web server serves, below the release. `build`: run in the package, here, in this order.
    `migrate`: run once, in the new release's directory. `pause`, `resume`: cron and queues of the site. `reload`: after
    the switch, on each web host. `release_url`: path that answers the served release's `.deploynaut-release`; empty:
    the link is read back on the target instead.
    """

    name: str
    docroot: str = ""
    shared: tuple[SharedPath, ...] = ()
    build: tuple[Words, ...] = ()
    migrate: Words = ()
    pause: Words = ()
    resume: Words = ()
    reload: Words = ()
    maintenance: FlagFile = FlagFile()
    database: DatabaseAt | None = None
    release_url: str = ""


class RecipeError(ValueError):
    """A recipe that does not exist, or an option it cannot use; the text names the option and what to write."""
