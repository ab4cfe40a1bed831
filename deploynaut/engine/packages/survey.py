"""What is on a target: its releases, what each says it is, which one is live, and how much room is left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from deploynaut.engine.connections.base import Connection
from deploynaut.engine.packages import scripts
from deploynaut.engine.shell import script

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_NOTE = re.compile(r"(?P<release>[0-9]+) (?P<commit>[0-9a-f]{40}|[0-9a-f]{64}) (?P<digest>[0-9a-f]{64})\n?")
_LEFT_OVER = re.compile(r"\.(?:0|[1-9][0-9]*)\.gone\.[0-9]+")


class Is(StrEnum):
    """What `current` is on a target."""

    NOTHING = "none"
    LINK = "link"
    SOMETHING_ELSE = "other"


@dataclass(frozen=True, slots=True)
class Present:
    """Something in `releases/`. `digest` and `commit`: what its note says it is, which proves nothing; else empty."""

    name: str
    directory: bool
    commit: str = ""
    digest: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is a directory with the name of a release."""
        return self.directory and is_release(self.name)


@dataclass(frozen=True, slots=True)
class Survey:
    """`live`: the release that `current` ends at, or None when it ends elsewhere, nowhere, or is no link.

    `free_bytes`, `free_inodes`: for us, in `releases/`; None where the file system does not count inodes.
    `leftovers`: what an earlier clean-up could not remove.
    """

    releases: tuple[Present, ...]
    live: str | None
    current: Is
    leads_to: str
    free_bytes: int
    free_inodes: int | None
    leftovers: tuple[str, ...] = ()


def survey(connection: Connection, *, clear: str = "") -> Survey:
    """Look at the target, and make the directories of a base path. `clear`: the release whose unfinished parts go."""
    said = connection.run(script(scripts.SURVEY, clear), timeout=300).output
    room, _, rest = said.decode("utf-8", "surrogateescape").partition("\n")
    current, link, end, rest = rest.split("\0", 3)
    base, _, listed = rest.partition("\n")
    free, size, inodes, all_inodes = map(int, room.split())
    found = tuple(_present(listed))
    return Survey(
        releases=tuple(present for present in found if not _LEFT_OVER.fullmatch(present.name)),
        live=_release(end, base=base),
        current=Is(current),
        leads_to=end or link,
        free_bytes=free * size,
        free_inodes=inodes if all_inodes else None,
        leftovers=tuple(present.name for present in found if _LEFT_OVER.fullmatch(present.name)),
    )


def is_release(name: str) -> bool:
    """Whether this is the name of a release: a number."""
    return _NUMBER.fullmatch(name) is not None


def check_release(name: str) -> str:
    """The name of a release. Raises ValueError for anything but a number."""
    if not is_release(name):
        raise ValueError(f"{name!r} is not the name of a release: those are numbers.")
    return name


def _present(listed: str) -> Iterator[Present]:
    fields = listed.split("\0")
    for kind, name, note in zip(fields[0:-1:3], fields[1:-1:3], fields[2:-1:3], strict=True):
        said = _NOTE.fullmatch(note)
        yield Present(name, kind == "directory", said["commit"] if said else "", said["digest"] if said else "")


def _release(end: str, *, base: str) -> str | None:
    above, _, name = end.rpartition("/")
    return name if above == f"{base}/releases" and is_release(name) else None
