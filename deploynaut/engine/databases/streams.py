"""Plumbing of snapshot files: what pushes joined to what pulls, in bounded memory."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from deploynaut.engine.databases.base import SnapshotDamaged
from deploynaut.engine.vault import decrypt_stream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 1 << 20
LEVEL = 3


class Packer:
    """Compresses what it is given."""

    def __init__(self) -> None:
        self._zstd = zstd.ZstdCompressor(level=LEVEL)

    def compress(self, data: bytes) -> bytes:
        """May give nothing yet."""
        return self._zstd.compress(data)

    def flush(self) -> bytes:
        """The rest, with the end mark of the format."""
        return self._zstd.flush()


class Unpacked:
    """Unpacks what is written to it, keeps its size and checksum, and throws it away."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._zstd = zstd.ZstdDecompressor()
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Raises EOFError for anything behind the end, zstd's own error for what is not packed."""
        rest = bytes(data)
        while rest or not (self._zstd.needs_input or self._zstd.eof):
            unpacked = self._zstd.decompress(rest, BLOCK)
            self._digest.update(unpacked)
            self._size += len(unpacked)
            rest = b""
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def finish(self) -> tuple[int, str]:
        """Size and sha256 of the content. Raises SnapshotDamaged when its end has not come."""
        if not self._zstd.eof or self._zstd.unused_data:
            raise SnapshotDamaged(f"Snapshot {self._name} does not end where it should. Choose another one.")
        return self._size, self._digest.hexdigest()


class Pump:
    """Gives what is written to it to `consume`, which reads it in a thread of its own."""

    def __init__(self, consume: Callable[[BinaryIO], None]) -> None:
        reading, writing = os.pipe()
        self._source, self._to = os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(consume,), daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Raises what `consume` raised, when it has ended."""
        try:
            view = memoryview(data)
            while view:
                view = view[self._to.write(view) :]
        except BrokenPipeError as error:
            self._thread.join()
            raise self._failure or error from None

    def finish(self) -> None:
        """Waits until everything is consumed; raises what `consume` raised."""
        self.abandon()
        if self._failure:
            raise self._failure

    def abandon(self) -> None:
        """Ends it without asking how it went. Harmless when repeated."""
        self._to.close()
        self._thread.join()

    def _run(self, consume: Callable[[BinaryIO], None]) -> None:
        with self._source as source:
            try:
                consume(source)
            except BaseException as error:
                self._failure = error


class HashingFile:
    """A new file, private, locked while it is being written, that knows its size and checksum."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)  # for `sweep`: somebody alive is writing this
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """All of it, or OSError (our disk is full)."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._digest.update(data)
        self._size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def finish(self) -> tuple[int, str]:
        """Brings it to the disk; its size and sha256."""
        os.fsync(self._file.fileno())
        return self._size, self._digest.hexdigest()

    def close(self) -> None:
        """Harmless when repeated."""
        self._file.close()


@contextlib.contextmanager
def decrypted(file: BinaryIO, *, identity: str, name: str) -> Iterator[BinaryIO]:
    """The content of an encrypted, compressed file as a stream. Raises SnapshotDamaged when its end is missing."""
    reading, writing = os.pipe()
    thread = threading.Thread(target=_decrypt, args=(file, writing, identity), daemon=True)
    source = os.fdopen(reading, "rb")
    thread.start()
    try:
        yield cast(BinaryIO, _Unpacking(source, name))
    finally:
        source.close()
        thread.join()


def _decrypt(file: BinaryIO, writing: int, identity: str) -> None:
    # What goes wrong here is seen by the reader as a missing end.
    with contextlib.suppress(Exception), os.fdopen(writing, "wb") as to:
        decrypt_stream(source=file, to=to, identity=identity)


class _Unpacking(io.RawIOBase):
    def __init__(self, source: BinaryIO, name: str) -> None:
        super().__init__()
        self._zstd = zstd.ZstdFile(source)
        self._name = name

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._zstd.read(size)
        except (EOFError, zstd.ZstdError, OSError) as error:
            raise SnapshotDamaged(f"Snapshot {self._name} cannot be read to its end: {error}") from error
