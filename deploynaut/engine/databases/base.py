"""What every kind of database promises, and what is known about one at a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from deploynaut.engine.connections.base import Connection

Log = Callable[[str], None]
Guard = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The objects of a database. `tables`: name → rows; -1 where they could not be counted (virtual tables)."""

    tables: Mapping[str, int] = field(default_factory=dict)
    views: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Inventory:
        """The inventory that `as_json` gave."""
        return cls(
            tables={str(name): int(rows) for name, rows in value["tables"].items()},
            views=tuple(map(str, value["views"])),
            triggers=tuple(map(str, value["triggers"])),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a row or a header."""
        return {"tables": dict(self.tables), "views": list(self.views), "triggers": list(self.triggers)}

    @property
    def rows(self) -> int:
        """All rows that could be counted."""
        return sum(rows for rows in self.tables.values() if rows > 0)

    def text(self) -> str:
        """Some lines for a log: the sums, then a line a table."""
        sums = f"{len(self.tables)} tables, {self.rows} rows, {len(self.views)} views, {len(self.triggers)} triggers"
        lines = [f"  {name}: {'not counted' if rows < 0 else rows}" for name, rows in sorted(self.tables.items())]
        return "\n".join((sums, *lines))

    def differences(self, other: Inventory) -> list[str]:
        """What is different in `other`, in words; nothing when both hold the same."""
        found = [
            f"table {name}: {self.tables.get(name, 'missing')} here, {other.tables.get(name, 'missing')} there"
            for name in sorted({*self.tables, *other.tables})
            if self.tables.get(name) != other.tables.get(name)
        ]
        for kind, here, there in (("view", self.views, other.views), ("trigger", self.triggers, other.triggers)):
            found += [f"{kind} {name}: on one side only" for name in sorted({*here} ^ {*there})]
        return found


class Database(Protocol):
    """An adapter for one database of a site. Its work is done on the target, through a connection.

    An inventory of None means: the database does not exist. That is a state like any other; it is saved and restored.
    """

    def inventory(self, connection: Connection) -> Inventory | None:
        """What is in it now: read only, and without keeping a working site from writing, so table by table.

        Raises DatabaseFailed with a text for people.
        """

    def dump(self, connection: Connection, *, to: BinaryIO, log: Log, guard: Guard) -> Inventory | None:
        """Write one consistent moment to `to`. Raises DumpIncomplete or DatabaseFailed; then `to` is of no use."""

    def restore(
        self, connection: Connection, *, source: BinaryIO, inventory: Inventory | None, log: Log, guard: Guard
    ) -> None:
        """Put back what `dump` wrote. Whenever it is killed, the data are complete old or complete new.

        `source` is read whole and compared with `inventory` before the live data are touched: SnapshotDamaged.
        """


class DatabaseFailed(Exception):
    """A database could not be read, saved or restored. The text is for people."""


class DumpIncomplete(DatabaseFailed):
    """A dump without its end, or with another content than its maker counted. It is no way back."""


class SnapshotDamaged(DatabaseFailed):
    """A snapshot is not what was stored. Nothing was touched."""


def doubts(now: Inventory | None, *, size: int, before: Inventory | None, size_before: int) -> list[str]:
    """Why a good-looking dump may be of the wrong or an emptied database, compared with the last one. Usually empty."""
    if before is None:
        return []
    if now is None:
        return ["the database does not exist, though the last snapshot had one"]
    found = []
    if before.tables and not now.tables:
        found.append(f"the database has no tables, though the last snapshot had {len(before.tables)}")
    elif before.tables and not {*before.tables} & {*now.tables}:
        found.append("not one table of the last snapshot is there: is this another database?")
    if size * 2 < size_before:
        found.append(f"it is less than half as large as the last one ({size} bytes, then {size_before})")
    return found
