"""Recipes: options as people type them become values, or a refusal that names the option."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from deploynaut.engine import recipes
from deploynaut.engine.databases import SqliteDatabase
from deploynaut.engine.recipes import (
    DatabaseAt,
    DatabaseKind,
    FlagFile,
    PathKind,
    Recipe,
    RecipeError,
    SharedPath,
    make,
)


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    recipes.known.cache_clear()
    yield
    recipes.known.cache_clear()


def test_a_plain_site_needs_no_option() -> None:
    recipe = make("plain", {})
    assert recipe == Recipe(name="plain", maintenance=FlagFile("maintenance.html"))
    assert recipe.migrate == () and recipe.database is None


def test_all_options_of_a_plain_site_arrive() -> None:
    recipe = make(
        "plain",
        {
            "docroot": "public",
            "shared": ["content.sqlite3", "public/assets/"],
            "build": [["npm", "ci"], ["npm", "run", "build"]],
            "migrate": ["python3", "migrate.py"],
            "pause": ["systemctl", "--user", "stop", "queue"],
            "resume": ["systemctl", "--user", "start", "queue"],
            "reload": ["touch", "reload"],
            "database": {"kind": "sqlite", "path": "shared/content.sqlite3"},
            "release_url": "/.well-known/deploynaut-release",
        },
    )
    assert recipe.shared == (
        SharedPath("content.sqlite3", PathKind.FILE),
        SharedPath("public/assets", PathKind.DIRECTORY),
    )
    assert recipe.build == (("npm", "ci"), ("npm", "run", "build")) and recipe.migrate == ("python3", "migrate.py")
    assert recipe.database == DatabaseAt(DatabaseKind.SQLITE, "shared/content.sqlite3")
    assert recipe.database.adapter() == SqliteDatabase(path="shared/content.sqlite3")
    assert recipe.release_url == "/.well-known/deploynaut-release"


def test_a_recipe_is_a_value() -> None:
    recipe = make("plain", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.name = "other"  # type: ignore[misc]
    assert hash(recipe) == hash(make("plain", {}))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"migrate": "python3 migrate.py"}, "migrate"),
        ({"migrate": ["python3", 7]}, "migrate"),
        ({"migrate": ["-c", "x"]}, "migrate"),
        ({"migrate": [""]}, "migrate"),
        ({"migrate": ["a\0b"]}, "migrate"),
        ({"migrate": ["a\nb"]}, "migrate"),
        ({"migrate": ["x" * 10_000]}, "migrate"),
        ({"build": ["npm", "ci"]}, "build"),
        ({"build": [[]]}, "build"),
        ({"docroot": "/var/www"}, "docroot"),
        ({"docroot": "../x"}, "docroot"),
        ({"docroot": "a//b"}, "docroot"),
        ({"docroot": 3}, "docroot"),
        ({"shared": ["a/../../b"]}, "shared"),
        ({"shared": "content"}, "shared"),
        ({"shared": ["/"]}, "shared"),
        ({"shared": [".git"]}, "shared"),
        ({"shared": [".deploynaut-release"]}, "shared"),
        ({"shared": ["content/", "content/files/"]}, "shared"),
        ({"shared": ["content", "content/"]}, "shared"),
        ({"database": "sqlite"}, "database"),
        ({"database": {"kind": "oracle", "path": "x"}}, "database.kind"),
        ({"database": {"kind": ["sqlite"], "path": "x"}}, "database.kind"),
        ({"database": {"kind": "sqlite"}}, "database"),
        ({"database": {"kind": "sqlite", "path": "../x"}}, "database.path"),
        ({"database": {"kind": "sqlite", "path": ""}}, "database.path"),
        ({"release_url": "http://other.example/"}, "release_url"),
        ({"release_url": "//other.example/"}, "release_url"),
        ({"release_url": "/a b"}, "release_url"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, object], named: str) -> None:
    with pytest.raises(RecipeError, match=f"option '{named}'"):
        make("plain", options)


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="plain"):
        make("fancy", {})


def make_fancy(options: object) -> Recipe:
    return Recipe(name="fancy")


def test_an_installed_package_adds_a_recipe(monkeypatch: pytest.MonkeyPatch, fresh_registry: None) -> None:
    _install(monkeypatch, EntryPoint("fancy", f"{__name__}:make_fancy", recipes.GROUP))
    monkeypatch.setattr(EntryPoint, "load", lambda self: make_fancy)
    assert make("fancy", {}).name == "fancy"
    assert make("plain", {}).name == "plain"


def test_an_installed_package_cannot_replace_a_recipe(monkeypatch: pytest.MonkeyPatch, fresh_registry: None) -> None:
    _install(monkeypatch, EntryPoint("plain", "evil:make", recipes.GROUP))
    with pytest.raises(RecipeError, match="evil"):
        make("plain", {})


def test_a_package_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch, fresh_registry: None) -> None:
    _install(monkeypatch, EntryPoint("fancy", "no_such_module_here:make", recipes.GROUP))
    with pytest.raises(RecipeError, match="no_such_module_here"):
        make("fancy", {})


def _install(monkeypatch: pytest.MonkeyPatch, entry: EntryPoint) -> None:
    monkeypatch.setattr(recipes, "entry_points", lambda group: EntryPoints([entry]))
