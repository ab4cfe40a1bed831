"""Keeps child processes alive, and leaves none behind.

One thread that waits for signals. Children are in sessions of their own and get SIGTERM when this process ends in
whatever way; what they leave behind is adopted (Linux: a subreaper) and ended too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
PATIENCE = 8.0  # a worker stops within 8 s; with what comes before and after, everything is gone within 10
LONGEST_PAUSE = 30.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

_libc = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be loaded between fork and exec


@dataclass
class Child:
    """A process that is to be there; `pid` is 0 while it is not."""

    name: str
    words: Sequence[str]
    pid: int = 0
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0


@dataclass
class Supervisor:
    """Keeps children alive until it is asked to stop; to be used in a `with`, which ends everything."""

    root: Path
    logs: Path
    environment: dict[str, str]
    say: Callable[[str], None]
    patience: float = PATIENCE
    children: list[Child] = field(default_factory=list)
    stopped: bool = False
    statuses: dict[int, int] = field(default_factory=dict)

    def __enter__(self) -> Supervisor:
        signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP, signal.SIGCHLD})
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def finish(self, name: str, words: Sequence[str]) -> int:
        """Run one process to its end; gives its exit status, and shows the end of its log when it failed."""
        pid = self._begin(name, words)
        while pid not in self.statuses and not self.stopped:
            self._wait(1.0)
        status = self.statuses.pop(pid, 1)
        if status and not self.stopped:
            self.say(f"{name} failed:\n{_tail(self._log(name))}\nAll of it: {self._log(name)}")
        return status

    def start(self, name: str, words: Sequence[str]) -> None:
        """Start a child that is to stay."""
        child = Child(name, words)
        self.children.append(child)
        self._start(child)

    def watch(self, *, ready: Callable[[], bool], when_ready: Callable[[], None]) -> None:
        """Start again whatever ends, until a signal asks to stop; once `ready()` holds, call `when_ready()`."""
        waiting = True
        while not self.stopped:
            self._wait(0.1 if waiting else 0.5)
            self._revive()
            if waiting and ready():
                waiting = False
                when_ready()

    def end(self) -> None:
        """Ask everything to stop, then end what is left: no process of ours, nor one that ours left behind, stays."""
        _signal_groups((child.pid for child in self.children if child.pid), signal.SIGTERM)
        self._outlive(self.patience)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in descendants():
                _quietly(os.kill, pid, number)
            self._outlive(0.5)

    # inside

    def _start(self, child: Child) -> None:
        child.pid, child.started = self._begin(child.name, child.words), time.monotonic()

    def _begin(self, name: str, words: Sequence[str]) -> int:
        log = self._log(name)
        if log.exists() and log.stat().st_size > 10_000_000:
            log.replace(log.with_suffix(".old.log"))
        with log.open("ab") as file:
            started = subprocess.Popen(
                words,
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_in_child,  # noqa: PLW1509 - this process has one thread
            )
        started.returncode = 0  # this process reaps by itself, see _reap: Popen must not wait nor warn
        return started.pid

    def _wait(self, seconds: float) -> None:
        """Until something happens, at most for `seconds`."""
        info = signal.sigtimedwait({*STOP, signal.SIGCHLD}, seconds)
        if info is not None and info.si_signo in STOP:
            self.stopped = True
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.statuses[pid] = os.waitstatus_to_exitcode(status)

    def _revive(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.pid in self.statuses:
                self._lost(child, self.statuses.pop(child.pid), now)
            if child.pid == 0 and now >= child.start_at and not self.stopped:
                self._start(child)
        # what was adopted has been reaped: nobody asks for its status
        self.statuses.clear()

    def _lost(self, child: Child, status: int, now: float) -> None:
        child.failures = 0 if now - child.started > LONGEST_PAUSE else child.failures + 1
        pause = 0.0 if child.failures <= 1 else min(LONGEST_PAUSE, 0.5 * 2**child.failures)
        child.pid, child.start_at = 0, now + pause
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        when = "now" if pause == 0 else f"in {pause:.0f} s"
        self.say(f"{child.name} {how}; it is started again {when}. Its log: {self._log(child.name)}")

    def _outlive(self, seconds: float) -> None:
        """Wait until there are no descendants left, at most for `seconds`; a second Ctrl-C ends the wait."""
        until, self.stopped = time.monotonic() + seconds, False
        while descendants() and time.monotonic() < until and not self.stopped:
            self._wait(0.05)

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def descendants() -> list[int]:
    """Process ids of everything below this process, dead but unreaped ones left out."""
    parents = dict(_parents())
    found = [pid for pid, parent in parents.items() if parent == os.getpid()]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """(pid, parent's pid) of every living process of the machine that may be seen."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            except (OSError, ValueError):
                continue  # it ended while we looked
            if state != "Z":
                yield int(entry.name), int(parent)


def _in_child() -> None:
    """Between fork and exec: SIGTERM when the parent ends, and the usual signals again."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _signal_groups(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        _quietly(os.killpg, pid, number)


def _quietly(send: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        send(pid, number)
    except ProcessLookupError:
        return


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
