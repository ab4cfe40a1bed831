"""Two texts, line by line: what came, what went, and a few lines around."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

AROUND = 3
MOST = 2_000
"""Lines that are compared; longer ones would cost the page seconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `old`, `new`: its number in each text, 0 where it is not there; `gap`: lines left out here."""

    kind: Literal["same", "added", "gone", "gap"]
    text: str
    old: int = 0
    new: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs."""

    rows: tuple[Row, ...]
    added: int
    gone: int
    too_long: bool = False

    @property
    def same(self) -> bool:
        """Nothing differs."""
        return not self.rows and not self.too_long


def compare(old: str, new: str) -> Comparison:
    """The changes from `old` to `new`."""
    if old == new:
        return Comparison((), 0, 0)
    before, after = old.split("\n") if old else [], new.split("\n") if new else []
    if max(len(before), len(after)) > MOST:
        return Comparison((), 0, 0, too_long=True)
    rows = tuple(_rows(before, after))
    return Comparison(
        rows, added=sum(row.kind == "added" for row in rows), gone=sum(row.kind == "gone" for row in rows)
    )


def _rows(before: list[str], after: list[str]) -> Iterator[Row]:
    last = 0
    for group in SequenceMatcher(None, before, after).get_grouped_opcodes(AROUND):
        if group[0][1] > last:
            yield _gap(group[0][1] - last)
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (Row("same", line, i1 + n + 1, j1 + n + 1) for n, line in enumerate(before[i1:i2]))
                continue
            yield from (Row("gone", line, old=i1 + n + 1) for n, line in enumerate(before[i1:i2]))
            yield from (Row("added", line, new=j1 + n + 1) for n, line in enumerate(after[j1:j2]))
        last = group[-1][2]
    if len(before) > last:
        yield _gap(len(before) - last)


def _gap(lines: int) -> Row:
    return Row("gap", f"{lines} line{'' if lines == 1 else 's'} as before")
