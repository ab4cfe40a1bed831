"""Releases on a target after they are laid out: which one is live, switching, and removing old ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from deploynaut.engine.connections.base import Connection
from deploynaut.engine.packages import scripts
from deploynaut.engine.packages.survey import Present, check_release, survey
from deploynaut.engine.shell import script

SCREEN_RELEASE = "0"
"""The release that holds the maintenance screen alone."""

_NO_LINK = 3
_NOT_THERE = 4


def live(connection: Connection) -> str | None:
    """The release that `current` ends at; None when it ends at no release, nowhere, or is no link."""
    return survey(connection).live


def switch(connection: Connection, *, release: str) -> None:
    """Make the release live: `current` leads to it from one moment to the next. Repeating it changes nothing.

    Raises CurrentIsNoLink, ReleaseMissing; nothing was changed then.
    """
    wanted = f"releases/{check_release(release)}"
    result = connection.run(script(scripts.SWITCH, release), timeout=60, check=False)
    if result.status == _NO_LINK:
        raise CurrentIsNoLink(
            f"`current` on {connection.name} is a directory or file, not a link, and is never replaced. "
            "Adopt the site as release 0 first."
        )
    if result.status == _NOT_THERE:
        raise ReleaseMissing(f"Release {release} is not on {connection.name}. Lay it out again.")
    if not result.ok or result.text != wanted:
        said = result.errors.decode("utf-8", "replace").strip()[-500:]
        raise SwitchFailed(f"`current` on {connection.name} could not be made to lead to {wanted}. {said}")


def removable(
    present: Iterable[Present], *, live: str | None, known_good: str | None, pinned: Collection[str], keep: int
) -> list[str]:
    """Which releases may go, the oldest first: all but the newest `keep`, and never a protected or foreign one.

    Protected are the live, the known good and the pinned ones, and the screen. They do not count among the `keep`
    unless they are among the newest. Without a live release (a link led elsewhere by hand) none may go.
    """
    if live is None:
        return []
    ours = sorted((one.name for one in present if one.ours and one.name != SCREEN_RELEASE), key=int)
    old = ours[: max(len(ours) - max(keep, 1), 0)]
    protected = {live, known_good, *pinned}
    return [name for name in old if name not in protected]


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """What a clean-up removed, and what is still there with the reason. Never a reason for a deployment to fail."""

    removed: tuple[str, ...]
    left: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        said = [f"Removed {len(self.removed)} old releases."]
        said += [f"Release {name} could not be removed: {reason}." for name, reason in self.left]
        return " ".join(said)


def clean_up(connection: Connection, *, releases: Sequence[str], leftovers: Sequence[str] = ()) -> CleanedUp:
    """Remove these releases, and leftovers that `survey` has named. The target checks each again: a release that
    is live there, or on the way to the live one, stays; so does a link, whatever its name.
    """
    names = [check_release(name) for name in releases] + [name for name in leftovers if name.startswith(".")]
    if not names:
        return CleanedUp((), ())
    result = connection.run(script(scripts.REMOVE, *names), timeout=1800)
    fields = result.output.decode("utf-8", "replace").split("\0")
    pairs = list(zip(fields[0:-1:2], fields[1:-1:2], strict=True))
    left = tuple((name, " ".join(reason.split())) for name, reason in pairs if reason)
    return CleanedUp(tuple(name for name, reason in pairs if not reason), left)


def remove(connection: Connection, *, release: str) -> None:
    """Remove one release that is not live, also a half laid out one. Raises NotRemoved with the reason."""
    check_release(release)
    connection.run(script(scripts.DISCARD, release), timeout=600)
    done = clean_up(connection, releases=[release])
    for _, reason in done.left:
        if reason != "it is not there":
            raise NotRemoved(f"Release {release} on {connection.name} could not be removed: {reason}.")


class ReleaseError(Exception):
    """Something about a release on a target is not as it must be. The text says what to do."""


class CurrentIsNoLink(ReleaseError):
    """`current` is a real directory or file."""


class ReleaseMissing(ReleaseError):
    """The release is not on the target."""


class SwitchFailed(ReleaseError):
    """`current` does not lead where it should."""


class NotRemoved(ReleaseError):
    """A release is still there."""
