"""Reading a pipeline file: YAML into plain values, with the place of everything in the file. Bounded, no tricks.

The values are built from the parser's events in one pass: no constructor is asked what a tag means, nothing that an
anchor would multiply is ever made, and `no`, dates and `1_000` are the text that somebody wrote (YAML 1.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAXIMUM_BYTES = 64 * 1024
MAXIMUM_DEPTH = 20
MAXIMUM_PARTS = 5_000
MAXIMUM_DIGITS = 18

_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# What nobody types: control characters, bidirectional marks that make a line look like another, half characters.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff]"
)


class SpecError(ValueError):
    """A pipeline file that cannot be used; `problems` are lines `file:line:column: what is wrong`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """A file's keys as plain values. `places`: line and column of each key and list item, by its path."""

    name: str
    value: dict[str, Any]
    places: Mapping[tuple[Any, ...], tuple[int, int]]

    def place(self, *location: Any) -> str:
        """`file:line:column: path` of a location, as deep as the file goes."""
        path = location
        while path and path not in self.places:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        words = ".".join(str(part) for part in location)
        return f"{self.name}:{line}:{column}: {_shown(words)}".removesuffix(": ")


def load(text: str, name: str) -> Document:
    """The file's keys. Raises SpecError; `name` is what its lines begin with."""
    text = text.removeprefix("\ufeff")
    _refuse_text(text, name)
    builder = _Builder(name)
    try:
        for number, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
            if number > MAXIMUM_PARTS:
                raise builder.refusal(event, f"more than {MAXIMUM_PARTS} keys and values")
            builder.take(event)
    except SpecError:
        raise
    except (YAMLError, RecursionError, ValueError) as error:
        raise SpecError([_not_yaml(error, name)]) from None
    return builder.document()


def clean(text: str) -> str:
    """The text without the characters that no pipeline file may hold, its lines ended in one way."""
    return _HARMFUL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _refuse_text(text: str, name: str) -> None:
    if found := _HARMFUL.search(text):
        line, column = text.count("\n", 0, found.start()) + 1, found.start() - text.rfind("\n", 0, found.start())
        raise SpecError([f"{name}:{line}:{column}: {_named(found[0])}"])
    if len(text.encode()) > MAXIMUM_BYTES:
        raise SpecError([f"{name}:1:1: the file is larger than {MAXIMUM_BYTES // 1024} KB"])


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "·" for letter in text[:200])


def _named(letter: str) -> str:
    return f"a character that nobody types is here (U+{ord(letter):04X})"


def _not_yaml(error: Exception, name: str) -> str:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = getattr(error, "problem", None) or error
    return f"{name}:{line}:{column}: this is not YAML: {_shown((str(problem).splitlines() or [''])[0])}"


@dataclass(slots=True)
class _Level:
    """A list or the keys being read. `key`: the one whose value comes next."""

    path: tuple[Any, ...]
    made: Any
    key: str | None = None


@dataclass(slots=True)
class _Builder:
    """Makes values of events."""

    name: str
    root: Any = None
    documents: int = 0
    places: dict[tuple[Any, ...], tuple[int, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    levels: list[_Level] = field(default_factory=list)

    def refusal(self, event: Any, problem: str) -> SpecError:
        """What is wrong at an event."""
        mark = event.start_mark
        return SpecError([f"{self.name}:{mark.line + 1}:{mark.column + 1}: {problem}"])

    def take(self, event: Any) -> None:
        """One event. Raises SpecError for what no pipeline needs."""
        if problem := self._trick(event):
            raise self.refusal(event, problem)
        if isinstance(event, ScalarEvent):
            self._scalar(event)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            made: Any = {} if isinstance(event, MappingStartEvent) else []
            self.levels.append(_Level(self._add(event, made), made))
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self.levels.pop()

    def document(self) -> Document:
        """What has been read. Raises SpecError."""
        if self.root is not None and not isinstance(self.root, dict):
            self.problems.append(f"{self.name}:1:1: should be a list of keys such as `steps:`")
        if self.problems:
            raise SpecError(self.problems)
        return Document(self.name, self.root or {}, self.places)

    def _trick(self, event: Any) -> str:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            return "anchors and aliases are not used here"
        if isinstance(event, DocumentStartEvent):
            return self._second_document(event)
        if getattr(event, "tag", None):
            return "tags such as `!!python/object` are not used here"
        if len(self.levels) > MAXIMUM_DEPTH:
            return f"lists and keys are nested deeper than {MAXIMUM_DEPTH} levels"
        return ""

    def _second_document(self, event: Any) -> str:
        self.documents += 1
        if self.documents > 1:
            return "`---` begins a second file; a pipeline is one"
        return "directives such as `%YAML` and `%TAG` are not used here" if event.version or event.tags else ""

    def _scalar(self, event: Any) -> None:
        if found := _HARMFUL.search(event.value):
            raise self.refusal(event, _named(found[0]))
        level = self.levels[-1] if self.levels else None
        if level is not None and isinstance(level.made, dict) and level.key is None:
            self._key(event, level)
        else:
            self._add(event, self._resolved(event))

    def _key(self, event: Any, level: _Level) -> None:
        path, here = (*level.path, event.value), (event.start_mark.line + 1, event.start_mark.column + 1)
        level.key = event.value
        if path in self.places:
            first = self.places[path][0]
            place = Document(self.name, {}, {path: here}).place(*path)
            self.problems.append(f"{place}: this key is there twice; the first is in line {first}")
        self.places[path] = here

    def _add(self, event: Any, made: Any) -> tuple[Any, ...]:
        """Put a value where it belongs; answers its path."""
        if not self.levels:
            self.root = made
            return ()
        level = self.levels[-1]
        if isinstance(level.made, list):
            path = (*level.path, len(level.made))
            self.places[path] = (event.start_mark.line + 1, event.start_mark.column + 1)
            level.made.append(made)
            return path
        if level.key is None:
            raise self.refusal(event, "a key is a word, not a list and not keys")
        path, level.made[level.key], level.key = (*level.path, level.key), made, None
        return path

    def _resolved(self, event: Any) -> Any:
        text: str = event.value
        if event.style is not None:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            if len(text) > MAXIMUM_DIGITS:
                raise self.refusal(event, "this number has too many digits")
            return int(text)
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) if _FLOAT.fullmatch(text) else text
