"""Process groups on this machine: whether they live, and their end, proven."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from deploynaut.engine.connections.base import PROOF_SECONDS

GRACE_SECONDS = 5.0
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel says of a process: state letter, process group, and start in clock ticks since boot."""

    state: str
    group: int
    start: int


def look(pid: int) -> Seen | None:
    """The process, or None when it is gone. Zombies are seen, with state `Z`."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(") ")[2].split()
    return Seen(state=fields[0], group=int(fields[2]), start=int(fields[19]))


def boot() -> str:
    """A word that changes when the machine is started again."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def group_lives(group: int) -> bool:
    """Whether a process of the group still runs. Zombies do not count: nobody may ever collect them."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    if not look(os.getpid()):
        return True
    pids = (int(name) for name in os.listdir(_PROC) if name.isdigit())
    return any(seen.group == group and seen.state not in "ZX" for seen in map(look, pids) if seen)


def end_group(group: int, *, patience: float = PROOF_SECONDS) -> bool:
    """Ask the group to end, then force it. True when it is proven gone, False after `patience` seconds."""
    began = time.monotonic()
    _signal(group, signal.SIGTERM)
    _signal(group, signal.SIGCONT)
    pause = 0.005
    while group_lives(group):
        waited = time.monotonic() - began
        if waited > patience:
            return False
        if waited > GRACE_SECONDS:
            _signal(group, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return True


def _signal(group: int, number: signal.Signals) -> None:
    if group > 1:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
