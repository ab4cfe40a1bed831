"""Where packages are kept: one directory a content digest, written once, checked before each use."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploynaut.engine.packages import box
from deploynaut.engine.packages.box import Damaged
from deploynaut.engine.packages.build import Build, Guard, Log, run_build
from deploynaut.engine.packages.manifest import Manifest
from deploynaut.engine.packages.tree import walk
from deploynaut.engine.packages.work import locked, sweep, work_directory
from deploynaut.engine.repository import Limits, Member, RepositoryDamaged, inspect
from deploynaut.engine.repository.fetching import Progress

FORMAT = 1


class Source(Protocol):
    """What a package is made from; `repository.Mirror` is one."""

    def tree(self, commit: str) -> str:
        """The id of the commit's tree."""

    def archive(self, commit: str) -> Iterator[Member]:
        """Its inspected members."""

    def export(self, commit: str, directory: Path) -> None:
        """Its members, written into a directory."""

    def repair(self, *, progress: Progress, guard: Guard) -> object:
        """Clone anew what is damaged."""


@dataclass(frozen=True)
class Package:
    """The built tree of a revision, ready to be laid out. `size`: bytes of its files."""

    commit: str
    tree: str
    digest: str
    directory: Path
    manifest: Manifest
    size: int


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
                package = self._make(mirror, commit, tree, build, log=log, guard=guard)
                box.write_whole(self._path("keys", key), package.digest.encode("ascii"))
        return package

    def find(self, digest: str) -> Package | None:
        """The package with this content digest, or None when it is not there or has been altered."""
        directory = self._package(digest)
        try:
            about, manifest = box.read(directory)
            box.check(directory, manifest)
        except (Damaged, FileNotFoundError):
            return None
        return Package(about["commit"], about["tree"], digest, directory, manifest, manifest.size)

    def trim(self, *, keep: frozenset[str], limit: int) -> list[str]:
        """Remove packages, longest unused first, until all take at most `limit` bytes. Gives the digests removed.

        Those in `keep` (promotable, live, known good) stay, whatever they take.
        """
        sweep(self._path("work"))
        sizes = {path: _taken(path) for path in self._packages()}
        total = sum(sizes.values())
        removed: list[str] = []
        for path in sorted(sizes, key=lambda path: path.stat().st_mtime_ns):
            if total > limit and path.name not in keep:
                box.discard(path, aside=self._path("work"))
                total -= sizes[path]
                removed.append(path.name)
        return removed

    def _made_before(self, key: str, *, commit: str, tree: str, log: Log) -> Package | None:
        try:
            digest = self._path("keys", key).read_text("ascii")
        except FileNotFoundError:
            return None
        found = self.find(digest)
        if found is None:
            log("The stored package is missing or was altered; it is made anew")
            return None
        os.utime(found.directory)
        return Package(commit, tree, found.digest, found.directory, found.manifest, found.size)

    def _make(self, mirror: Source, commit: str, tree: str, build: Build | None, *, log: Log, guard: Guard) -> Package:
        try:
            return self._fill(mirror, commit, tree, build, log=log, guard=guard)
        except RepositoryDamaged:
            log("The mirror lacks objects of this revision; it is cloned anew")
            mirror.repair(progress=lambda phase, percent: None, guard=guard)
            return self._fill(mirror, commit, tree, build, log=log, guard=guard)
        except OSError as error:
            raise _full(error, self.directory) from error

    def _fill(self, mirror: Source, commit: str, tree: str, build: Build | None, *, log: Log, guard: Guard) -> Package:
        sweep(self._path("work"))
        with work_directory(self._path("work")) as work:
            members = self._members(mirror, commit, build, work=work, log=log, guard=guard)
            manifest = box.fill(work / "package", members, about={"commit": commit, "tree": tree}, guard=guard)
            directory = self._package(manifest.digest)
            box.put_in_place(work / "package", directory, aside=work / "old")
        log(f"Package {manifest.digest[:12]}: {len(manifest.entries)} paths, {manifest.size} bytes")
        return Package(commit, tree, manifest.digest, directory, manifest, manifest.size)

    def _members(
        self, mirror: Source, commit: str, build: Build | None, *, work: Path, log: Log, guard: Guard
    ) -> Iterator[Member]:
        if build is None:
            return mirror.archive(commit)
        tree, home = work / "tree", work / "home"
        home.mkdir(mode=0o700)
        mirror.export(commit, tree)
        run_build(build, tree=tree, home=home, log=log, guard=guard)
        return inspect(walk(tree), limits=self._limits)

    def _path(self, *parts: str) -> Path:
        path = self.directory.joinpath(*parts)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def _package(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError(f"{digest!r} is not the digest of a package.")
        return self._path("packages", digest)

    def _packages(self) -> list[Path]:
        return [path for path in self._path("packages", "x").parent.iterdir() if len(path.name) == 64]


class StoreFull(Exception):
    """The disk of the Deploynaut machine has no room for another package."""


def _key(tree: str, build: Build | None) -> str:
    """One name for what is built and how; the format's number makes older packages be built anew."""
    words = list(build.words) if build else None
    return hashlib.sha256(json.dumps([FORMAT, tree, words]).encode()).hexdigest()


def _full(error: OSError, directory: Path) -> Exception:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    free = shutil.disk_usage(directory).free
    return StoreFull(f"Deploynaut's own disk is full: {free} bytes free in its packages. The site is untouched.")


def _taken(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())
