"""The connection to a host by OpenSSH: one warm master for a host and run, every command one channel under fence.sh."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from deploynaut.engine.connections.base import (
    PROOF_SECONDS,
    ConnectionFailed,
    ConnectionLost,
    Guard,
    HostUnreachable,
    Listener,
    Result,
    StillRunning,
    TargetUnfit,
    failed,
    fenced,
    shorten,
)
from deploynaut.engine.connections.exchange import Ending, Exchange
from deploynaut.engine.connections.framing import Order, fence_command
from deploynaut.engine.connections.grammar import Host, check_path
from deploynaut.engine.connections.master import Master, connect, taken
from deploynaut.engine.connections.putting import put_command, put_timeout
from deploynaut.engine.connections.streams import Deadline, explained, kept_streams, ticker
from deploynaut.engine.shell import Command, command

CHANNELS = 8
"""Commands at a time on one connection; sshd's default MaxSessions is 10, and stopping needs one of them."""

_TAKE_OVER_SECONDS = 90.0
_ANSWER_SECONDS = 15.0
_NOTHING = command(":")


class OpenSSH:
    """Runs commands on a host as `Connection` promises. Connects when first used. `key`: a private key in PEM."""

    def __init__(
        self,
        host: Host,
        base: str,
        token: int,
        run: str,
        key: bytes,
        directory: Path,
        guard: Guard = lambda: None,
        dial: Callable[..., Master] = connect,
    ) -> None:
        self.name = host.name
        self.base = check_path(base)
        self._host = host
        self._token = token
        self._run = run
        self._key = key
        self._directory = directory
        self._guard = guard
        self._dial = dial
        self._channels = threading.BoundedSemaphore(CHANNELS)
        self._lock = threading.RLock()
        self._master: Master | None = None
        self._unsure = False

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
        order = Order(self.base, self._token, self._run, str(command), command.render(), stdin=stdin)
        with explained(command, host=self.name, timeout=timeout):
            status = self._perform(order, ticker(self._guard, timeout), out.hear, errors.hear)
        result = Result(status, out.content(), errors.content())
        if check and not result.ok:
            raise failed(command, result, host=self.name)
        return result

    def put(self, content: bytes, path: str, *, mode: int = 0o644) -> None:
        """See `Connection.put`."""
        self.run(put_command(path, base=self.base, mode=mode), timeout=put_timeout(content), stdin=content)

    def take_over(self) -> None:
        """See `Connection.take_over`. Any command of ours does it when it is due; this one does nothing else."""
        self.run(_NOTHING, timeout=_TAKE_OVER_SECONDS)

    def stop_work(self) -> None:
        """See `Connection.stop_work`. The guard is not asked: it may be why we stop."""
        self._stop_within(PROOF_SECONDS)

    def close(self) -> None:
        """See `Connection.close`."""
        with self._lock:
            master, self._master = self._master, None
        if master:
            master.close()

    def _perform(self, order: Order, tick: Guard, hear_output: Listener, hear_errors: Listener) -> int:
        """Run the order to its end, and leave nothing of it running, whatever happens. Gives the command's status."""
        with taken(self._channels, tick):
            master = self._ready(tick)
            exchange = Exchange(master.open(fence_command()), order, hear_output=hear_output, hear_errors=hear_errors)
            try:
                ending = exchange.run(tick)
            except BaseException:
                self._end(exchange)
                raise
            finally:
                status = exchange.close()
        if ending is None:
            raise self._lost(master, exchange, order, status)
        return self._status(ending)

    def _end(self, exchange: Exchange) -> None:
        """The work behind an exchange is over, proven within 60 s: by its own answer, else by asking the host anew."""
        ending = exchange.stop(seconds=_ANSWER_SECONDS)
        if ending is None or ending.kind == "still":
            self._stop_within(PROOF_SECONDS - _ANSWER_SECONDS)

    def _stop_within(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                return self._stop(self._ready(_nobody, stops=False), end)
            except (ConnectionLost, HostUnreachable) as error:
                if time.monotonic() + 1 > end:
                    text = f"Nothing is known of the work on {self.name}: it cannot be reached. Look at the host."
                    raise StillRunning(text, host=self.name) from error
                time.sleep(random.uniform(0.2, 1))  # noqa: S311

    def _stop(self, master: Master, end: float) -> None:
        order = Order(self.base, self._token, self._run, "stop", stop=True)
        exchange = Exchange(master.open(fence_command()), order, hear_output=_ignore, hear_errors=_ignore)
        try:
            ending = exchange.run(ticker(_nobody, max(end - time.monotonic(), 1)))
        except Deadline:
            raise StillRunning(f"The work on {self.name} did not end within 60 s.", host=self.name) from None
        finally:
            status = exchange.close()
        if ending is None:
            raise self._lost(master, exchange, order, status)
        self._status(ending)

    def _ready(self, tick: Guard, *, stops: bool = True) -> Master:
        """The master, logged in. What a lost one may have left running is ended before anything else is done."""
        while not self._lock.acquire(timeout=0.5):
            tick()
        try:
            if self._master is None or not self._master.alive:
                self._let_go()
                self._master = self._dial(self._host, key=self._key, directory=self._directory, guard=tick)
            master = self._master
            if self._unsure and stops:
                self._stop(master, time.monotonic() + PROOF_SECONDS)
                self._unsure = False
            return master
        finally:
            self._lock.release()

    def _let_go(self) -> None:
        master, self._master = self._master, None
        if master:
            self._unsure = True
            master.close()

    def _lost(self, master: Master, exchange: Exchange, order: Order, status: int) -> ConnectionFailed:
        """The error for an order without an answer. Its connection is given up: what it left is ended by the next."""
        noise = shorten(exchange.noise, 300)
        if not exchange.begun and status not in (0, 255):
            text = f"{self.name} does not run our script. Its log-in shell said: {noise or 'nothing'}"
            return TargetUnfit(text, host=self.name)
        with self._lock:
            if self._master is master:
                self._let_go()
        text = f"The connection to {self.name} ended before the outcome was known of: {shorten(order.label, 300)}."
        return ConnectionLost(f"{text} {noise}".strip(), host=self.name)

    def _status(self, ending: Ending) -> int:
        match ending.kind:
            case "exit" if ending.detail.isdecimal():
                return int(ending.detail)
            case "fenced" if ending.detail.isdecimal():
                raise fenced(host=self.name, newest=int(ending.detail), token=self._token)
            case "still":
                text = f"Work on {self.name} did not end within 60 s ({ending.detail}). End it by hand."
                raise StillRunning(text, host=self.name)
            case "stopped":
                raise ConnectionLost(f"The host ended a command on {self.name} before its time.", host=self.name)
        raise TargetUnfit(unfit(ending.detail, host=self.name, base=self.base), host=self.name)


def unfit(detail: str, *, host: str, base: str) -> str:
    """What a person is told when fence.sh finds that a target lacks something."""
    kind, _, word = detail.partition(" ")
    if kind == "program":
        return f"{host} lacks the program {word}. Install the packages util-linux and coreutils there."
    reasons = {
        "link": "is a link. Remove it",
        "number": f"holds a file `{word}` that is no number: somebody has changed it. Look at it",
    }
    reason = reasons.get(kind, "cannot be written to. Check its owner, and whether the disk is full")
    return f"{base}/.deploynaut on {host} {reason}."


def _nobody() -> None:
    """A guard that lets everything pass."""


def _ignore(_: bytes) -> None:
    """A listener that hears nothing."""
