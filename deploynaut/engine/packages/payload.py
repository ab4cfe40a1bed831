"""The bytes that go to a target: paths to remove, then a tar of paths to write, cut out of the package's tar."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from deploynaut.engine.packages import tar
from deploynaut.engine.packages.box import Damaged, Slice
from deploynaut.engine.packages.manifest import Difference, Entry, Manifest, state_of
from deploynaut.engine.packages.store import Package
from deploynaut.engine.packages.work import work_directory
from deploynaut.engine.repository import Kind, shown

IN_MEMORY = 8 * 1024 * 1024
"""Bytes of a payload that are kept in memory; a larger one is a file until it is sent."""

_PIECE = 1024 * 1024
_NOWHERE = Slice(0, 0, 0, 0)

SEED = "seed"
"""What the member of a seed is called in its tar."""


@contextlib.contextmanager
def whole(package: Package, *, wanted: Manifest) -> Iterator[bytes | Path]:
    """A tar of all that is wanted: the package's own layer as it lies there, when there is just that one to send."""
    layers = package.contents(only=()).layers
    if wanted is package.manifest and len(layers) == 1:
        yield package.layers / layers[0]
    else:
        with partial(package, wanted=wanted, change=Difference((), tuple(wanted.states))) as (_, payload):
            yield payload


@contextlib.contextmanager
def partial(package: Package, *, wanted: Manifest, change: Difference) -> Iterator[tuple[int, bytes | Path]]:
    """The length of the list of removals, and that list with the tar of what is to be written.

    All links are in the tar: the target holds none while it writes. Raises Damaged when the package was altered.
    """
    removals = b"".join(b"./%b\0" % path.encode("utf-8", "surrogateescape") for path in change.remove)
    written = frozenset(change.write)
    entries = [entry for entry in wanted.entries if entry.kind is Kind.LINK or entry.path in written]
    with _spool(len(removals) + sum(entry.size for entry in entries), package) as spool:
        spool.write(removals)
        _write_tar(spool, package, entries)
        yield len(removals), _payload(spool)


def seed(package: Package, path: str) -> contextlib.AbstractContextManager[bytes | Path]:
    """A tar of one path of the package and all below it, called `SEED`."""
    under = f"{path}/"
    entries = [entry for entry in package.manifest.entries if entry.path == path or entry.path.startswith(under)]
    return _seed(package, entries, cut=len(path))


@contextlib.contextmanager
def _seed(package: Package, entries: list[Entry], *, cut: int) -> Iterator[bytes | Path]:
    with _spool(sum(entry.size for entry in entries), package) as spool:
        _write_tar(spool, package, entries, rename=lambda path: SEED + path[cut:])
        yield _payload(spool)


@contextlib.contextmanager
def _spool(size: int, package: Package) -> Iterator[BinaryIO]:
    """Memory for a small payload, a file in the store's work directory for a large one."""
    if size <= IN_MEMORY:
        yield io.BytesIO()
    else:
        with work_directory(package.directory.parent.parent / "work") as work, (work / "payload").open("xb+") as file:
            yield file


def _payload(spool: BinaryIO) -> bytes | Path:
    if isinstance(spool, io.BytesIO):
        return spool.getvalue()
    spool.flush()
    return Path(spool.name)


def _write_tar(
    to: BinaryIO, package: Package, entries: Iterable[Entry], *, rename: Callable[[str], str] | None = None
) -> None:
    entries = tuple(entries)
    held = package.contents(only={entry.path for entry in entries})
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context((package.layers / name).open("rb")) for name in held.layers]
        for entry in entries:
            known, place = held.places.get(entry.path, (None, _NOWHERE))
            # A path of the environment's own, such as a link to shared files, is not in the package.
            there = known is not None and state_of(known) == state_of(entry)
            if rename or not there:
                to.write(_header(rename(entry.path) if rename else entry.path, entry, mtime=_mtime(package)))
            if there:
                _copy(files[place.layer], place, entry, to=to, header=not rename)
    to.write(tar.END)


def _copy(file: BinaryIO, place: Slice, entry: Entry, *, to: BinaryIO, header: bool) -> None:
    file.seek(place.start)
    head = file.read(place.content - place.start)
    to.write(head if header else b"")
    digest = hashlib.sha256()
    left = entry.size
    while left and (piece := file.read(min(left, _PIECE))):
        digest.update(piece)
        to.write(piece)
        left -= len(piece)
    to.write(tar.padding(entry.size))
    if left or (entry.kind is Kind.FILE and digest.hexdigest() != entry.digest):
        raise Damaged(f"{shown(entry.path)} in a package was altered on Deploynaut's own disk. Release again.")


def _header(path: str, entry: Entry, *, mtime: int) -> bytes:
    return tar.header(path, kind=entry.kind, mode=entry.mode, size=entry.size, target=entry.target, mtime=mtime)


def _mtime(package: Package) -> int:
    return int((package.directory / "manifest").stat().st_mtime)
