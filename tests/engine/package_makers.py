"""Stores, packages and targets on this machine, for the tests of packages."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploynaut.engine.connections.base import Connection
from deploynaut.engine.connections.local import Local
from deploynaut.engine.packages import LaidOut, Package, PackageStore, Previous, lay_out, switch
from deploynaut.engine.repository import Kind
from deploynaut.engine.testing_mirror import Content, FakeMirror


def go_on() -> None:
    """A guard that lets everything go on."""


@dataclass
class Workshop:
    """A mirror, a store, one local target, and what was logged."""

    place: Path
    mirror: FakeMirror = field(default_factory=FakeMirror)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base = self.place / "site"
        self.base.mkdir(parents=True)
        self.store = PackageStore(self.place / "store")
        self.connection: Connection = Local(self.base, 1, "acme/uat#1")
        self.connection.take_over()

    def package(self, files: Mapping[str, Content]) -> Package:
        commit = self.mirror.commit(files)
        return self.store.get(mirror=self.mirror, commit=commit, build=None, log=self.lines.append, guard=go_on)

    def lay_out(
        self,
        package: Package,
        release: str,
        *,
        previous: Previous | None = None,
        recyclable: tuple[Previous, ...] = (),
        links: Mapping[str, str] | None = None,
    ) -> LaidOut:
        return lay_out(
            self.connection, package=package, release=release, previous=previous, recyclable=recyclable, links=links,
            log=self.lines.append,
        )  # fmt: skip

    def live(self, package: Package, release: str) -> Previous:
        """Laid out and switched to."""
        self.lay_out(package, release)
        switch(self.connection, release=release)
        return Previous(release, package.manifest)

    def release(self, number: str) -> Path:
        return self.base / "releases" / number

    def leftovers(self) -> list[str]:
        """What must not be there when nothing is being laid out."""
        hidden = [path.name for path in (self.base / "releases").iterdir() if path.name.startswith(".")]
        return hidden + [path.name for path in (self.base / ".deploynaut" / "tmp").iterdir()]


def tree(directory: Path) -> dict[str, tuple[str, int, bytes | str]]:
    """Every path below a directory but the release's note: kind, mode, content or link target."""
    found: dict[str, tuple[str, int, bytes | str]] = {}
    for folder, folders, names in os.walk(directory):
        for name in [*folders, *names]:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            key = str(path.relative_to(directory))
            if stat.S_ISLNK(mode):
                found[key] = ("link", 0, os.readlink(path))
            elif stat.S_ISDIR(mode):
                found[key] = ("directory", stat.S_IMODE(mode), "")
            else:
                found[key] = ("file", stat.S_IMODE(mode), path.read_bytes())
    found.pop(".deploynaut-release", None)
    return found


def wanted(files: Mapping[str, Content]) -> dict[str, tuple[str, int, bytes | str]]:
    """What `tree` must find for these files."""
    found: dict[str, tuple[str, int, bytes | str]] = {}
    for path, content in files.items():
        for up in Path(path).parents[:-1]:
            found[str(up)] = (Kind.DIRECTORY, 0o755, "")
        found[path] = (Kind.LINK, 0, content) if isinstance(content, str) else (Kind.FILE, 0o644, content)
    return found
