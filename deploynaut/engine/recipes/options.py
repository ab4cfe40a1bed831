"""Reads a recipe's options: plain values (JSON) as a person typed them. Every refusal names the option."""

from __future__ import annotations

from collections.abc import Mapping

from deploynaut.engine.recipes.base import DatabaseAt, DatabaseKind, PathKind, RecipeError, SharedPath, Words

LONGEST = 4096
OURS = (".deploynaut", ".deploynaut-release", ".git")


class Options:
    """The options of one recipe. Each is taken once; `end` refuses what nobody took."""

    def __init__(self, recipe: str, values: Mapping[str, object]) -> None:
        self._recipe = recipe
        self._values = dict(values)

    def end(self) -> None:
        """Raises RecipeError for an option that this recipe does not know."""
        if self._values:
            raise self._refused(min(map(str, self._values)), "there is no such option here")

    def words(self, name: str) -> Words:
        """A program and its arguments: a list of words."""
        return self._words(name, self._values.pop(name, []))

    def commands(self, name: str) -> tuple[Words, ...]:
        """Several programs: a list of lists of words."""
        return tuple(self._command(name, value) for value in self._list(name, self._values.pop(name, [])))

    def path(self, name: str, *, otherwise: str = "") -> str:
        """A path below something of ours; empty when nothing was given."""
        given = self._values.pop(name, otherwise)
        return self._path(name, given) if given != "" else ""

    def shared(self, name: str) -> tuple[SharedPath, ...]:
        """Paths; a directory ends in `/`. None of them inside another."""
        found = tuple(self._shared(name, value) for value in self._list(name, self._values.pop(name, [])))
        paths = sorted(each.path for each in found)
        for outer in paths:
            for inner in paths:
                if inner.startswith(f"{outer}/") or paths.count(outer) > 1:
                    raise self._refused(name, f"{inner!r} is inside {outer!r}, or named twice; name the outer one only")
        return found

    def web_path(self, name: str) -> str:
        """The path of a web address, such as `/.well-known/x`; empty when nothing was given."""
        given = self._values.pop(name, "")
        text = self._text(name, given) if given != "" else ""
        if text and (
            not text.startswith("/") or text.startswith("//") or not text.isascii() or set(text) & set(" \\#")
        ):
            raise self._refused(name, "write a path such as /.well-known/deploynaut-release")
        return text

    def database(self, name: str) -> DatabaseAt | None:
        """`{"kind": "sqlite", "path": "shared/content.sqlite3"}`; None when nothing was given."""
        given = self._values.pop(name, None)
        if given is None:
            return None
        if not isinstance(given, Mapping) or set(given) != {"kind", "path"}:
            raise self._refused(name, 'write {"kind": "sqlite", "path": "shared/content.sqlite3"}')
        if given["kind"] not in list(DatabaseKind):
            raise self._refused(f"{name}.kind", f"choose one of: {', '.join(DatabaseKind)}")
        return DatabaseAt(kind=DatabaseKind(given["kind"]), path=self._path(f"{name}.path", given["path"]))

    def _shared(self, name: str, value: object) -> SharedPath:
        text = self._text(name, value)
        kind = PathKind.DIRECTORY if text.endswith("/") else PathKind.FILE
        return SharedPath(path=self._path(name, text.removesuffix("/")), kind=kind)

    def _command(self, name: str, value: object) -> Words:
        words = self._words(name, value)
        if not words:
            raise self._refused(name, "one of its commands has no words")
        return words

    def _words(self, name: str, value: object) -> Words:
        words = tuple(self._text(name, word) for word in self._list(name, value))
        if words and (not words[0] or words[0].startswith("-")):
            raise self._refused(name, "the first word must be a program")
        return words

    def _path(self, name: str, value: object) -> str:
        text = self._text(name, value)
        parts = text.split("/")
        if set(parts) & {"", ".", ".."}:
            raise self._refused(name, f"{text!r} must be a path below, such as content/files, without . and ..")
        if parts[0] in OURS:
            raise self._refused(name, f"{parts[0]} belongs to Deploynaut or git; choose another path")
        return text

    def _list(self, name: str, value: object) -> list[object]:
        if not isinstance(value, list | tuple):
            raise self._refused(name, 'write a list of words, such as ["python3", "migrate.py"]')
        return list(value)

    def _text(self, name: str, value: object) -> str:
        if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
            raise self._refused(name, f"write words of printable characters, at most {LONGEST} of them")
        return value

    def _refused(self, name: str, why: str) -> RecipeError:
        return RecipeError(f"Recipe {self._recipe}, option {name[:80]!r}: {why}.")
