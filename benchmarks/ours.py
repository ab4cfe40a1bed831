"""Deploynaut's own way from a commit to a live release on the host of the benchmark."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.loopback import Loopback
from deploynaut.engine.connections import Host, OpenSSH
from deploynaut.engine.packages import (
    How,
    LaidOut,
    Package,
    PackageStore,
    Present,
    Previous,
    Survey,
    clean_up,
    lay_out,
    removable,
    survey,
    switch,
    verify,
)
from deploynaut.engine.repository import Access, Mirror

KEEP = 5


class Ours:
    """Releases commits of a mirror to a base path of the host. A new connection for each act, as each run has."""

    def __init__(self, host: Loopback, *, repository: Path, directory: Path) -> None:
        directory.mkdir()
        self._host = host
        self._directory = directory
        self.base = host.directory / "deploynaut"
        self.mirror = Mirror(directory / "mirror", access=Access(str(repository)), allow_local_below=repository.parent)
        self.mirror.fetch(progress=lambda phase, percent: None, guard=_go_on)
        self._number = 0
        self.how: list[LaidOut] = []

    def clear(self) -> None:
        """As on a new host, and with no package made before."""
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.rmtree(self._directory / "store", ignore_errors=True)
        self._host.own(self.base)
        self._number = 0

    def release(self, commit: str) -> None:
        """Package (while the connection is made and the way back is proven), lay out, verify, switch, clean up."""
        self._number += 1
        release = str(self._number)
        store = PackageStore(self._directory / "store")
        with self._connection() as connection, ThreadPoolExecutor(2) as pool:
            packed = pool.submit(store.get, mirror=self.mirror, commit=commit, build=None, log=_quiet, guard=_go_on)
            seen = survey(connection)
            proven = pool.submit(_prove, connection, store, seen)
            old = removable(seen.releases, live=seen.live, known_good=seen.live, pinned=(), keep=KEEP - 1)
            laid = lay_out(
                connection,
                package=packed.result(),
                release=release,
                previous=_previous(store, seen, seen.live),
                recyclable=[one for one in (_previous(store, seen, name) for name in old) if one],
                seen=seen,
                log=_quiet,
            )
            proven.result()
            switch(connection, release=release)
            clean_up(connection, releases=_gone(seen, laid))
        self.how.append(laid)

    def roll_back(self) -> None:
        """To the release before, every file of which is verified first."""
        with self._connection() as connection:
            store = PackageStore(self._directory / "store")
            seen = survey(connection)
            before = str(max(int(one.name) for one in seen.releases if one.ours and one.name != seen.live))
            verify(connection, release=before, package=_package(store, seen, before))
            switch(connection, release=before)

    def current(self) -> Path:
        """The live release."""
        return (self.base / "current").resolve()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[OpenSSH]:
        host = Host("127.0.0.1", self._host.port, self._host.user, self._host.host_keys["ed25519"])
        scratch = self._directory / "scratch"
        scratch.mkdir(mode=0o700, exist_ok=True)
        key = self._host.key.read_bytes()
        connection = OpenSSH(host, str(self.base), 1, f"acme/bench#{self._number}", key, scratch)
        try:
            yield connection
        finally:
            connection.close()


def _gone(seen: Survey, laid: LaidOut) -> list[str]:
    """What goes, now that there is a release more, and perhaps one less: the recycled one."""
    left = [one for one in seen.releases if laid.how is not How.RECYCLE or one.name != laid.source]
    there = [*left, Present(laid.release, directory=True)]
    return removable(there, live=laid.release, known_good=None, pinned=(), keep=KEEP)


def _prove(connection: OpenSSH, store: PackageStore, seen: Survey) -> None:
    """The live release is the way back: every file of it is read before anything is changed."""
    if seen.live:
        verify(connection, release=seen.live, package=_package(store, seen, seen.live))


def _package(store: PackageStore, seen: Survey, release: str) -> Package:
    digest = next(one.digest for one in seen.releases if one.name == release)
    found = store.find(digest)
    if found is None:
        raise SystemExit(f"The package of release {release} is not in the store.")
    return found


def _previous(store: PackageStore, seen: Survey, release: str | None) -> Previous | None:
    return Previous(release, _package(store, seen, release).manifest) if release else None


def _go_on() -> None:
    """A guard that lets everything go on."""


def _quiet(line: str) -> None:
    """A log that nobody reads."""
