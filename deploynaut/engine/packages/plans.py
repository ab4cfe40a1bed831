"""Which ways there are to lay a package out on a target, and what each would cost. Decides, and does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from deploynaut.engine.packages.manifest import Difference, Manifest, States, difference
from deploynaut.engine.packages.survey import Survey

# What one path costs, counted in bytes sent, when it is sent, and when it is copied on the target.
_PATH_SENT = 20_000
_PATH_COPIED = 12_000
_BYTE_COPIED = 0.4


class How(StrEnum):
    """`FULL`: all of it sent. `COPY`: of the live release. `RECYCLE`: an old one used up. `THERE`: by a run before."""

    FULL = "full"
    COPY = "copy"
    RECYCLE = "recycle"
    THERE = "there"


@dataclass(frozen=True, slots=True)
class Previous:
    """A release that is on the target, and what it should hold."""

    release: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Plan:
    """One way: what has to change in its source, and what that costs."""

    how: How
    change: Difference
    cost: float
    source: str = ""


def ways(wanted: Manifest, seen: Survey, *, previous: Previous | None, recyclable: Sequence[Previous]) -> list[Plan]:
    """Ways to try, the cheapest first; the last is the whole package, which needs nothing of what is there."""
    present = {one.name for one in seen.releases if one.ours}
    full = Plan(How.FULL, Difference((), tuple(wanted.states)), _sent(wanted, wanted.states))
    found = [_way(How.COPY, previous, wanted)] if previous and previous.release in present else []
    spent = {seen.live, previous.release if previous else None}
    usable = (old for old in recyclable if old.release in present and old.release not in spent)
    found += [_way(How.RECYCLE, old, wanted) for old in usable]
    cheaper = sorted((way for way in found if way.cost < full.cost), key=lambda way: way.cost)
    # One recycled release at most: what could not be used is gone, and copies are tried after it.
    first = [way for way in cheaper if way.how is How.RECYCLE][:1] + [way for way in cheaper if way.how is How.COPY]
    return [*sorted(first, key=lambda way: way.cost), full]


def _way(how: How, source: Previous, wanted: Manifest) -> Plan:
    change = difference(wanted=wanted.states, found=source.manifest.states)
    cost = _sent(wanted, change.write) + len(change.remove) * _PATH_COPIED
    return Plan(how, change, cost + (_copied(source.manifest) if how is How.COPY else 0), source.release)


def _sent(wanted: Manifest, paths: Sequence[str] | States) -> float:
    written = frozenset(paths)
    return sum(entry.size + _PATH_SENT for entry in wanted.entries if entry.path in written)


def _copied(manifest: Manifest) -> float:
    return manifest.size * _BYTE_COPIED + len(manifest.entries) * _PATH_COPIED
