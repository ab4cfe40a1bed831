"""Feeds a child process and hears it, in bounded memory, asking the guard at least each second."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from deploynaut.engine.connections.base import (
    KEPT_OUTPUT,
    KEPT_TAIL,
    Guard,
    Listener,
    OutputTooLong,
    TimedOut,
    shorten,
)
from deploynaut.engine.shell import Command

CHUNK = 256 * 1024
_TICK = 0.5


class TooLong(Exception):
    """A stream that nobody hears has grown past what a result can hold."""


class Deadline(Exception):
    """The time of a command is used up."""


class Kept:
    """One stream of a command: passed on as it comes, and its end (or all of it) kept for the result."""

    def __init__(self, *, listeners: tuple[Callable[[bytes], object], ...] = (), whole: bool) -> None:
        self._listeners = listeners
        self._whole = whole
        self._content = bytearray()

    def hear(self, chunk: bytes) -> None:
        """Takes the next bytes. Raises `TooLong`, and whatever a listener raises."""
        for listener in self._listeners:
            listener(chunk)
        self._content += chunk
        if self._whole and len(self._content) > KEPT_OUTPUT:
            raise TooLong
        if not self._whole and len(self._content) > 2 * KEPT_TAIL:
            del self._content[:-KEPT_TAIL]

    def content(self) -> bytes:
        """All of the stream, or its last 64 KiB when it was heard by somebody else."""
        return bytes(self._content) if self._whole else bytes(self._content[-KEPT_TAIL:])


@contextlib.contextmanager
def explained(command: Command, *, host: str, timeout: float) -> Iterator[None]:
    """Turns `Deadline` and `TooLong` into errors for people: `TimedOut`, `OutputTooLong`."""
    shown = shorten(str(command), 300)
    try:
        yield
    except Deadline:
        text = f"A command took longer than {timeout:g} s on {host} and was ended: {shown}."
        raise TimedOut(text, host=host) from None
    except TooLong:
        text = f"A command wrote more than can be kept on {host} and was ended: {shown}."
        raise OutputTooLong(text, host=host) from None


def kept_streams(output: Listener | None, output_to: BinaryIO | None) -> tuple[Kept, Kept]:
    """Standard output and errors of one command, as `Connection.run` promises them."""
    heard = (output,) if output else ()
    out = Kept(listeners=(_writer(output_to),) if output_to else heard, whole=not (output or output_to))
    return out, Kept(listeners=heard, whole=False)


def ticker(guard: Guard, timeout: float) -> Guard:
    """A guard that also raises `Deadline` when `timeout` seconds have passed."""
    end = time.monotonic() + timeout

    def tick() -> None:
        guard()
        if time.monotonic() > end:
            raise Deadline

    return tick


def pieces(source: bytes | Path | None) -> Iterator[bytes]:
    """The source in chunks; a file is never held whole."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    elif source:
        yield from (source[start : start + CHUNK] for start in range(0, len(source), CHUNK))


class Pump:
    """Moves bytes between us and a child process until both its streams end, or `finished()` says so."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        feed: Iterable[bytes] = (),
        hear_output: Listener,
        hear_errors: Listener,
        finished: Callable[[], bool] = lambda: False,
    ) -> None:
        self._process = process
        self._feed = iter(feed)
        self._pending = memoryview(b"")
        self._finished = finished
        self._selector = selectors.DefaultSelector()
        self._listeners = {process.stdout: hear_output, process.stderr: hear_errors}
        for stream in self._listeners:
            if stream and not stream.closed:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, selectors.EVENT_READ)
        if process.stdin and not process.stdin.closed:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin, selectors.EVENT_WRITE)

    def run(self, tick: Guard) -> None:
        """Until the streams have ended. Raises what `tick` and the listeners raise; then nothing more is fed."""
        asked = 0.0
        with self._selector:
            while self._open_outputs():
                if time.monotonic() - asked >= _TICK:
                    tick()
                    asked = time.monotonic()
                # Asked before looking: what a process says and then ends while we look is still to be read.
                finished = self._finished()
                events = self._selector.select(_TICK / 5 if finished else _TICK)
                if finished and not events:
                    return
                for key, _ in events:
                    self._serve(key.fileobj)

    def _open_outputs(self) -> bool:
        return any(key.events & selectors.EVENT_READ for key in self._selector.get_map().values())

    def _serve(self, stream: object) -> None:
        if stream is self._process.stdin:
            self._write()
            return
        for source, listener in self._listeners.items():
            if stream is source and source is not None:
                self._read(source, listener)

    def _read(self, stream: object, listener: Listener) -> None:
        chunk = os.read(stream.fileno(), CHUNK)  # type: ignore[attr-defined]
        if chunk:
            listener(chunk)
        else:
            self._selector.unregister(stream)  # type: ignore[arg-type]

    def _write(self) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        if not self._pending:
            self._pending = memoryview(next(self._feed, b""))
        if not self._pending:
            self._selector.unregister(stdin)
            return
        try:
            self._pending = self._pending[os.write(stdin.fileno(), self._pending) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._selector.unregister(stdin)


def close(process: subprocess.Popen[bytes]) -> None:
    """Close our ends of a child's streams; nothing is said when one is broken already."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()


def _writer(file: BinaryIO) -> Callable[[bytes], object]:
    def write(chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[file.write(rest) :]

    return write
