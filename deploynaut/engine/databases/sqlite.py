"""SQLite files on a target: saved by its backup API, put back by its backup API, never renamed over."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from deploynaut.engine.connections.base import Connection, Result
from deploynaut.engine.databases.base import DatabaseFailed, DumpIncomplete, Guard, Inventory, Log, SnapshotDamaged
from deploynaut.engine.databases.frame import Frame, Header
from deploynaut.engine.shell import command

PROGRAM = Path(__file__).with_name("sqlite_on_target.py").read_text("utf-8")
REFUSED = 65
NOT_FOUND = 127
CHUNK = 8 << 20


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """The file `path` below the environment's base, also when the site has it open and writes.

    `timeout`: seconds for one act on the target; `lock_wait`: seconds that a lock of the site is waited for.
    """

    path: str
    timeout: float = 3600
    lock_wait: float = 30

    def inventory(self, connection: Connection) -> Inventory | None:
        """What is in it now; None when there is no such file. Raises DatabaseFailed."""
        return _inventory(self._ask(connection, "inventory", self._live(connection), str(self.lock_wait)).text)

    def dump(self, connection: Connection, *, to: BinaryIO, log: Log, guard: Guard) -> Inventory | None:
        """One consistent moment, with its header and end mark. Nothing of it stays on the target."""
        frame = Frame(whole=to.write, guard=guard)
        words = ("dump", self._live(connection), self._work(connection, "copy"), str(self.lock_wait))
        self._ask(connection, *words, output_to=cast(BinaryIO, frame))
        header = frame.finish(DumpIncomplete)
        log(f"{self.path} on {connection.name}: {header.text()}")
        return header.inventory

    def restore(
        self, connection: Connection, *, source: BinaryIO, inventory: Inventory | None, log: Log, guard: Guard
    ) -> None:
        """Staged beside, verified there, then one SQLite transaction: killed at any moment it is all old or all new."""
        staging = _Staging(self._sender(connection))
        frame = Frame(guard=guard, begun=staging.begin, body=staging.write)
        while block := source.read(1 << 20):
            frame.write(block)
        header = frame.finish(SnapshotDamaged)
        if header.inventory != inventory:
            raise SnapshotDamaged("The snapshot holds other tables than its record says. Nothing was touched.")
        if header.inventory is not None:
            staging.end()
        guard()
        log(f"{self.path} on {connection.name} is put back: {header.text()}")
        self._put_back(connection, header, log)

    def _sender(self, connection: Connection) -> Callable[[bytes, int, int], object]:
        staged = self._work(connection, "restore")
        return lambda data, offset, size: self._ask(connection, "stage", staged, str(offset), str(size), stdin=data)

    def _put_back(self, connection: Connection, header: Header, log: Log) -> None:
        live, wait = self._live(connection), str(self.lock_wait)
        if header.inventory is None:
            self._ask(connection, "remove", live, wait)
            return
        words = ("restore", live, self._work(connection, "restore"), wait)
        result = self._ask(connection, *words, stdin=header.line)
        if result.errors:
            log(result.errors.decode("utf-8", "replace").strip())
        there = _inventory(result.text) or Inventory()
        # Rows may differ when something writes behind the screen: told, and no reason to keep the site closed.
        for difference in header.inventory.differences(there):
            log(f"differs from the snapshot already: {difference}")

    def _ask(
        self, connection: Connection, *words: str, stdin: bytes = b"", output_to: BinaryIO | None = None
    ) -> Result:
        asked = command("python3", "-c", PROGRAM, *words)
        result = connection.run(asked, timeout=self.timeout, stdin=stdin, output_to=output_to, check=False)
        if not result.ok:
            raise DatabaseFailed(_why(result, words[0], self.path, connection.name))
        return result

    def _live(self, connection: Connection) -> str:
        return posixpath.join(connection.base, self.path)

    def _work(self, connection: Connection, name: str) -> str:
        # One name for each database: the fence lets one run in at a time, and the next one finds what a kill left.
        mark = hashlib.sha256(self.path.encode()).hexdigest()[:12]
        return posixpath.join(connection.base, ".deploynaut/tmp", f"sqlite-{mark}.{name}")


def _inventory(text: str) -> Inventory | None:
    value = json.loads(text)
    return None if value is None else Inventory.from_json(value)


def _why(result: Result, act: str, path: str, host: str) -> str:
    said = result.errors.decode("utf-8", "replace").strip()
    if result.status == REFUSED:
        return f"{said} ({path} on {host})"
    if result.status == NOT_FOUND:
        return f"python3 is not installed on {host}. A site with a SQLite database needs it there; install it."
    return f"{act} of {path} ended with status {result.status} on {host}: {said[-1000:] or 'no reason was given'}"


class _Staging:
    """Collects the body of a snapshot into pieces and lays them beside the live file, so that little memory is used."""

    def __init__(self, send: Callable[[bytes, int, int], object]) -> None:
        self._send = send
        self._waiting = bytearray()
        self._sent = self._size = 0

    def begin(self, header: Header) -> None:
        self._size = header.size

    def write(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= CHUNK:
            self._flush()

    def end(self) -> None:
        """Sends the rest; an empty file too."""
        if self._waiting or not self._sent:
            self._flush()

    def _flush(self) -> None:
        self._send(bytes(self._waiting), self._sent, self._size)
        self._sent += len(self._waiting)
        self._waiting.clear()
