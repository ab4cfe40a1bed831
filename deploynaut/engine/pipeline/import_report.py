"""What became of each key of a template of the original."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from deploynaut.engine.pipeline.reading import Document


class Fate(StrEnum):
    """Translated; dropped, for a reason; nothing like it here; translated, and a person should look at it."""

    TRANSLATED = "translated"
    LOOK = "look at it"
    DROPPED = "dropped"
    NOTHING_LIKE_IT = "no equivalent"


@dataclass(frozen=True, slots=True)
class Line:
    """One key: `place` is `file:line:column: path`."""

    fate: Fate
    place: str
    words: str

    def __str__(self) -> str:
        return f"{self.place}: {self.fate}: {self.words}"


@dataclass(slots=True)
class Report:
    """Collects the lines."""

    document: Document
    lines: list[Line] = field(default_factory=list)

    def add(self, fate: Fate, path: tuple[Any, ...], words: str) -> None:
        """Say what became of the key at `path`."""
        self.lines.append(Line(fate, self.document.place(*path), words))

    def in_order(self) -> tuple[Line, ...]:
        """Each once, as the template has them."""

        def place(line: Line) -> tuple[int, int]:
            found = re.search(r":([0-9]+):([0-9]+): ", f"{line.place}: ")
            return (int(found[1]), int(found[2])) if found else (0, 0)

        return tuple(sorted(dict.fromkeys(self.lines), key=place))
