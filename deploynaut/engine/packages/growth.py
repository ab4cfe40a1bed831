"""The package of a commit, grown from the package of an earlier one: only what differs is asked of git and written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from deploynaut.engine.packages import box
from deploynaut.engine.packages.box import Contents
from deploynaut.engine.repository import Changes, Kind, Limits, Member, inspect

MOST_LAYERS = 20

_DEAD_SHARE = 0.5
_SLACK = 4 * 1024 * 1024


class Growing(Protocol):
    """What a package is grown from."""

    def changes(self, before: str, after: str) -> Changes | None:
        """What differs between two trees, or None when it cannot be told path by path."""

    def archive(self, commit: str, *, only: tuple[str, ...] | None = None) -> Iterator[Member]:
        """The inspected members of the commit's tree, or of some of its paths."""


def grow(
    source: Growing, *, commit: str, tree: str, before: str, held: Contents, layers: Path, limits: Limits
) -> tuple[Iterator[Member], Contents] | None:
    """All members of the new tree, inspected, and which of them are held already.

    None where packing anew is better: too much differs, or too much of the old layers would be dead weight.
    """
    if len(held.layers) >= MOST_LAYERS or _mostly_dead(held, layers):
        return None
    changes = source.changes(before, tree)
    if changes is None:
        return None
    touched = frozenset((*changes.removed, *changes.written))
    places = {path: place for path, place in held.places.items() if path not in touched}
    kept = Contents(held.layers, places)
    return inspect(_members(source, commit, changes, kept=kept), limits=limits), kept


def _members(source: Growing, commit: str, changes: Changes, *, kept: Contents) -> Iterator[Member]:
    """Files and links; their directories follow from them."""
    for entry, _ in kept.places.values():
        if entry.kind is not Kind.DIRECTORY:
            yield Member(entry.path, entry.kind, entry.mode, entry.size, entry.target)
    if changes.written:
        fresh = source.archive(commit, only=changes.written)
        yield from (member for member in fresh if member.kind is not Kind.DIRECTORY)


def _mostly_dead(held: Contents, layers: Path) -> bool:
    living = sum(place.end - place.start for _, place in held.places.values())
    return living < _DEAD_SHARE * sum(box.sizes(layers, held.layers)) - _SLACK
