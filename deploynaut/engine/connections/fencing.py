"""The fence of a base path on this machine: the files that `fence.sh` keeps on other hosts, kept by Python.

`fence` holds the newest token; `taken` the newest whose takeover is complete; `lock` is held shared by every running
command's supervisor and exclusively by a taker; `running/` has an empty file for each command, named
`<token>.<id>.<group>.<its start>.<supervisor>.<its start>.<boot>`; `journal` has two lines for each.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploynaut.engine.connections.base import PROOF_SECONDS, Guard, StillRunning, TargetUnfit, fenced, shorten
from deploynaut.engine.connections.processes import GRACE_SECONDS, boot, end_group, group_lives, look

_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Running:
    """One command as its name in `running/` tells it: whose it is, its process group, and who looks after it."""

    file: Path
    token: int
    name: str
    group: int
    start: int
    supervisor: int
    supervisor_start: int
    boot: str

    @classmethod
    def read(cls, file: Path) -> Running | None:
        """What the file's name tells, or None when it is none of ours."""
        parts = file.name.split(".")
        if len(parts) != 7 or not "".join((parts[0], *parts[2:6])).isdecimal() or int(parts[2]) < 2:
            return None
        token, name, group, start, supervisor, its_start, booted = parts
        return cls(file, int(token), name, int(group), int(start), int(supervisor), int(its_start), booted)

    def lives(self) -> bool:
        """Whether its group still runs; a stranger that was given the same number does not count."""
        leader = look(self.group)
        return self.boot == boot() and not (leader and leader.start != self.start) and group_lives(self.group)

    def end_supervisor(self) -> None:
        """Kill the process that holds the lock for this command."""
        seen = look(self.supervisor)
        if self.boot == boot() and seen and seen.start == self.supervisor_start:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.supervisor, signal.SIGKILL)


