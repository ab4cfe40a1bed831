"""The connection to this very machine, for the demo and the tests: the same fence, kept with Python and sh alone."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deploynaut.engine.connections.base import Guard, Listener, Result, StillRunning, failed
from deploynaut.engine.connections.fencing import Fence
from deploynaut.engine.connections.grammar import check_path
from deploynaut.engine.connections.processes import end_group, group_lives
from deploynaut.engine.connections.putting import put_command, put_timeout
from deploynaut.engine.connections.streams import Kept, Pump, close, explained, kept_streams, ticker
from deploynaut.engine.shell import Command, encode

_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR")

# Outlives us when we are killed: end of input without "done" means that nobody looks after the group any more.
_SUPERVISOR = """
read -r group || exit 0
if read -r word; then exit 0; fi
kill -s TERM -- "-$group"
kill -s CONT -- "-$group"
tries=0
while kill -s 0 -- "-$group"; do
  tries=$((tries + 1))
  [ "$tries" -lt 50 ] || kill -s KILL -- "-$group"
  [ "$tries" -lt 60 ] || exit 1
  sleep 0.1
done
"""


class Local:
    """Runs commands on this machine as `Connection` promises. `token` and `run` as the fence knows them."""

    name = "local"

    def __init__(self, base: str | Path, token: int, run: str, guard: Guard = lambda: None) -> None:
        self.base = check_path(str(base))
        self._guard = guard
        self._fence = Fence(self.base, token=token, run=run, host=self.name)

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
        """See `Connection.run`."""
        out, errors = kept_streams(output, output_to)
        with explained(command, host=self.name, timeout=timeout):
            status = self._work(command, stdin, ticker(self._guard, timeout), out, errors)
        result = Result(status, out.content(), errors.content())
        self._refuse_when_fenced(result)
        if check and not result.ok:
            raise failed(command, result, host=self.name)
        return result

    def put(self, content: bytes, path: str, *, mode: int = 0o644) -> None:
        """See `Connection.put`."""
        self.run(put_command(path, base=self.base, mode=mode), timeout=put_timeout(content), stdin=content)

    def take_over(self) -> None:
        """See `Connection.take_over`."""
        os.close(self._fence.enter(tick=self._guard))

    def stop_work(self) -> None:
        """See `Connection.stop_work`."""
        self._fence.stop()

    def close(self) -> None:
        """See `Connection.close`. Nothing is held between commands here."""

    def _work(self, command: Command, stdin: bytes | Path | None, tick: Guard, out: Kept, errors: Kept) -> int:
        """Run it to its end and leave nothing of it running, whatever happens meanwhile. Gives its status."""
        name = secrets.token_hex(8)
        with self._supervisor(tick=tick) as supervisor, _waiting(self.base, stdin) as (process, text):
            _tell(supervisor, f"{process.pid}\n")
            running = self._fence.register(name=name, group=process.pid, supervisor=supervisor.pid, label=str(command))
            status: int | None = None
            try:
                text.send(command)
                finished = functools.partial(_finished, process)
                Pump(process, hear_output=out.hear, hear_errors=errors.hear, finished=finished).run(tick)
                status = _status(process)
            finally:
                self._end(process)
                self._fence.forget(running, outcome="stopped" if status is None else str(status))
                _tell(supervisor, "done\n")
        return status

    @contextlib.contextmanager
    def _supervisor(self, *, tick: Guard) -> Iterator[subprocess.Popen[bytes]]:
        """Holds the lock, and alone holds it; ended when we are done with it."""
        lock = self._fence.enter(tick=tick)
        try:
            supervisor = _child("/bin/sh", "-c", _SUPERVISOR, "sh", stdin=subprocess.PIPE, keep=lock)
        finally:
            os.close(lock)
        try:
            yield supervisor
        finally:
            close(supervisor)
            supervisor.wait()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if not end_group(process.pid):
            text = f"Process group {process.pid} on {self.name} did not end within 60 s. End it by hand."
            raise StillRunning(text, host=self.name)
        process.wait()

    def _refuse_when_fenced(self, result: Result) -> None:
        """A command that died of a signal may have been ended by a taker: then we are fenced, it did not fail."""
        if result.status > 128:
            os.close(self._fence.enter(tick=self._guard))


class _Text:
    """The pipe that a waiting shell reads its script from: no argument list, no file, nothing before it is sent."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def send(self, command: Command) -> None:
        """Lets the shell go. The braces make it read all before it does anything; half a script does nothing."""
        with open(self._take_writer(), "wb", buffering=0) as pipe, contextlib.suppress(BrokenPipeError):
            rest = memoryview(encode("{\n" + command.render() + "\n}\n"))
            while rest:
                rest = rest[pipe.write(rest) or 0 :]

    def close(self) -> None:
        """Ends a shell that is still waiting. Harmless when repeated."""
        reader, self.reader = self.reader, -1
        for end in (reader, self._take_writer()):
            if end >= 0:
                os.close(end)

    def _take_writer(self) -> int:
        writer, self._writer = self._writer, -1
        return writer


@contextlib.contextmanager
def _waiting(base: str, stdin: bytes | Path | None) -> Iterator[tuple[subprocess.Popen[bytes], _Text]]:
    """A shell, leader of its own session, that waits for its script."""
    text = _Text()
    try:
        with _input(stdin) as source:
            process = _child("/bin/sh", f"/dev/fd/{text.reader}", stdin=source, keep=text.reader, directory=base)
        try:
            yield process, text
        finally:
            text.close()
            close(process)
            process.wait()
    finally:
        text.close()


@contextlib.contextmanager
def _input(stdin: bytes | Path | None) -> Iterator[BinaryIO | int]:
    """The input as a file, never as a pipe from us: a command whose feeder is killed must not see a short input."""
    if stdin is None:
        yield subprocess.DEVNULL
    elif isinstance(stdin, Path):
        with stdin.open("rb") as file:
            yield file
    else:
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            yield file


def _child(*words: str, stdin: BinaryIO | int, keep: int, directory: str | None = None) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE if directory else subprocess.DEVNULL
    return subprocess.Popen(
        words,
        stdin=stdin,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,
        cwd=directory,
        env=_environment(),
        pass_fds=(keep,),
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """What a log-in would give, and nothing of the worker's own: its settings are no business of a site."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _tell(supervisor: subprocess.Popen[bytes], words: str) -> None:
    if supervisor.stdin:
        with contextlib.suppress(BrokenPipeError):
            supervisor.stdin.write(words.encode())


def _finished(process: subprocess.Popen[bytes]) -> bool:
    """Whether the leader has ended; what it left in its group is ended here, so that its streams end too."""
    if process.poll() is None:
        return False
    return not group_lives(process.pid) or end_group(process.pid)


def _status(process: subprocess.Popen[bytes]) -> int:
    status = process.wait()
    return 128 - status if status < 0 else status
