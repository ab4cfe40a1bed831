"""One order to fence.sh over one channel, and how it ended."""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass

from deploynaut.engine.connections.base import Guard, Listener
from deploynaut.engine.connections.framing import Framed, NoFence, Order
from deploynaut.engine.connections.streams import Deadline, Pump, close


@dataclass(frozen=True, slots=True)
class Ending:
    """How fence.sh says that an order ended: `exit`, `stopped`, `fenced`, `still` or `unfit`, and a detail."""

    kind: str
    detail: str


class Exchange:
    """Sends the order and hears the answer. The channel belongs to it and is closed by `close()`."""

    def __init__(
        self, channel: subprocess.Popen[bytes], order: Order, *, hear_output: Listener, hear_errors: Listener
    ) -> None:
        self._channel = channel
        self._order = order
        self._output = Framed(order.nonce, hear_output)
        self._errors = Framed(order.nonce, hear_errors)

    @property
    def begun(self) -> bool:
        """Whether fence.sh has answered at all."""
        return self._errors.begun

    @property
    def noise(self) -> str:
        """What came instead of an answer, from the host's shell or from ssh."""
        return f"{self._errors.noise()} {self._output.noise()}".strip()

    def run(self, tick: Guard) -> Ending | None:
        """Until the channel ends. None: nobody knows how the order ended. Raises what `tick` and listeners raise."""
        try:
            self._pump(self._order, tick)
        except NoFence:
            return None
        return self._ending()

    def stop(self, *, seconds: float) -> Ending | None:
        """Close the input, which ends the work, and wait for the proof. None when there is none in that time."""
        self._output.deafen()
        self._errors.deafen()
        if self._channel.stdin:
            with contextlib.suppress(OSError):
                self._channel.stdin.close()
        end = time.monotonic() + seconds

        def tick() -> None:
            if time.monotonic() > end:
                raise Deadline

        try:
            self._pump(None, tick)
        except (Deadline, NoFence):
            return None
        return self._ending()

    def close(self) -> int:
        """Let go of the channel. Gives ssh's own status."""
        close(self._channel)
        try:
            return self._channel.wait(timeout=1 if self._answered() else 5)
        except subprocess.TimeoutExpired:
            self._channel.kill()
            return self._channel.wait()

    def _pump(self, order: Order | None, tick: Guard) -> None:
        # What has left its group keeps the channel open, as daemons do: the end is what fence.sh says, not the channel.
        Pump(
            self._channel,
            feed=order.feed() if order else (),
            hear_output=self._output.feed,
            hear_errors=self._errors.feed,
            finished=self._answered,
        ).run(tick)

    def _answered(self) -> bool:
        return self._output.ended and self._errors.ended

    def _ending(self) -> Ending | None:
        words, whole = self._errors.end(), self._output.end() is not None
        if not whole or not words or len(words) < 2:
            return None
        return Ending(words[0], " ".join(words[1:]))
