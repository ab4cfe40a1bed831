"""What every kind of connection promises, and what can go wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from deploynaut.engine.shell import Command

Guard = Callable[[], None]
Listener = Callable[[bytes], None]

KEPT_OUTPUT = 16 * 1024 * 1024
"""Bytes of output that a result may hold when nobody listens; more ends the command with `OutputTooLong`."""

KEPT_TAIL = 64 * 1024
"""Bytes of a stream's end that a result holds when somebody has heard all of it."""

PROOF_SECONDS = 60.0
"""How long the end of a process group is waited for before it is called `StillRunning`."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind: its status, its output and its errors (a tail of them, when they were long)."""

    status: int
    output: bytes = b""
    errors: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the command said that it succeeded."""
        return self.status == 0

    @property
    def text(self) -> str:
        """The output as text; bytes that are no UTF-8 are replaced."""
        return self.output.decode("utf-8", "replace")


class Connection(Protocol):
    """A door to one host of one environment, for one run. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """What people call the host: `web1.example:22`, or `local`."""

    @property
    def base(self) -> str:
        """The environment's directory on that host, absolute. Commands start in it."""

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
        """Run the command under the fence and wait for it, at most `timeout` seconds.

        `output` hears standard output and errors as they come; with `output_to`, standard output goes there instead.
        When one of the two is given, the result keeps only the last 64 KiB. A command that ends leaves nothing
        behind in its process group. Raises `CommandFailed` (unless `check` is false), `TimedOut`, `ConnectionLost`,
        `Fenced`, `OutputTooLong`, `HostUnreachable`, `HostKeyUnknown`, `HostKeyChanged`, `KeyRefused`; whatever the
        guard or a listener raises ends the work on the target and is passed on, or `StillRunning` is raised from it.
        """

    def put(self, content: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file whole or not at all. A relative path is below the base; its directory must be there."""

    def take_over(self) -> None:
        """Make this run's token the newest, end what older tokens left running, and prove it gone.

        Raises `Fenced` when a newer token is there, `StillRunning` when the old work does not end within 60 s.
        """

    def stop_work(self) -> None:
        """End everything that this token runs on the target. Proven, or `StillRunning` after 60 s."""

    def close(self) -> None:
        """Let go of the host. Harmless when repeated."""


class ConnectionFailed(Exception):
    """Something between us and a host went wrong. `str()` is a text for people; `host` is the connection's name."""

    def __init__(self, text: str, *, host: str = "") -> None:
        super().__init__(text)
        self.host = host


class CommandFailed(ConnectionFailed):
    """The command ran and said no: its status, and the end of what it wrote to its errors."""

    def __init__(self, text: str, *, host: str = "", status: int = 1, errors: bytes = b"") -> None:
        super().__init__(text, host=host)
        self.status = status
        self.errors = errors


class TimedOut(ConnectionFailed):
    """The command took longer than it may; its process group is proven gone."""


class ConnectionLost(ConnectionFailed):
    """The connection ended before the command's outcome was known. It may or may not have acted."""


class Fenced(ConnectionFailed):
    """A newer run has taken over this target; nothing was done. `newest`: its token, 0 when it is not known."""

    def __init__(self, text: str, *, host: str = "", newest: int = 0) -> None:
        super().__init__(text, host=host)
        self.newest = newest


class StillRunning(ConnectionFailed):
    """Work on the target could not be proven to have ended."""


class OutputTooLong(ConnectionFailed):
    """The command wrote more than a result can hold, and nobody listened; it has been ended."""


class HostUnreachable(ConnectionFailed):
    """No connection to the host, or none that lasted to the log-in."""


class HostKeyUnknown(ConnectionFailed):
    """No host key is pinned for the host, so it was not contacted."""


class HostKeyChanged(ConnectionFailed):
    """The host showed another key than the pinned one; no log-in was tried."""


class KeyRefused(ConnectionFailed):
    """The host does not accept our key."""


class TargetUnfit(ConnectionFailed):
    """The target lacks what the fence needs: a program, a directory, a right."""


class ProgramMissing(ConnectionFailed):
    """A program that Deploynaut needs on its own machine is not installed; the text names the package."""


def failed(command: Command, result: Result, *, host: str) -> CommandFailed:
    """The error for a command that ended with another status than 0. Its text holds the last line that was said."""
    lines = result.errors.decode("utf-8", "replace").strip().splitlines()
    said = f" It said: {shorten(lines[-1], 300)}" if lines else " It gave no reason."
    text = f"A command ended with status {result.status} on {host}: {shorten(str(command), 300)}.{said}"
    return CommandFailed(text, host=host, status=result.status, errors=result.errors[-KEPT_TAIL:])


def fenced(*, host: str, newest: int, token: int) -> Fenced:
    """The error for a run that has been taken over."""
    text = f"A later run has taken over {host} (token {newest}); this one ({token}) may not act."
    return Fenced(text, host=host, newest=newest)


def shorten(text: str, limit: int) -> str:
    """The text on one line without control characters, cut to `limit` characters."""
    line = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(line.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quoted(text: str) -> str:
    """What others wrote, every line of it marked with `| `, so that none is read as a line of ours in a log."""
    return "\n".join(f"| {line}" for line in text.splitlines() or [""])
