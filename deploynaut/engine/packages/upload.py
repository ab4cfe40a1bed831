"""Puts a package on a target beside the live release, the cheapest way that is safe, and proves every file of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploynaut.engine.connections.base import CommandFailed, Connection
from deploynaut.engine.packages import payload, scripts
from deploynaut.engine.packages.listing import LIST_SECONDS, TRANSFER_SECONDS, compared
from deploynaut.engine.packages.manifest import Difference, Manifest
from deploynaut.engine.packages.plans import How, Plan, Previous, ways
from deploynaut.engine.packages.releases import ReleaseError, ReleaseMissing
from deploynaut.engine.packages.room import check_room, of_failure
from deploynaut.engine.packages.store import Package
from deploynaut.engine.packages.survey import Survey, check_release, survey
from deploynaut.engine.repository import shown
from deploynaut.engine.shell import script

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LaidOut:
    """How it was done. `sent`: paths written; `removed`: paths removed; `repaired`: paths found altered and mended."""

    release: str
    how: How
    source: str = ""
    sent: int = 0
    removed: int = 0
    repaired: int = 0

    def __str__(self) -> str:
        came = {How.COPY: f"from a copy of release {self.source}", How.RECYCLE: f"from old release {self.source}"}
        text = f"Release {self.release} laid out {came.get(self.how, 'whole')}: {self.sent} paths sent"
        return f"{text}, {self.repaired} mended" if self.repaired else text


def lay_out(
    connection: Connection,
    *,
    package: Package,
    release: str,
    previous: Previous | None,
    recyclable: Sequence[Previous] = (),
    links: Mapping[str, str] | None = None,
    seen: Survey | None = None,
    log: Log,
) -> LaidOut:
    """Put the package at `releases/<release>`, verified file by file on the target; only then it has that name.

    `previous`: the live release, copied and never touched. `recyclable`: old releases that may be used up.
    `links`: paths that are links (to shared files) in place of what the package has there. `seen`: a survey that the
    same run has just made.
    Raises NoRoom, TargetDisk, ReleaseAltered, ReleaseInUse; the live release is untouched and no part is left.
    """
    laying = _Laying(connection, package, check_release(release), package.manifest.with_links(links or {}), log)
    seen = seen or survey(connection, clear=release)
    if (there := laying.already(seen)) is not None:
        return there
    plans = ways(laying.wanted, seen, previous=previous, recyclable=recyclable)
    for plan in plans[:-1]:
        with contextlib.suppress(_Unfit):
            return laying.follow(plan, seen)
    return laying.follow(plans[-1], seen)


def verify(connection: Connection, *, release: str, package: Package, links: Mapping[str, str] | None = None) -> None:
    """Read every file of a release on the target. Raises ReleaseAltered with the first paths, ReleaseMissing."""
    wanted = package.manifest.with_links(links or {})
    try:
        change = compared(connection, scripts.LIST, check_release(release), wanted=wanted)
    except CommandFailed as error:
        if b"can't cd to" in error.errors or b"No such file" in error.errors:
            raise ReleaseMissing(f"Release {release} is not on {connection.name}. Lay it out again.") from error
        raise
    if change:
        raise ReleaseAltered.of(change, release=release, host=connection.name)


def seed(connection: Connection, *, package: Package, path: str, to: str) -> bool:
    """Fill a shared path with what the package has at `path`, unless something is there already.

    `to` is relative to the base. Gives whether it was filled; a path that the package does not have fills nothing.
    """
    if path not in package.manifest.states:
        return False
    with payload.seed(package, path) as content:
        said = connection.run(script(scripts.SEED, to), timeout=TRANSFER_SECONDS, stdin=content)
    return said.output.strip() == b"seeded"


class ReleaseAltered(ReleaseError):
    """A release on a target does not hold what its package holds. `paths`: all that differ."""

    def __init__(self, text: str, *, paths: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.paths = paths

    @classmethod
    def of(cls, change: Difference, *, release: str, host: str) -> ReleaseAltered:
        """With the first five paths."""
        paths = change.paths
        first = ", ".join(shown(path) for path in paths[:5])
        more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
        return cls(f"Release {release} on {host} differs from its package: {first}{more}.", paths=paths)


class ReleaseInUse(ReleaseError):
    """The release to be laid out is there and live."""


class _Unfit(Exception):
    """This way does not lead to a verified release; another one may."""


@dataclass(frozen=True, slots=True)
class _Laying:
    """One package on its way to one target."""

    connection: Connection
    package: Package
    release: str
    wanted: Manifest
    log: Log

    def already(self, seen: Survey) -> LaidOut | None:
        """The answer, when a run before has laid this release out whole. A broken one is removed."""
        if self.release not in {one.name for one in seen.releases}:
            return None
        if not compared(self.connection, scripts.LIST, self.release, wanted=self.wanted):
            return LaidOut(self.release, How.THERE)
        if seen.live == self.release:
            raise ReleaseInUse(
                f"Release {self.release} is live on {self.connection.name}, and altered. Use a new number."
            )
        self.log(f"Release {self.release} was there and altered; it is laid out again")
        self.connection.run(script(scripts.REMOVE, self.release), timeout=LIST_SECONDS)
        return None

    def follow(self, plan: Plan, seen: Survey) -> LaidOut:
        """Lay it out this way. Raises _Unfit when another way may do better."""
        check_room(plan.how, self.wanted, plan.change.write, seen, host=self.connection.name)
        try:
            return self._follow(plan)
        except CommandFailed as error:
            self._discard()
            raise of_failure(error, host=self.connection.name) or self._unfit(plan, error) from error
        except BaseException:
            with contextlib.suppress(Exception):
                self._discard()
            raise

    def _follow(self, plan: Plan) -> LaidOut:
        left = self._send(plan.how, plan.change, source=plan.source)
        repaired = len(left.paths)
        if left:
            self.log(f"{repaired} paths differ on {self.connection.name}, such as {shown(left.paths[0])}; mending them")
            left = self._send("again", left)
        if left:
            # A disk that has filled up meanwhile shows itself as files that are not there.
            check_room(plan.how, self.wanted, plan.change.write, survey(self.connection), host=self.connection.name)
            altered = ReleaseAltered.of(left, release=self.release, host=self.connection.name)
            raise self._unfit(plan, altered)
        sent = len(plan.change.write)
        return LaidOut(self.release, plan.how, plan.source, sent, len(plan.change.remove), repaired)

    def _send(self, how: str, change: Difference, *, source: str = "") -> Difference:
        """Change the part on the target, then read all of it; gives what differs yet. Equal, it has its name."""
        note = f"{self.release} {self.package.commit} {self.package.digest}"
        with self._payload(how, change) as (removals, content):
            words = (self.release, str(how), source, str(removals), note)
            return compared(self.connection, scripts.LAY, *words, wanted=self.wanted, stdin=content)

    @contextlib.contextmanager
    def _payload(self, how: str, change: Difference) -> Iterator[tuple[int, bytes | Path]]:
        if how == How.FULL:
            with payload.whole(self.package, wanted=self.wanted) as content:
                yield 0, content
        else:
            with payload.partial(self.package, wanted=self.wanted, change=change) as both:
                yield both

    def _discard(self) -> None:
        self.connection.run(script(scripts.DISCARD, self.release), timeout=LIST_SECONDS)

    def _unfit(self, plan: Plan, error: Exception) -> Exception:
        if plan.how is How.FULL:
            return error
        self.log(f"Release {plan.source} could not be used: {error}")
        return _Unfit()