class Fence:
    """The fence as one run sees it. `enter()` gives the lock of one command; `stop()` ends this run's work."""

    def __init__(self, base: str, *, token: int, run: str, host: str) -> None:
        self.directory = Path(base) / ".deploynaut"
        self._token = token
        self._run = "_".join(shorten(run, 100).split()) or "-"
        self._host = host

    def enter(self, *, tick: Guard) -> int:
        """A descriptor that holds the shared lock, with this token proven the newest. Takes over when that is due."""
        with self._writable():
            return self._enter(tick=tick)

    def _enter(self, *, tick: Guard) -> int:
        self._prepare()
        while True:
            lock = self._open_lock()
            ours = False
            try:
                self._lock(lock, fcntl.LOCK_SH, tick=tick)
                ours = self._is_ours()
            finally:
                if not ours:
                    os.close(lock)
            if ours:
                return lock
            self._take_over(tick=tick)

    def stop(self) -> None:
        """End all that runs under this token or an older one. Raises `StillRunning`."""
        with self._writable():
            self._prepare()
            self._make_quiet(newest=self._token, tick=lambda: None)

    def register(self, *, name: str, group: int, supervisor: int, label: str) -> Running:
        """Write down a command before it begins: in `running/` for takers, in the journal for people."""
        seen, keeper = look(group), look(supervisor)
        starts = (seen.start if seen else 0, keeper.start if keeper else 0)
        words = (self._token, name, group, starts[0], supervisor, starts[1], boot())
        file = self.directory / "running" / ".".join(map(str, words))
        with self._writable():
            file.touch(mode=0o600)
        self._journal(name, group, f"begin {shorten(label, 200)}")
        return Running(file, *words)

    def forget(self, running: Running, *, outcome: str) -> None:
        """Write down a command's end, after its group is proven gone. Once: a taker may have done it for us."""
        if running.file.exists():
            self._journal(running.name, running.group, f"end {outcome}")
            running.file.unlink(missing_ok=True)

    def _prepare(self) -> None:
        if self.directory.is_symlink():
            raise TargetUnfit(f"{self.directory} on {self._host} is a link. Remove it.", host=self._host)
        for part in (self.directory, self.directory / "tmp", self.directory / "running"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        """What the disk refuses inside is `TargetUnfit`, with the disk's own word."""
        try:
            yield
        except OSError as error:
            why = "The disk is full, of bytes or of inodes." if error.errno == errno.ENOSPC else "Look at its disk."
            text = f"{self.directory} on {self._host} cannot be written to: {error.strerror}. {why}"
            raise TargetUnfit(text, host=self._host) from error

    def _open_lock(self) -> int:
        return os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _lock(self, lock: int, kind: int, *, tick: Guard) -> None:
        end = time.monotonic() + PROOF_SECONDS
        while not _try_lock(lock, kind):
            tick()
            if time.monotonic() > end:
                raise StillRunning(f"Other work holds {self.directory} on {self._host}.", host=self._host)
            time.sleep(_PAUSE)

    def _is_ours(self) -> bool:
        newest = self._number("fence")
        if newest > self._token:
            raise fenced(host=self._host, newest=newest, token=self._token)
        return newest == self._token == self._number("taken")

    def _take_over(self, *, tick: Guard) -> None:
        with self._short_lock(tick=tick):
            if self._number("fence") > self._token:
                return
            self._write("fence")
        self._make_quiet(newest=self._token - 1, tick=tick)
        with self._short_lock(tick=tick):
            if self._number("fence") == self._token:
                self._write("taken")

    def _make_quiet(self, *, newest: int, tick: Guard) -> None:
        """End every command of a token up to `newest`; the exclusive lock is the proof that none is left."""
        began = time.monotonic()
        lock = self._open_lock()
        try:
            while True:
                self._end_groups(newest, tick=tick)
                if _try_lock(lock, fcntl.LOCK_EX):
                    break
                if self._number("taken") > newest:
                    return  # a later taker has had the exclusive lock, and lets none of these tokens in again
                if time.monotonic() - began > GRACE_SECONDS:
                    self._end_supervisors(newest)
                if time.monotonic() - began > PROOF_SECONDS:
                    raise StillRunning(f"Work on {self._host} did not end within 60 s.", host=self._host)
                time.sleep(_PAUSE)
            for left in self._running(newest):
                self.forget(left, outcome="by a later run")
        finally:
            os.close(lock)

    def _end_groups(self, newest: int, *, tick: Guard) -> None:
        for found in self._running(newest):
            tick()
            if found.lives() and not end_group(found.group):
                text = f"Process group {found.group} on {self._host} did not end within 60 s. End it by hand."
                raise StillRunning(text, host=self._host)

    def _end_supervisors(self, newest: int) -> None:
        for found in self._running(newest):
            found.end_supervisor()

    def _running(self, newest: int) -> list[Running]:
        found = map(Running.read, (self.directory / "running").iterdir())
        return [running for running in found if running and running.token <= newest]

    @contextlib.contextmanager
    def _short_lock(self, *, tick: Guard) -> Iterator[None]:
        """The directory's own lock: who writes `fence` and `taken` has it, so that no token ever goes backwards."""
        directory = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._lock(directory, fcntl.LOCK_EX, tick=tick)
            yield
        finally:
            os.close(directory)

    def _number(self, name: str) -> int:
        try:
            return int((self.directory / name).read_text())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            text = f"{self.directory / name} on {self._host} holds no number. Somebody has changed it."
            raise TargetUnfit(text, host=self._host) from error

    def _write(self, name: str) -> None:
        new = self.directory / "tmp" / f"{name}.{os.getpid()}"
        try:
            new.write_text(f"{self._token}\n")
            new.replace(self.directory / name)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def _journal(self, name: str, group: int, words: str) -> None:
        # The journal tells its own host's time, as fence.sh does; no decision is ever taken from it.
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"{stamp} {self._token} {self._run} {name} {group} {words}\n"
        # As in fence.sh, a full disk costs the line, not the act: the way back needs no more room than it has.
        with contextlib.suppress(OSError):
            journal = os.open(self.directory / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(journal, line.encode("utf-8", "replace"))
            finally:
                os.close(journal)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
