"""Runs what makes an exported tree ready: one command, in its own process group, with nothing of ours around it."""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploynaut.engine.connections.base import quoted
from deploynaut.engine.connections.processes import end_group

Log = Callable[[str], None]
Guard = Callable[[], None]

LAST_LINES = 50
_LONGEST_LINE = 4000
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Build:
    """A command such as `("python3", "build.py")`, run at the top of the tree.

    `timeout`: seconds in all. `stall`: seconds without a line of output after which it counts as hanging.
    """

    words: tuple[str, ...]
    timeout: float = 1800
    stall: float = 600


def run_build(build: Build, *, tree: Path, home: Path, log: Log, guard: Guard) -> None:
    """Run it in `tree`; `home` is an empty directory, for what tools leave behind. Raises BuildFailed.

    Whatever `guard` raises ends the build and everything it has started, and is passed on.
    """
    process = _start(build, tree=tree, home=home)
    lines: deque[str] = deque(maxlen=LAST_LINES)

    def tell(line: str) -> None:
        lines.append(line)
        log(quoted(line))

    try:
        _listen(process, build, tell=tell, guard=guard)
        status = process.wait(timeout=build.stall)
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"The build {_shown(build)} hung and was stopped.", lines=tuple(lines)) from error
    except _Hung as error:
        raise BuildFailed(f"The build {_shown(build)} {error}.", lines=tuple(lines)) from error
    finally:
        _end(process)
    if status:
        raise BuildFailed(f"The build {_shown(build)} ended with status {status}.", lines=tuple(lines))


class BuildFailed(Exception):
    """A build said no, hung, or could not be started. The text ends with its last lines; `lines` has them too."""

    def __init__(self, text: str, *, lines: tuple[str, ...] = ()) -> None:
        last = "\n".join(("Its last lines:", *lines)) if lines else "It wrote nothing."
        super().__init__(f"{text} The site is untouched. {last}")
        self.lines = lines


class _Hung(Exception):
    """Too long, or too long silent."""


def _start(build: Build, *, tree: Path, home: Path) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": f"{_PATH}:{Path(sys.executable).parent}",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program = shutil.which(build.words[0], path=environment["PATH"])
    if program is None:
        raise BuildFailed(f"The program {build.words[0]!r} of the build is not installed on the Deploynaut machine.")
    return subprocess.Popen(
        [program, *build.words[1:]],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o022,
    )


def _listen(process: subprocess.Popen[bytes], build: Build, *, tell: Log, guard: Guard) -> None:
    """Give its output on, line by line, until it closes it."""
    assert process.stdout is not None
    began = last = time.monotonic()
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ready = selector.select(timeout=0.5)
            guard()
            now = time.monotonic()
            if ready:
                piece = os.read(process.stdout.fileno(), 65536)
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines if piece else [rest] * bool(rest):
                    tell(_readable(line))
                if not piece:
                    return
                rest, last = rest[-_LONGEST_LINE:], now
            if now - began > build.timeout:
                raise _Hung(f"took longer than {build.timeout:.0f} s and was stopped")
            if now - last > build.stall:
                raise _Hung(f"wrote nothing for {build.stall:.0f} s and was stopped")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and everything it has started that stayed in its process group; proven."""
    if process.stdout:
        process.stdout.close()
    if not end_group(process.pid):
        raise BuildFailed(f"Process group {process.pid} of a build did not end within 60 s. End it by hand.")
    process.wait()


def _readable(line: bytes) -> str:
    text = line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")
    return "".join(letter if letter.isprintable() or letter == "\t" else "·" for letter in text)


def _shown(build: Build) -> str:
    return f"`{' '.join(build.words)}`"
