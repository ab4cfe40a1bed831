"""The language that fence.sh speaks: the header it reads, and the marks around what comes back.

A command's status never comes from ssh (its 255 may be anybody's). It stands behind a mark that holds a nonce of this
one command, and both streams must be whole up to their marks; otherwise the outcome is unknown.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from deploynaut.engine.connections.base import Listener, shorten
from deploynaut.engine.connections.streams import pieces
from deploynaut.engine.shell import encode, quote

NOISE = 1024 * 1024
"""Bytes that a log-in shell may say before our first mark; more is no fence."""

_LONGEST_END = 300


@dataclass(frozen=True, slots=True)
class Order:
    """What one run of fence.sh is asked: to run a text, or (`stop`) to end all that runs under this token."""

    base: str
    token: int
    run: str
    label: str
    text: str = ":"
    stop: bool = False
    stdin: bytes | Path | None = None
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    name: str = field(default_factory=lambda: secrets.token_hex(8))

    def feed(self) -> Iterator[bytes]:
        """All that fence.sh is to read; what follows on the same pipe is silence until somebody closes it."""
        yield encode("".join(f"{line}\n" for line in self._header()) + self.text + "\n")
        if self.stdin is not None:
            yield from _exactly(self._size(), pieces(self.stdin))
            yield f"{self.nonce} go\n".encode()

    def _header(self) -> Iterable[object]:
        run = "_".join(shorten(self.run, 100).split()) or "-"
        lines = self.text.count("\n") + 1
        label = shorten(self.label, 200)
        mode = "stop" if self.stop else "run"
        return self.nonce, self.base, mode, self.token, run, self.name, label, self._size(), lines

    def _size(self) -> int:
        if isinstance(self.stdin, Path):
            return self.stdin.stat().st_size
        return -1 if self.stdin is None else len(self.stdin)


class NoFence(Exception):
    """What came back is longer than any greeting and no fence.sh: the host says something else."""


class Framed:
    """One stream of fence.sh: what lies between its marks goes to `hear`, the last mark is held back and read."""

    def __init__(self, nonce: str, hear: Listener) -> None:
        self._begin = f"{nonce} begin\n".encode()
        self._mark = f"{nonce} end".encode()
        self._hear = hear
        self._held = b""
        self.begun = False

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes as they came."""
        self._held += chunk
        if not self.begun and not self._find_begin():
            return
        at = self._held.find(self._mark)
        while at >= 0 and len(self._held) - at > _LONGEST_END:
            at = self._held.find(self._mark, at + 1)
        self._pass_on(at if at >= 0 else len(self._held) - self._overlap())

    def deafen(self) -> None:
        """From now on only the marks matter: what lies between them is thrown away."""
        self._hear = lambda _: None

    @property
    def ended(self) -> bool:
        """Whether the last mark has come, with nothing behind it so far."""
        return self.begun and self._held.startswith(self._mark) and self._held.endswith(b"\n")

    def end(self) -> list[str] | None:
        """When the stream is over: the words behind its last mark, or None when the mark never came."""
        if not self.begun:
            return None
        rest, mark, words = self._held.rpartition(self._mark)
        whole = bool(mark) and words.endswith(b"\n")
        self._pass_on(len(rest if whole else self._held))
        return words.decode("utf-8", "replace").split() if whole else None

    def noise(self) -> str:
        """What came before the first mark, for an explanation when there was no mark at all."""
        return "" if self.begun else self._held.decode("utf-8", "replace")

    def _find_begin(self) -> bool:
        before, mark, rest = self._held.partition(self._begin)
        if not mark and len(before) > NOISE:
            raise NoFence
        if mark:
            self.begun, self._held = True, rest
        return self.begun

    def _overlap(self) -> int:
        """How many of the last bytes may be the beginning of the mark; all others are passed on at once."""
        longest = min(len(self._held), len(self._mark) - 1)
        return next((size for size in range(longest, 0, -1) if self._held.endswith(self._mark[:size])), 0)

    def _pass_on(self, count: int) -> None:
        passed, self._held = self._held[:count], self._held[count:]
        if passed:
            self._hear(passed)


def fence_command() -> str:
    """What ssh is asked to execute: fence.sh as one quoted word, the same for every command, with nothing secret."""
    return _FENCE


def _read_fence() -> str:
    text = files("deploynaut.engine.connections").joinpath("fence.sh").read_text("utf-8")
    lines = (line.strip() for line in text.splitlines())
    return f"exec /bin/sh -c {quote(chr(10).join(line for line in lines if line and not line.startswith('#')))}"


def _exactly(size: int, source: Iterator[bytes]) -> Iterator[bytes]:
    """The source, which must hold just `size` bytes: a file that shrinks meanwhile is never padded or believed."""
    for chunk in source:
        size -= len(chunk)
        if size < 0:
            break
        yield chunk
    if size:
        raise OSError("The file that was being sent has changed its size meanwhile.")


_FENCE = _read_fence()
