"""Snapshot files on our disk: compressed, encrypted, read back after writing, verified whole before they are used.

One snapshot is one file `<name>.zst.age`. What is known about it (`StoredSnapshot`) is a value for the caller's rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from deploynaut.engine.databases.base import Inventory, SnapshotDamaged
from deploynaut.engine.databases.streams import HashingFile, Packer, Pump, Unpacked, decrypted
from deploynaut.engine.vault import CannotOpen, decrypt_stream, encrypt_stream, private_directory, remove_if_left

ENDING = ".zst.age"
PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSnapshot:
    """Written and read back. `size`, `sha256`: of the stored file. `inventory`: None when there was no database."""

    name: str
    size: int
    sha256: str
    taken_at: datetime
    inventory: Inventory | None


class SnapshotMissing(SnapshotDamaged):
    """There is no such file."""


class SnapshotExists(Exception):
    """A snapshot is never written over another."""


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """The snapshots in `directory` (0700). `recipient` is enough to write; reading takes the `identity`."""

    directory: Path
    recipient: str
    identity: str | None = None

    def __repr__(self) -> str:
        return f"SnapshotFiles({str(self.directory)!r})"

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[SnapshotWriter]:
        """Write to what this gives, then `keep(...)` it. Without `keep`, or after an error, nothing remains."""
        path = self.path(name)
        if path.exists():
            raise SnapshotExists(f"A snapshot {name} is there already. It is not written over; choose another name.")
        private_directory(self.directory)
        writer = SnapshotWriter(self, name=name, path=path)
        try:
            yield writer
        finally:
            writer.close()

    @contextlib.contextmanager
    def open(self, name: str, *, sha256: str) -> Iterator[BinaryIO]:
        """The content, streamed; nothing of it before the whole file was verified, decrypted and unpacked once.

        Raises SnapshotDamaged (or SnapshotMissing) when the file differs from `sha256`, is cut, or is not for our key.
        """
        with self._stored(name) as file:
            self._verify(name, file, sha256=sha256)
            file.seek(0)
            with decrypted(file, identity=self._key(), name=name) as stream:
                yield stream

    def verify(self, name: str, *, sha256: str) -> int:
        """Reads the stored file whole; the size of its content. Raises as `open` does."""
        with self._stored(name) as file:
            return self._verify(name, file, sha256=sha256)

    def delete(self, name: str) -> None:
        """Harmless when it is gone already. Whether it may go is the caller's knowledge."""
        self.path(name).unlink(missing_ok=True)

    def sweep(self) -> list[str]:
        """Removes what a killed process left half written; what a living one is writing stays. The names removed."""
        return [path.name for path in sorted(self.directory.glob(f"{PARTIAL}*")) if remove_if_left(path)]

    def path(self, name: str) -> Path:
        """Where the stored file of `name` is."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}", name):
            raise ValueError(f"A snapshot's name is made of letters, digits, dots and dashes, not {name[:80]!r}.")
        return self.directory / f"{name}{ENDING}"

    def _stored(self, name: str) -> BinaryIO:
        try:
            return cast(BinaryIO, self.path(name).open("rb"))
        except FileNotFoundError as error:
            raise SnapshotMissing(f"Snapshot {name} is not in the store. Choose another one.") from error

    def _verify(self, name: str, file: BinaryIO, *, sha256: str) -> int:
        if _digest(file) != sha256:
            raise SnapshotDamaged(f"The checksum of snapshot {name} differs; it is refused. Choose another one.")
        file.seek(0)
        return self.read_through(name, file)[0]

    def read_through(self, name: str, file: BinaryIO) -> tuple[int, str]:
        """Decrypts and unpacks everything: size and sha256 of the content. Raises SnapshotDamaged."""
        sink = Unpacked(name)
        try:
            decrypt_stream(source=file, to=sink, identity=self._key())
        except CannotOpen as error:
            raise SnapshotDamaged(f"Snapshot {name} {error}. It is refused; choose another one.") from error
        return sink.finish()

    def _key(self) -> str:
        if self.identity is None:
            raise RuntimeError("Only the worker can read snapshots: this process has no master key.")
        return self.identity


class SnapshotWriter:
    """Takes the content (`write`); `keep` makes a snapshot of it."""

    def __init__(self, files: SnapshotFiles, *, name: str, path: Path) -> None:
        self._files, self._name, self._path = files, name, path
        self._partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
        self._file = HashingFile(self._partial)
        self._packer = Packer()
        self._plain = hashlib.sha256()
        self._pump = Pump(self._encrypt)
        self._kept = False

    def write(self, data: bytes) -> int:
        """Raises OSError when our disk is full."""
        self._plain.update(data)
        self._pump.write(self._packer.compress(data))
        return len(data)

    def flush(self) -> None:
        """Nothing to do: `keep` brings everything to the disk."""

    def keep(self, *, taken_at: datetime, inventory: Inventory | None) -> StoredSnapshot:
        """Ends the file, brings it to the disk, reads it back whole, and only then gives it its name."""
        self._pump.write(self._packer.flush())
        self._pump.finish()
        size, sha256 = self._file.finish()
        self._read_back(sha256)
        self._partial.rename(self._path)
        _sync(self._path.parent)
        self._kept = True
        return StoredSnapshot(name=self._name, size=size, sha256=sha256, taken_at=taken_at, inventory=inventory)

    def close(self) -> None:
        """Lets go of everything; what was not kept is gone."""
        self._pump.abandon()
        if not self._kept:
            self._partial.unlink(missing_ok=True)
        self._file.close()

    def _encrypt(self, source: BinaryIO) -> None:
        encrypt_stream(source=source, to=self._file, recipient=self._files.recipient)

    def _read_back(self, sha256: str) -> None:
        with self._partial.open("rb") as file:
            # Out of the cache, so that it is the disk that answers.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            same = _digest(file) == sha256
            if same and self._files.identity is not None:
                file.seek(0)
                same = self._files.read_through(self._name, file)[1] == self._plain.hexdigest()
        if not same:
            raise SnapshotDamaged(f"Snapshot {self._name} was read back differently than written. Check our disk.")


def _digest(file: BinaryIO) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
