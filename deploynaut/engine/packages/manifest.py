"""What a package holds, path by path, in one canonical form with one digest; and how two trees differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from deploynaut.engine.repository import Kind

VERSION = b"deploynaut manifest 1\n"
"""The first line of the canonical form. A change of the form is a new version, and then every digest is new."""

DIRECTORY_MODE = 0o755

_LETTERS = {Kind.FILE: b"f", Kind.LINK: b"l", Kind.DIRECTORY: b"d"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}


class Entry(NamedTuple):
    """One path. `digest`: sha256 (hex) of a file's content. `target`: where a link leads. Odd bytes as surrogates."""

    path: str
    kind: Kind
    mode: int
    size: int = 0
    digest: str = ""
    target: str = ""


class State(NamedTuple):
    """What must be equal for a path to be the same: a file's content, a link's target, and the mode."""

    kind: str
    mode: int
    value: str


States = Mapping[str, State]


@dataclass(frozen=True)
class Manifest:
    """All paths of a tree, sorted by their bytes; a directory stands before what it holds."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """Of entries in any order."""
        return cls(tuple(sorted(entries, key=lambda entry: _raw(entry.path))))

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the canonical form: equal for equal trees, whenever and wherever they were made."""
        return hashlib.sha256(self.text()).hexdigest()

    @cached_property
    def states(self) -> States:
        """By path, what has to be found on a target."""
        return {entry.path: state_of(entry) for entry in self.entries}

    @cached_property
    def proof(self) -> str:
        """sha256 (hex) of what a target lists of a directory that holds exactly this; see `scripts`."""
        paths, sums = zip(*map(_listed, self.entries), strict=True) if self.entries else ((), ())
        return hashlib.sha256(b"".join((*sorted(paths), *sorted(filter(None, sums))))).hexdigest()

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)

    def text(self) -> bytes:
        """The canonical form: a version line, then `kind mode size digest`, path and link target, each ended by NUL."""
        return VERSION + b"".join(map(_record, self.entries))

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """Raises BadManifest when it is not the canonical form of a manifest."""
        if not text.startswith(VERSION):
            raise BadManifest("This is not a manifest of this version. The package has to be built again.")
        fields = text[len(VERSION) :].split(b"\0")
        try:
            entries = map(_entry, fields[0:-1:3], fields[1:-1:3], fields[2:-1:3])
            return cls(tuple(entries))
        except (ValueError, KeyError) as error:
            raise BadManifest("The manifest is damaged. The package has to be built again.") from error

    def with_links(self, links: Mapping[str, str]) -> Manifest:
        """With these paths as links (to shared files, say) in place of whatever the package has there and below."""
        if not links:
            return self
        below = tuple(f"{path}/" for path in links)
        left = {
            entry.path: entry for entry in self.entries if entry.path not in links and not entry.path.startswith(below)
        }
        for path, target in links.items():
            left |= {up: Entry(up, Kind.DIRECTORY, DIRECTORY_MODE) for up in parents(path) if up not in left}
            left[path] = Entry(path, Kind.LINK, 0o777, target=target)
        return Manifest.of(left.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """What turns one tree into another: paths to remove (with all below them) first, then paths to write."""

    remove: tuple[str, ...]
    write: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.remove or self.write)

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that differs, once, sorted."""
        return tuple(sorted({*self.remove, *self.write}))


def state_of(entry: Entry) -> State:
    """What of an entry has to be equal. A link has no mode of its own on Linux."""
    if entry.kind is Kind.LINK:
        return State(entry.kind, 0, entry.target)
    return State(entry.kind, entry.mode, entry.digest)


def difference(*, wanted: States, found: States) -> Difference:
    """What has to be done to `found`."""
    write = tuple(path for path, state in wanted.items() if found.get(path) != state)
    remove = [path for path, state in found.items() if path not in wanted or wanted[path].kind != state.kind]
    gone = set(remove)
    return Difference(remove=tuple(path for path in remove if not gone.intersection(parents(path))), write=write)


def parents(path: str) -> list[str]:
    """The directories above a path, the nearest first: of `a/b/c`, `a/b` and `a`."""
    return [path[:at] for at in range(len(path) - 1, 0, -1) if path[at] == "/"]


class BadManifest(ValueError):
    """The text is not a manifest."""


def _record(entry: Entry) -> bytes:
    head = b"%b %04o %d %b" % (_LETTERS[entry.kind], entry.mode, entry.size, entry.digest.encode("ascii") or b"-")
    return b"%b\0%b\0%b\0" % (head, _raw(entry.path), _raw(entry.target))


def _listed(entry: Entry) -> tuple[bytes, bytes]:
    """How `find` and `sha256sum` name an entry. No path holds `//`, so what stands behind it is the target."""
    path = _raw(entry.path)
    line = b"%b %o %b//%b\0" % (_LETTERS[entry.kind], entry.mode, path, _raw(entry.target))
    return line, b"%b *./%b\0" % (entry.digest.encode("ascii"), path) if entry.kind is Kind.FILE else b""


def _entry(head: bytes, path: bytes, target: bytes) -> Entry:
    letter, mode, size, digest = head.split(b" ")
    name = path.decode("utf-8", "surrogateescape")
    leads = target.decode("utf-8", "surrogateescape")
    return Entry(name, _KINDS[letter], int(mode, 8), int(size), "" if digest == b"-" else digest.decode("ascii"), leads)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
