"""Runs the git program: argument vectors, a fixed environment, one process group a call, bounded in time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from deploynaut.engine.shell import script

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Nothing of the repository, the system or the user may choose a program that git then runs.
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "credential.helper": "",
    "fetch.recurseSubmodules": "no",
    "fetch.writeCommitGraph": "true",
    "gc.autoDetach": "false",
    "protocol.ext.allow": "never",
    "tar.umask": "0022",
    "transfer.bundleURI": "false",
}

_PIPE = 1024 * 1024
_KEPT_ERRORS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Git:
    """The git program for one repository directory. `home` is an empty directory of ours, made when missing."""

    directory: Path
    home: Path
    program: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, stdin: bytes = b"", timeout: float = 120, check: bool = True) -> bytes:
        """Its output. Raises GitFailed when it says no, or takes longer than `timeout` seconds."""
        process = self._start(words, stdin=subprocess.PIPE)
        try:
            output, errors = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise GitFailed(f"git {words[0]} took longer than {timeout:.0f} s") from error
        finally:
            end(process)
        if check and process.returncode:
            raise GitFailed.of(words, process.returncode, errors)
        return output

    def watch(
        self, *words: str, heard: Callable[[bytes], None], guard: Callable[[], None], stall: float, hold: int
    ) -> None:
        """Run it while `heard` is given its errors as they come and `guard` is asked each second.

        `stall`: seconds without a byte after which it is ended. `hold`: a file kept open (and locked) by git too.
        """
        process = self._start(words, stdin=subprocess.DEVNULL, hold=hold)
        tail = b""
        with _ended_with_us(process):
            for piece in _pieces(process, guard=guard, stall=stall):
                tail = (tail + piece)[-_KEPT_ERRORS:]
                heard(piece)
            status = process.wait(timeout=stall)
        if status:
            raise GitFailed.of(words, status, tail)

    @contextlib.contextmanager
    def stream(self, *words: str) -> Iterator[IO[bytes]]:
        """Its output as a file. After the block, raises GitFailed when git has said no."""
        process = self._start(words, stdin=subprocess.DEVNULL, quiet=True)
        assert process.stdout is not None
        # Git goes on with the next files while we look at these.
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        try:
            yield process.stdout
            status = process.wait(timeout=60)
        finally:
            end(process)
        if status:
            raise GitFailed(f"git {words[0]} ended with status {status}")

    def _start(
        self, words: tuple[str, ...], *, stdin: int, hold: int | None = None, quiet: bool = False
    ) -> subprocess.Popen[bytes]:
        # Parents that are made along get the usual mode; keys will lie in this one.
        for part in (self.home.parent, self.home):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        return subprocess.Popen(
            [self.program, f"--git-dir={self.directory}", *_settings(), *words],
            stdin=stdin,
            stdout=subprocess.DEVNULL if hold is not None else subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else subprocess.PIPE,
            env={**_environment(self.home, self.program), **self.environment},
            cwd=self.home,
            bufsize=_PIPE if quiet else -1,
            start_new_session=True,
            pass_fds=() if hold is None else (hold,),
        )


def find_program(name: str) -> str:
    """The absolute path of the git program. Raises GitMissing."""
    found = shutil.which(name, path=PATH) or shutil.which(name)
    if not found:
        raise GitMissing(f"The program {name} is not installed. Install the package git.")
    return os.path.abspath(found)


def end(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything it has started, and close our ends of its pipes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()


class GitMissing(Exception):
    """There is no git program on the machine that runs Deploynaut."""


class GitFailed(Exception):
    """Git said no: `errors` is the end of what it wrote. For our own use; people are told in words of ours."""

    def __init__(self, text: str, *, errors: str = "") -> None:
        super().__init__(text)
        self.errors = errors

    @classmethod
    def of(cls, words: tuple[str, ...], status: int, errors: bytes) -> GitFailed:
        """The error for these words, with the end of what git wrote."""
        said = errors.decode("utf-8", "replace")
        return cls(f"git {words[0]} ended with status {status}: {said.strip()[-500:]}", errors=said)


class GitStalled(GitFailed):
    """Git was silent for too long and has been ended."""


# Outlives us when we are killed: the end of its input without a word means that nobody looks after git any more.
_KEEPER = 'if read -r word; then exit 0; fi; kill -s KILL -- "-$1"'


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Git and all it has started is gone after the block, also when we are killed in it: a server may hang."""
    keeping = script(_KEEPER, str(process.pid))
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", keeping.render()], stdin=subprocess.PIPE, env={}, start_new_session=True
    )
    try:
        yield
    finally:
        end(process)
        with contextlib.suppress(BrokenPipeError):
            keeper.communicate(b"done\n")


def _settings() -> list[str]:
    return [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]


def _environment(home: Path, program: str) -> dict[str, str]:
    return {
        "PATH": f"{PATH}:{os.path.dirname(program)}",
        "HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "SSH_ASKPASS": "/bin/false",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def _pieces(process: subprocess.Popen[bytes], *, guard: Callable[[], None], stall: float) -> Iterator[bytes]:
    """What the process writes to its errors, until it closes them."""
    assert process.stderr is not None
    last = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while True:
            ready = selector.select(timeout=1)
            guard()
            if ready:
                piece = os.read(process.stderr.fileno(), 65536)
                if not piece:
                    return
                last = time.monotonic()
                yield piece
            elif time.monotonic() - last > stall:
                raise GitStalled(f"git wrote nothing for {stall:.0f} s")
