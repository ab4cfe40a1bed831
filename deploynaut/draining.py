"""One flag a process: it is going down, so streams that never end by themselves must end now.

An open server-sent stream would hold the web server until its graceful timeout. A stream looks at `draining` each
time round and ends; the browser then asks again, from its last event, and reaches the next process.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Final

draining: Final = threading.Event()


def watch_signals() -> None:
    """Set `draining` on SIGTERM and SIGINT, then let the server's own handlers do their work. Main thread only."""
    for number in (signal.SIGTERM, signal.SIGINT):
        _watch(number)


def _watch(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def drain(received: int, frame: FrameType | None) -> None:
        draining.set()
        if callable(before):
            before(received, frame)
        elif before == signal.SIG_DFL:
            signal.signal(received, signal.SIG_DFL)
            signal.raise_signal(received)

    signal.signal(number, drain)
