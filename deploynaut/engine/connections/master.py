"""One OpenSSH master for a host and run: pinned host key, a key that has no name on any disk, gone with its owner."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from deploynaut.engine.connections.base import (
    ConnectionFailed,
    Guard,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    KeyRefused,
)
from deploynaut.engine.connections.grammar import Host
from deploynaut.engine.connections.host_keys import fingerprint
from deploynaut.engine.connections.rooms import make_room
from deploynaut.engine.connections.ssh_options import (
    channel_words,
    clean_environment,
    known_hosts,
    master_words,
    socket_in,
)

CONNECT_SECONDS = 30.0
"""How long a host may take to let us in, retries included."""

_HANDSHAKES = threading.BoundedSemaphore(8)
"""At most eight log-ins at a time: sshd refuses more by its default MaxStartups."""

# Its input is the key, $2 the pipe whose end means that nobody wants ssh any more, however we ended. (A signal by
# PR_SET_PDEATHSIG would come when the starting thread ends.) The room goes with ssh.
_HOLDER = """
room=$1 pipe=$2
shift 2
exec 3<&0 </dev/null
"$@" <&3 3<&- &
ssh=$!
exec 3<&-
( read -r word <"$pipe"; kill -TERM "$ssh"; sleep 1; kill -KILL "$ssh" ) >/dev/null 2>&1 &
holder=$!
wait "$ssh"
status=$?
kill "$holder" 2>/dev/null
rm -rf -- "$room"
exit "$status"
"""


class Master:
    """A logged-in ssh whose channels cost a few milliseconds. Made by `connect`."""

    def __init__(self, process: subprocess.Popen[bytes], room: Path, pipe: int) -> None:
        self._process = process
        self._room = room
        self._pipe = pipe

    @property
    def socket(self) -> Path:
        """Where ssh listens for channels as soon as it is logged in."""
        return socket_in(self._room)

    @property
    def alive(self) -> bool:
        """Whether ssh still runs; it ends by itself when the host is silent for 25 s."""
        return self._process.poll() is None

    def open(self, command: str) -> subprocess.Popen[bytes]:
        """A channel on which the host's log-in shell executes `command`, as a child process with three pipes.

        When the master is gone the child fails: it never opens a connection of its own.
        """
        pipe = subprocess.PIPE
        return subprocess.Popen(
            channel_words(self._room, command),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
            env=clean_environment(),
            start_new_session=True,
        )

    def close(self) -> None:
        """End ssh, and its room with it. Harmless when repeated."""
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._room, ignore_errors=True)


def connect(host: Host, *, key: bytes, directory: Path, guard: Guard) -> Master:
    """Log in, within 30 s. A host that is busy with other log-ins is asked again, with growing pauses.

    Raises `HostKeyUnknown`, `HostKeyChanged` (both before any log-in), `KeyRefused`, `HostUnreachable`,
    `ProgramMissing`, and whatever the guard raises.
    """
    if not host.host_key.strip():
        text = f"No host key is confirmed for {host.name}. Compare its fingerprint and confirm it first."
        raise HostKeyUnknown(text, host=host.name)
    deadline = time.monotonic() + CONNECT_SECONDS
    pause = 0.1
    while True:
        with taken(_HANDSHAKES, guard):
            made = _attempt(host, key=key, directory=directory, guard=guard)
        if isinstance(made, Master):
            return made
        if not _is_busy(made) or time.monotonic() + pause > deadline:
            raise _explain(host, made)
        _pause(pause * random.uniform(0.5, 1.5), guard)  # noqa: S311
        pause *= 2


def _attempt(host: Host, *, key: bytes, directory: Path, guard: Guard) -> Master | str:
    """One log-in: the master, or what ssh said."""
    with tempfile.TemporaryFile() as errors:
        master = _started(host, key=key, directory=directory, errors=errors)
        try:
            if _logged_in(master, guard):
                return master
        except BaseException:
            master.close()
            raise
        master.close()
        errors.seek(max(errors.seek(0, os.SEEK_END) - 16_384, 0))
        return errors.read(16_384).decode("utf-8", "replace") or "Connection closed before the log-in."


def _started(host: Host, *, key: bytes, directory: Path, errors: IO[bytes]) -> Master:
    """An ssh that is on its way to log in, with its room and the pipe that holds it."""
    room = make_room(directory)
    try:
        (room / "k").write_text(known_hosts(host))
        with _in_memory(key) as identity, _pipe() as (reader, writer):
            process = subprocess.Popen(
                ["/bin/sh", "-c", _HOLDER, "sh", str(room), f"/dev/fd/{reader}", *master_words(host, room)],
                stdin=identity,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(reader,),
                env=clean_environment(),
                start_new_session=True,
            )
            return Master(process, room, os.dup(writer))
    except BaseException:
        shutil.rmtree(room, ignore_errors=True)
        raise


def _logged_in(master: Master, guard: Guard) -> bool:
    """Waits for the control socket: ssh makes it when the log-in has succeeded."""
    asked = time.monotonic()
    while not master.socket.exists():
        if not master.alive:
            return False
        if time.monotonic() - asked > 0.5:
            guard()
            asked = time.monotonic()
        time.sleep(0.003)
    return True


def _is_busy(text: str) -> bool:
    """Whether the host closed the connection before the log-in, as sshd does at MaxStartups."""
    return bool(re.search(r"kex_exchange_identification|Connection (closed|reset)|Not allowed at this time", text))


def _explain(host: Host, text: str) -> ConnectionFailed:
    last = (text.strip().splitlines() or ["no reason given"])[-1][:500]
    if re.search(
        r"IDENTIFICATION HAS CHANGED|Host key verification failed|host key is known|no matching host key", text
    ):
        return HostKeyChanged(_changed(host, text), host=host.name)
    if re.search(r"Permission denied|Too many authentication failures", text):
        told = f"{host.name} does not accept our key for {host.user}. Put the environment's public key there."
        return KeyRefused(told, host=host.name)
    if _is_busy(text):
        told = f"{host.name} closes connections before the log-in (sshd may be busy, MaxStartups). It said: {last}"
        return HostUnreachable(told, host=host.name)
    return HostUnreachable(f"{host.name} cannot be reached: {last}", host=host.name)


def _changed(host: Host, text: str) -> str:
    shown = re.search(r"SHA256:[A-Za-z0-9+/]+", text)
    now = f"it shows {shown[0]}" if shown else "it shows another one"
    pinned = ", ".join(fingerprint(line) for line in host.host_key.splitlines() if line.strip())
    return (
        f"The host key of {host.name} has changed: {pinned} is confirmed, {now}. Nothing was sent. "
        "If its owner has changed the key, confirm the new fingerprint; if not, somebody stands in between."
    )


@contextlib.contextmanager
def _in_memory(key: bytes) -> Iterator[int]:
    """The key as a file that has no name: it lives as long as ssh and we hold it, a kill included."""
    descriptor = os.memfd_create("key")
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, key if key.endswith(b"\n") else key + b"\n")
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe, closed here at the end. Its reading end has a number that the holder's shell does not use itself."""
    low, writer = os.pipe()
    reader = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 64)
    os.close(low)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


@contextlib.contextmanager
def taken(places: threading.Semaphore, guard: Guard) -> Iterator[None]:
    """One of the places, waited for while the guard is asked."""
    while not places.acquire(timeout=0.5):
        guard()
    try:
        yield
    finally:
        places.release()


def _pause(seconds: float, guard: Guard) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        guard()
        time.sleep(min(left, 0.5))
