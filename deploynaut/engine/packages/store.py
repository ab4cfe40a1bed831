"""Where packages are kept: one directory a content digest, written once, checked before each use."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from deploynaut.engine.packages import box
from deploynaut.engine.packages.box import Contents, Damaged
from deploynaut.engine.packages.build import Build, Guard, Log, run_build
from deploynaut.engine.packages.growth import Growing, grow
from deploynaut.engine.packages.manifest import Manifest
from deploynaut.engine.packages.tree import walk
from deploynaut.engine.packages.work import locked, sweep, work_directory, write_whole
from deploynaut.engine.repository import Limits, Member, RepositoryDamaged, inspect
from deploynaut.engine.repository.fetching import Progress

FORMAT = 2


class Source(Growing, Protocol):
    """What a package is made from; `repository.Mirror` is one."""

    @property
    def origin(self) -> str:
        """Tells one repository from another."""

    def tree(self, commit: str) -> str:
        """The id of the commit's tree."""

    def export(self, commit: str, directory: Path) -> None:
        """Its members, written into a directory."""

    def repair(self, *, progress: Progress, guard: Guard) -> object:
        """Clone anew what is damaged."""


@dataclass(frozen=True)
class Package:
    """The built tree of a revision, ready to be laid out. `size`: bytes of its files. `layers`: where its tars are."""

    commit: str
    tree: str
    digest: str
    directory: Path
    layers: Path
    manifest: Manifest
    size: int

    def contents(self, *, only: Collection[str] | None = None) -> Contents:
        """Where each path lies, or each of some paths. Raises Damaged."""
        about, manifest = box.read(self.directory)
        return box.contents(self.directory, about, manifest, only=only)


