"""One package on our disk: an uncompressed tar, its manifest, and where each path lies in the tar.

Uncompressed, so that the tar of a difference is cut out of it in slices.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from deploynaut.engine.packages import tar
from deploynaut.engine.packages.build import Guard
from deploynaut.engine.packages.manifest import Entry, Manifest
from deploynaut.engine.packages.work import remove
from deploynaut.engine.repository import BadTree, Kind, Member, shown

TAR = "package.tar"

_PIECE = 1024 * 1024
_GUARD_EVERY = 500


class Slice(NamedTuple):
    """Where a path lies in the tar: its header from `start`, its content from `content`, all of it up to `end`."""

    start: int
    content: int
    end: int


def fill(directory: Path, members: Iterable[Member], *, about: dict[str, str], guard: Guard) -> Manifest:
    """Write a package of these members into a new directory. Nothing of it is used before this returns."""
    directory.mkdir(mode=0o700)
    headers = hashlib.sha256()
    entries: list[tuple[Entry, Slice]] = []
    # The disk's own clock: a changed file must have another time than it had, for caches of web servers.
    mtime = int(directory.stat().st_mtime)
    with (directory / TAR).open("xb", buffering=_PIECE) as file:
        for number, member in enumerate(members):
            if number % _GUARD_EVERY == 0:
                guard()
            entries.append(_add(file, member, mtime=mtime, headers=headers))
        file.write(tar.END)
    return _close(directory, entries, {**about, "headers": headers.hexdigest()})


def read(directory: Path) -> tuple[dict[str, str], Manifest]:
    """What is noted about the package, and its manifest. Raises Damaged, FileNotFoundError."""
    try:
        about = dict(json.loads((directory / "about.json").read_text("utf-8")))
        manifest = Manifest.parse((directory / "manifest").read_bytes())
    except (ValueError, TypeError) as error:
        raise Damaged(f"The package {directory.name} is damaged.") from error
    if manifest.digest != directory.name or about.get("seal") != _seal(about, (directory / "index").read_bytes()):
        raise Damaged(f"What is noted about package {directory.name} was altered.")
    return about, manifest


def check(directory: Path, manifest: Manifest) -> None:
    """Raises Damaged when the tar is not what was written. Read whole only when the file has been touched since."""
    if _note_of(directory / "checked") == _signature(directory):
        return
    about, _ = read(directory)
    headers = hashlib.sha256()
    with (directory / TAR).open("rb") as file:
        places = zip(manifest.entries, slices(directory, manifest).values(), strict=True)
        for entry, place in sorted(places, key=lambda pair: pair[1].start):
            headers.update(_at(file, place.start, place.content))
            if entry.kind is Kind.FILE and _hash(file, entry.size) != entry.digest:
                raise Damaged(f"{shown(entry.path)} in package {manifest.digest} was altered.")
    if headers.hexdigest() != about["headers"]:
        raise Damaged(f"The package {manifest.digest} was altered.")
    write_whole(directory / "checked", _signature(directory))


def slices(directory: Path, manifest: Manifest) -> dict[str, Slice]:
    """By path, in the manifest's order. Raises Damaged."""
    numbers = array("Q")
    numbers.frombytes((directory / "index").read_bytes())
    if len(numbers) != 3 * len(manifest.entries):
        raise Damaged(f"The index of package {manifest.digest} was altered.")
    places = map(Slice, numbers[0::3], numbers[1::3], numbers[2::3])
    return dict(zip((entry.path for entry in manifest.entries), places, strict=True))


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


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.write_bytes(content)
    temporary.replace(path)


class Damaged(Exception):
    """A package on our disk is not what was written there."""


def _add(file: BinaryIO, member: Member, *, mtime: int, headers: hashlib._Hash) -> tuple[Entry, Slice]:
    start = file.tell()
    header = tar.header(
        member.path, kind=member.kind, mode=member.mode, size=member.size, target=member.target, mtime=mtime
    )
    headers.update(header)
    file.write(header)
    digest = _write(file, member) if member.kind is Kind.FILE else ""
    file.write(tar.padding(member.size))
    entry = Entry(member.path, member.kind, member.mode, member.size, digest, member.target)
    content = start + len(header)
    return entry, Slice(start, content, content + member.size + -member.size % tar.BLOCK)


def _write(file: BinaryIO, member: Member) -> str:
    digest, size = hashlib.sha256(), 0
    for chunk in member.chunks:
        digest.update(chunk)
        file.write(chunk)
        size += len(chunk)
    if size != member.size:
        raise BadTree(f"{shown(member.path)} changed while it was packed. Build again.")
    return digest.hexdigest()


def _close(directory: Path, entries: list[tuple[Entry, Slice]], about: dict[str, str]) -> Manifest:
    manifest = Manifest.of(entry for entry, _ in entries)
    places = {entry.path: place for entry, place in entries}
    numbers = array("Q", (number for entry in manifest.entries for number in places[entry.path]))
    (directory / "manifest").write_bytes(manifest.text())
    (directory / "index").write_bytes(numbers.tobytes())
    sealed = {**about, "seal": _seal(about, numbers.tobytes())}
    (directory / "about.json").write_text(json.dumps(sealed), "utf-8")
    (directory / "checked").write_bytes(_signature(directory))
    return manifest


def _seal(about: dict[str, str], index: bytes) -> str:
    """Holds the notes and the index together."""
    notes = {name: text for name, text in about.items() if name != "seal"}
    return hashlib.sha256(json.dumps(notes, sort_keys=True).encode() + index).hexdigest()


def _signature(directory: Path) -> bytes:
    """Changes with every write to the tar, also one that puts its time back: nobody sets a ctime."""
    found = (directory / TAR).stat()
    return json.dumps([found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]).encode()


def _note_of(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _at(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _hash(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    while size and (piece := file.read(min(size, _PIECE))):
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()
