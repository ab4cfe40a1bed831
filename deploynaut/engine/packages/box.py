"""One package on our disk: its manifest, and where each path lies in the tars ("layers") that hold it.

Layers are uncompressed, so that the tar of a difference is cut out of them in slices, and shared: the package of the
next commit is the layers of the one before and a small one of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from deploynaut.engine.packages import remembered, tar
from deploynaut.engine.packages.build import Guard
from deploynaut.engine.packages.manifest import Entry, Manifest
from deploynaut.engine.packages.work import remove, write_whole
from deploynaut.engine.repository import BadTree, Kind, Member, shown

_PIECE = 1024 * 1024
_GUARD_EVERY = 500


class Slice(NamedTuple):
    """Where a path lies: in which layer, its header from `start`, its content from `content`, all of it up to `end`."""

    layer: int
    start: int
    content: int
    end: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The layers of a package, oldest first, by name; and of each path what it is and where it lies."""

    layers: tuple[str, ...] = ()
    places: Mapping[str, tuple[Entry, Slice]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What is noted about a package."""

    commit: str
    tree: str
    layers: tuple[str, ...]


def fill(
    directory: Path, members: Iterable[Member], *, layers: Path, commit: str, tree: str, guard: Guard, kept: Contents
) -> Manifest:
    """Write a package of these members into a new directory. What is in `kept` is not written again.

    Nothing of it is used before this returns.
    """
    directory.mkdir(mode=0o700)
    layer = directory / "layer"
    # The disk's own clock: a changed file must have another time than it had, for caches of web servers.
    writer = _Writer(kept, number=len(kept.layers), mtime=int(directory.stat().st_mtime))
    with layer.open("xb", buffering=_PIECE) as file:
        for number, member in enumerate(members):
            if number % _GUARD_EVERY == 0:
                guard()
            writer.add(file, member)
        file.write(tar.END)
    name = _put_layer(layer, layers, writer.name)
    return _close(directory, writer.entries, About(commit, tree, (*kept.layers, name)))


def read(directory: Path) -> tuple[About, Manifest]:
    """What is noted about the package, and its manifest. Raises Damaged, FileNotFoundError."""
    text = (directory / "manifest").read_bytes()
    index = (directory / "index").read_bytes()
    try:
        noted = dict(json.loads((directory / "about.json").read_text("utf-8")))
        about = About(str(noted["commit"]), str(noted["tree"]), tuple(noted["layers"]))
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"The package {directory.name} is damaged.") from error
    if hashlib.sha256(text).hexdigest() != directory.name or noted.get("seal") != _seal(about, index):
        raise Damaged(f"What is noted about package {directory.name} was altered.")
    return about, remembered.manifest(text)


def check(layers: Path, about: About) -> None:
    """Raises Damaged when a layer is not what was written. Read whole only when it has been touched since."""
    for name in about.layers:
        path = layers / name
        try:
            signature = _signature(path)
        except FileNotFoundError as error:
            raise Damaged(f"A layer of a package is missing: {name}.") from error
        if _note_of(path) == signature:
            continue
        if _layer_name(path) != name:
            raise Damaged(f"A layer of a package was altered: {name}.")
        write_whole(_note(path), signature)


def contents(directory: Path, about: About, manifest: Manifest, *, only: Collection[str] | None = None) -> Contents:
    """Where each path of a package lies, or each of some paths. Raises Damaged."""
    numbers = array("Q")
    numbers.frombytes((directory / "index").read_bytes())
    if len(numbers) != 4 * len(manifest.entries):
        raise Damaged(f"The index of package {manifest.digest} was altered.")
    slices = map(Slice, numbers[0::4], numbers[1::4], numbers[2::4], numbers[3::4])
    pairs = zip(manifest.entries, slices, strict=True)
    wanted = (pair for pair in pairs if only is None or pair[0].path in only)
    return Contents(about.layers, {entry.path: (entry, place) for entry, place in wanted})


def put_in_place(new: Path, directory: Path, *, aside: Path) -> None:
    """Give a filled package its final name; an older one of that name (altered, or the same) gives way."""
    with contextlib.suppress(FileNotFoundError):
        directory.rename(aside)
    new.rename(directory)


def discard(directory: Path, *, aside: Path) -> None:
    """Remove a package; it never is half of one under its name."""
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    gone = aside / f"gone-{directory.name}"
    directory.rename(gone)
    remove(gone)


def discard_layers(layers: Path, *, used: frozenset[str]) -> None:
    """Remove the layers that no package has any more."""
    for path in layers.iterdir():
        if path.name.partition(".")[0] not in used:
            path.unlink(missing_ok=True)


class Damaged(Exception):
    """A package on our disk is not what was written there."""


class _Writer:
    """Adds members to a layer, and notes where each lies."""

    def __init__(self, kept: Contents, *, number: int, mtime: int) -> None:
        self.entries: list[tuple[Entry, Slice]] = []
        self._kept = kept
        self._number = number
        self._mtime = mtime
        self._hash = hashlib.sha256()
        self._at = 0

    @property
    def name(self) -> str:
        """Of the layer: a digest of its headers and of its files' digests, so that no byte is hashed twice."""
        return self._hash.hexdigest()

    def add(self, file: BinaryIO, member: Member) -> None:
        if (known := self._kept.places.get(member.path)) and known[0].kind is member.kind:
            self.entries.append(known)
            return
        header = _header(member, self._mtime)
        file.write(header)
        digest = _write_content(file, member) if member.kind is Kind.FILE else ""
        file.write(tar.padding(member.size))
        self._hash.update(header + digest.encode("ascii"))
        start, content = self._at, self._at + len(header)
        self._at = content + member.size + -member.size % tar.BLOCK
        entry = Entry(member.path, member.kind, member.mode, member.size, digest, member.target)
        self.entries.append((entry, Slice(self._number, start, content, self._at)))


def _write_content(file: BinaryIO, member: Member) -> str:
    digest, size = hashlib.sha256(), 0
    for chunk in member.chunks:
        digest.update(chunk)
        file.write(chunk)
        size += len(chunk)
    if size != member.size:
        raise BadTree(f"{shown(member.path)} changed while it was packed. Build again.")
    return digest.hexdigest()


def _layer_name(layer: Path) -> str:
    """The name that the layer on the disk should have."""
    name = hashlib.sha256()
    with layer.open("rb") as file:
        for header, size, is_file in tar.headers(file):
            digest = _digest(file, size) if is_file else ""
            file.seek(-size % tar.BLOCK, os.SEEK_CUR)
            name.update(header + digest.encode("ascii"))
    return name.hexdigest()


def _digest(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    while size and (piece := file.read(min(size, _PIECE))):
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


def _header(member: Member, mtime: int) -> bytes:
    return tar.header(
        member.path, kind=member.kind, mode=member.mode, size=member.size, target=member.target, mtime=mtime
    )


def _put_layer(new: Path, layers: Path, name: str) -> str:
    layers.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = layers / name
    new.rename(place)
    write_whole(_note(place), _signature(place))
    return name


def _close(directory: Path, entries: list[tuple[Entry, Slice]], about: About) -> Manifest:
    manifest = Manifest.of(entry for entry, _ in entries)
    places = {entry.path: place for entry, place in entries}
    index = array("Q", (number for entry in manifest.entries for number in places[entry.path])).tobytes()
    noted = {"commit": about.commit, "tree": about.tree, "layers": about.layers, "seal": _seal(about, index)}
    text = manifest.text()
    remembered.remember(text, manifest)
    (directory / "manifest").write_bytes(text)
    (directory / "index").write_bytes(index)
    (directory / "about.json").write_text(json.dumps(noted), "utf-8")
    return manifest


def _seal(about: About, index: bytes) -> str:
    """Holds the notes and the index together."""
    notes = json.dumps([about.commit, about.tree, about.layers])
    return hashlib.sha256(notes.encode() + index).hexdigest()


def _signature(path: Path) -> bytes:
    """Changes with every write, also one that puts the file's time back: nobody sets a ctime."""
    found = path.stat()
    return json.dumps([found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]).encode()


def _note(layer: Path) -> Path:
    return layer.with_name(f"{layer.name}.checked")


def _note_of(layer: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return _note(layer).read_bytes()
    return b""


def sizes(layers: Path, names: Iterable[str]) -> Iterator[int]:
    """Bytes of these layers."""
    return (os.stat(layers / name).st_size for name in names)