class PackageStore:
    """Packages by content digest below `directory`, which is ours alone and made when missing."""

    def __init__(self, directory: Path, *, limits: Limits | None = None) -> None:
        self.directory = directory
        self._limits = limits or Limits()

    def get(self, *, mirror: Source, commit: str, build: Build | None, log: Log, guard: Guard) -> Package:
        """The package of this commit and build, made when it is not there or has been altered.

        Of several who ask at once, one makes it and the others wait. Raises BadTree, BuildFailed, StoreFull,
        RevisionNotFound and the other errors of the repository.
        """
        tree = mirror.tree(commit)
        key = _key(tree, build)
        with locked(self._path("locks", key), guard=guard, waiting=lambda: log("Waiting: the package is being made")):
            package = self._made_before(key, commit=commit, tree=tree, log=log)
            if package is None:
                with locked(self._path("locks", "trim"), guard=guard, shared=True):
                    package = self._make(_Order(mirror, commit, tree, build, log, guard))
                write_whole(self._path("keys", key), package.digest.encode("ascii"))
            if build is None:
                write_whole(self._latest(mirror), package.digest.encode("ascii"))
        return package

    def find(self, digest: str) -> Package | None:
        """The package with this content digest, or None when it is not there or has been altered."""
        directory, layers = self._package(digest), self._path("layers")
        try:
            about, manifest = box.read(directory)
            box.check(layers, about)
        except (Damaged, FileNotFoundError):
            return None
        return Package(about.commit, about.tree, digest, directory, layers, manifest, manifest.size)

    def trim(self, *, keep: frozenset[str], limit: int) -> list[str]:
        """Remove packages, longest unused first, until all take at most `limit` bytes. Gives the digests removed.

        Those in `keep` (promotable, live, known good) stay, whatever they take.
        """
        with locked(self._path("locks", "trim"), guard=lambda: None):
            sweep(self._path("work"))
            removed: list[str] = []
            for path in sorted(self._packages(), key=lambda path: path.stat().st_mtime_ns):
                if self._taken() > limit and path.name not in keep:
                    box.discard(path, aside=self._path("work"))
                    removed.append(path.name)
                    self._forget_layers()
        return removed

    def _made_before(self, key: str, *, commit: str, tree: str, log: Log) -> Package | None:
        digest = _noted(self._path("keys", key))
        if digest is None:
            return None
        found = self.find(digest)
        if found is None:
            log("The stored package is missing or was altered; it is made anew")
            return None
        os.utime(found.directory)
        return replace(found, commit=commit, tree=tree)

    def _make(self, order: _Order) -> Package:
        try:
            return self._fill(order)
        except RepositoryDamaged:
            order.log("The mirror lacks objects of this revision; it is cloned anew")
            order.mirror.repair(progress=lambda phase, percent: None, guard=order.guard)
            return self._fill(order)
        except OSError as error:
            raise _full(error, self.directory) from error

    def _fill(self, order: _Order) -> Package:
        sweep(self._path("work"))
        layers = self._path("layers")
        with work_directory(self._path("work")) as work:
            members, kept = self._members(order, work)
            manifest = box.fill(
                work / "package",
                members,
                layers=layers,
                commit=order.commit,
                tree=order.tree,
                guard=order.guard,
                kept=kept,
            )
            directory = self._package(manifest.digest)
            box.put_in_place(work / "package", directory, aside=work / "old")
        order.log(f"Package {manifest.digest[:12]}: {len(manifest.entries)} paths, {manifest.size} bytes")
        return Package(order.commit, order.tree, manifest.digest, directory, layers, manifest, manifest.size)

    def _members(self, order: _Order, work: Path) -> tuple[Iterator[Member], Contents]:
        if order.build is None:
            return self._grown(order) or (order.mirror.archive(order.commit), Contents())
        tree, home = work / "tree", work / "home"
        home.mkdir(mode=0o700)
        order.mirror.export(order.commit, tree)
        run_build(order.build, tree=tree, home=home, log=order.log, guard=order.guard)
        return inspect(walk(tree), limits=self._limits), Contents()

    def _grown(self, order: _Order) -> tuple[Iterator[Member], Contents] | None:
        """From the package that this repository's last one is, when that is there and whole."""
        digest = _noted(self._latest(order.mirror))
        base = self.find(digest) if digest else None
        if base is None:
            return None
        return grow(
            order.mirror,
            commit=order.commit,
            tree=order.tree,
            before=base.tree,
            held=base.contents(),
            layers=base.layers,
            limits=self._limits,
        )

    def _forget_layers(self) -> None:
        used: set[str] = set()
        for path in self._packages():
            with contextlib.suppress(Damaged, FileNotFoundError):
                used.update(box.read(path)[0].layers)
        box.discard_layers(self._path("layers"), used=frozenset(used))

    def _taken(self) -> int:
        files = (path for folder in ("packages", "layers") for path in self._path(folder).rglob("*"))
        return sum(path.stat().st_size for path in files if path.is_file())

    def _latest(self, mirror: Source) -> Path:
        return self._path("latest", hashlib.sha256(mirror.origin.encode("utf-8", "surrogateescape")).hexdigest())

    def _path(self, folder: str, *parts: str) -> Path:
        place = self.directory / folder
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place.joinpath(*parts)

    def _package(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError(f"{digest!r} is not the digest of a package.")
        return self._path("packages", digest)

    def _packages(self) -> list[Path]:
        return [path for path in self._path("packages").iterdir() if len(path.name) == 64]


class StoreFull(Exception):
    """The disk of the Deploynaut machine has no room for another package."""


@dataclass(frozen=True, slots=True)
class _Order:
    """A package to be made."""

    mirror: Source
    commit: str
    tree: str
    build: Build | None
    log: Log
    guard: Guard


def _key(tree: str, build: Build | None) -> str:
    """One name for what is built and how; the format's number makes older packages be built anew."""
    words = list(build.words) if build else None
    return hashlib.sha256(json.dumps([FORMAT, tree, words]).encode()).hexdigest()


def _noted(path: Path) -> str | None:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text("ascii")
    return None


def _full(error: OSError, directory: Path) -> Exception:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    free = shutil.disk_usage(directory).free
    return StoreFull(f"Deploynaut's own disk is full: {free} bytes free in its packages. The site is untouched.")
