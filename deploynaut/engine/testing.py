"""The shipped stand-ins: what tests of steps, recipes and adapters use instead of hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from deploynaut.engine.connections.base import Listener, Result, failed
from deploynaut.engine.shell import Command

Answer = Result | Exception | Callable[[Command], Result]


@dataclass(frozen=True, slots=True)
class Call:
    """One command that a RecordingConnection was given, with its input read whole."""

    command: Command
    timeout: float
    stdin: bytes | None

    def __str__(self) -> str:
        return str(self.command)


@dataclass(frozen=True, slots=True)
class PutFile:
    """One file that a RecordingConnection was given."""

    path: str
    content: bytes
    mode: int


@dataclass
class RecordingConnection:
    """A Connection that runs nothing: it writes down what it is given, and answers as it was told beforehand.

    connection = RecordingConnection()
    connection.answers("readlink", Result(0, b"releases/41"))     # every command whose text holds "readlink"
    connection.answers("zstd", HostUnreachable("web1 is down."))  # errors are raised; the latest answer that fits wins
    """

    name: str = "recording"
    base: str = "/sites/acme"
    guard: Callable[[], None] = lambda: None
    calls: list[Call] = field(default_factory=list)
    files: list[PutFile] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    _answers: list[tuple[str, Answer]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def commands(self) -> list[str]:
        """The text of each command so far, secrets as `***`."""
        return [str(call) for call in self.calls]

    def answers(self, part: str, answer: Answer) -> None:
        """From now on a command whose text holds `part` gets this answer."""
        self._answers.insert(0, (part, answer))

    def run(
        self,
        command: Command,
        *,
        timeout: float,
        stdin: bytes | Path | None = None,
        output: Listener | None = None,
        output_to: BinaryIO | None = None,
        check: bool = True,
    ) -> Result:
        """Write the command down and give the answer that fits, or success without output."""
        self.guard()
        with self._lock:
            self.calls.append(Call(command, timeout, stdin.read_bytes() if isinstance(stdin, Path) else stdin))
            self.acts.append(str(command))
        result = self._answer(command)
        hear = output_to.write if output_to else output
        if hear and result.output:
            hear(result.output)
        if check and not result.ok:
            raise failed(command, result, host=self.name)
        return result

    def put(self, content: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write the file down."""
        self.guard()
        with self._lock:
            self.files.append(PutFile(path, content, mode))
            self.acts.append(f"put {path}")

    def take_over(self) -> None:
        """Write it down in `acts`."""
        self.acts.append("take_over")

    def stop_work(self) -> None:
        """Write it down in `acts`."""
        self.acts.append("stop_work")

    def close(self) -> None:
        """Write it down in `acts`."""
        self.acts.append("close")

    def _answer(self, command: Command) -> Result:
        text = str(command)
        answer = next((answer for part, answer in self._answers if part in text), Result(0))
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Result) else answer(command)
