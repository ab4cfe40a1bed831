"""The same act on several hosts at once: all of them, or a StepFailed that names each host that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from deploynaut.engine.connections.base import ConnectionLost, Fenced, HostUnreachable, TimedOut
from deploynaut.engine.steps.base import StepContext, StepFailed, Stopped, TargetHost
from deploynaut.engine.steps.failures import FORESEEN

T = TypeVar("T")
AGAIN_AFTER = 2.0
"""Seconds between two tries to reach a host."""

OUT_OF_REACH = (HostUnreachable, ConnectionLost, TimedOut)


def on_all(targets: Iterable[TargetHost], act: Callable[[TargetHost], T], *, what: str) -> dict[str, T]:
    """What `act` gave on each host, by the host's name. Every host is tried to the end before anything is raised.

    Raises StepFailed naming each host that failed; Stopped and Fenced pass through, and so does a fault of ours.
    """
    hosts = tuple(targets)
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        answers = list(pool.map(lambda host: _tried(host, act), hosts))
    faults = {host.name: answer for host, answer in zip(hosts, answers, strict=True) if isinstance(answer, Exception)}
    _pass_through(list(faults.values()))
    if faults:
        raise StepFailed(f"{what}: " + " ".join(f"{name}: {error}" for name, error in faults.items()))
    return {host.name: answer for host, answer in zip(hosts, answers, strict=True) if not isinstance(answer, Exception)}


def everywhere(
    context: StepContext,
    targets: Iterable[TargetHost],
    act: Callable[[TargetHost], T],
    *,
    what: str,
    until: datetime | None = None,
) -> dict[str, T]:
    """`on_all`, where a host that cannot be reached is tried again until `until` (None: not). For repeatable acts."""
    if until is None:
        return on_all(targets, act, what=what)
    return on_all(targets, lambda host: patiently(context, host, lambda: act(host), until=until), what=what)


def patiently(context: StepContext, host: TargetHost, act: Callable[[], T], *, until: datetime) -> T:
    """`act`, tried again until the moment `until` while the host cannot be reached.

    Only for acts that may be repeated: a connection that was lost leaves it open whether they were done.
    """
    while True:
        try:
            return act()
        except OUT_OF_REACH as error:
            if context.clock() >= until:
                raise
            context.log(f"{host.name} cannot be reached, trying again: {error}")
            pause(context, AGAIN_AFTER)


def pause(context: StepContext, seconds: float) -> None:
    """Wait, in short bits: the work may be asked to end meanwhile."""
    while seconds > 0:
        context.guard()
        context.sleep(min(seconds, 0.5))
        seconds -= 0.5


def _tried(host: TargetHost, act: Callable[[TargetHost], T]) -> T | Exception:
    try:
        return act(host)
    except Exception as error:
        return error


def _pass_through(faults: list[Exception]) -> None:
    """Who was fenced off or stopped must hear just that, and a fault of ours must not be hidden among the foreseen."""
    stops = [fault for fault in faults if isinstance(fault, Fenced | Stopped)]
    ours = [fault for fault in faults if not isinstance(fault, (StepFailed, *FORESEEN))]
    for fault in (*stops, *ours):
        raise fault
