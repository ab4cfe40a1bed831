"""The form of a SQLite dump: a header line, the file's bytes, an end mark. Checked while it streams by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploynaut.engine.databases.base import DatabaseFailed, Guard, Inventory
from deploynaut.engine.databases.sqlite_on_target import BEGIN, END

LONGEST_HEADER = 16 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a dump. `line` is its JSON as it came; `inventory` is None when there was no database."""

    size: int
    sha256: str
    inventory: Inventory | None
    line: bytes

    @classmethod
    def parse(cls, line: bytes) -> Header:
        """Raises ValueError for a line that is none of ours."""
        if not line.startswith(BEGIN):
            raise ValueError("not a SQLite dump of Deploynaut")
        value: dict[str, Any] = json.loads(line[len(BEGIN) :])
        inventory = Inventory.from_json(value["inventory"]) if value["exists"] else None
        return cls(int(value["size"]), str(value["sha256"]), inventory, line[len(BEGIN) :])

    def text(self) -> str:
        """For a log."""
        return f"{self.size} bytes, {self.inventory.text()}" if self.inventory else "there is no such file"


class Frame:
    """Takes a dump piece by piece, passes on the whole of it or its parts; `finish` tells whether all was there.

    `begun` is told the header before the first byte of the body. `guard` is asked at each piece.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        whole: Callable[[bytes], object] | None = None,
        begun: Callable[[Header], object] | None = None,
        body: Callable[[bytes], object] | None = None,
    ) -> None:
        self._guard, self._whole, self._begun, self._body = guard, whole, begun, body
        self._header: Header | None = None
        self._line = bytearray()
        self._digest = hashlib.sha256()
        self._left = 0
        self._tail = bytearray()
        self._foreign = False

    def write(self, data: bytes) -> int:
        """Takes the next piece, of any size."""
        self._guard()
        if self._whole:
            self._whole(data)
        rest = bytes(data) if self._header else self._begin(data)
        self._take(rest[: self._left], rest[self._left :])
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def finish(self, error: type[DatabaseFailed]) -> Header:
        """The header, when everything it announces has come. Raises `error` when not."""
        if self._header is None or self._foreign:
            raise error("This is not a SQLite snapshot of Deploynaut: its first line is another. Nothing was touched.")
        if self._left:
            done = self._header.size - self._left
            raise error(f"The snapshot breaks off after {done} of {self._header.size} bytes. Nothing was touched.")
        if self._tail != END:
            raise error("The snapshot has no end mark, so it is not complete. Nothing was touched.")
        if self._digest.hexdigest() != self._header.sha256:
            raise error("The checksum of the snapshot's content differs. Nothing was touched.")
        return self._header

    def _begin(self, data: bytes) -> bytes:
        self._line += b"" if self._foreign else data
        line, newline, rest = bytes(self._line).partition(b"\n")
        self._foreign = self._foreign or len(line) > LONGEST_HEADER
        if self._foreign or not newline:
            return b""
        try:
            self._header = Header.parse(line)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._foreign = True
            return b""
        self._left = self._header.size
        if self._begun:
            self._begun(self._header)
        return rest

    def _take(self, body: bytes, tail: bytes) -> None:
        self._left -= len(body)
        self._digest.update(body)
        if body and self._body:
            self._body(body)
        if len(self._tail) <= len(END):
            self._tail += tail
