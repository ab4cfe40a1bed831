"""What git says while it fetches, and why it could not, in words for people."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from deploynaut.engine.repository.access import Access
from deploynaut.engine.repository.addresses import account_of, host_of, uses_ssh
from deploynaut.engine.repository.program import GitFailed, GitStalled

Progress = Callable[[str, int | None], None]

_PROGRESS_SECONDS = 0.25
_LINE = re.compile(rb"^(?:remote: )?([A-Z][A-Za-z][A-Za-z ]{2,38}):\s+(?:(\d{1,3})% \(|(\d+))")


class ProgressLines:
    """Cuts what git writes into lines and tells `progress(phase, percent)` of changes, a few a second."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._rest = b""
        self._told: tuple[str, int | None] | None = None
        self._next = 0.0

    def __call__(self, piece: bytes) -> None:
        """Take the next bytes of git's errors."""
        *lines, self._rest = re.split(rb"[\r\n]", (self._rest + piece)[-65536:])
        for line in lines:
            if found := _LINE.match(line):
                self._tell(found[1].decode("ascii"), int(found[2]) if found[2] else None)

    def _tell(self, phase: str, percent: int | None) -> None:
        news = self._told is None or phase != self._told[0] or percent == 100 or time.monotonic() > self._next
        if news and (phase, percent) != self._told:
            self._told = (phase, percent)
            self._next = time.monotonic() + _PROGRESS_SECONDS
            self._progress(phase, percent)


def explain(error: GitFailed, *, access: Access) -> RepositoryError:
    """The error for people. `RepositoryDamaged` when our own mirror is what is broken."""
    if isinstance(error, GitStalled):
        return RepositoryUnreachable(f"{_place(access)} stopped answering: {error}. Try again in a moment.")
    for kind, signs, text in _KINDS:
        if any(sign in error.errors for sign in signs):
            return kind(text(access))
    last = _last_line(error.errors)
    return RepositoryError(f"{_place(access)} could not be fetched: {last}. Check the address, then try again.")


class RepositoryError(Exception):
    """A repository could not be read. The text says which, why, and what to do next."""


class RepositoryRefused(RepositoryError):
    """The server did not let us in."""


class RepositoryNotFound(RepositoryError):
    """There is no such repository there, or none that we may see."""


class HostKeyMismatch(RepositoryError):
    """The server showed no host key that is pinned; nothing was sent to it."""


class RepositoryUnreachable(RepositoryError):
    """The server did not answer."""


class EmptyRepository(RepositoryError):
    """The repository has no branch and no tag."""


class RepositoryDamaged(RepositoryError):
    """Our mirror of the repository lacks objects or cannot be read; `Mirror.repair` makes it anew."""


def enable_where(address: str) -> str:
    """Where the forge of this address takes a deploy key."""
    host = host_of(address)
    return next((place for name, place in _PLACES if name in host), "the repository's deploy keys")


_PLACES = (
    ("github", "the repository's Settings, Deploy keys"),
    ("gitlab", "the project's Settings, Repository, Deploy keys"),
    ("bitbucket", "the repository's settings, Access keys"),
    ("codeberg", "the repository's Settings, Deploy Keys"),
    ("gitea", "the repository's Settings, Deploy Keys"),
    ("forgejo", "the repository's Settings, Deploy Keys"),
)


def _refused(access: Access) -> str:
    if not uses_ssh(access.address):
        return f"{_place(access)} asks for a login, and https addresses are read without one. Use its ssh address."
    if access.private_key is None:
        return f"{account_of(access.address)} wants a key, and this repository has none yet. Make its key first."
    return (
        f"The server refused our key {access.fingerprint} for {account_of(access.address)}. "
        f"Enable it under {enable_where(access.address)}, then fetch again."
    )


def _not_found(access: Access) -> str:
    enable = f", or enable our key {access.fingerprint} under {enable_where(access.address)}"
    hint = enable if access.private_key else ""
    return f"{_place(access)} does not exist, or we may not see it. Check the address{hint}."


def _moved(access: Access) -> str:
    return (
        f"{_place(access)} answers with another address, and nobody is followed there unseen. Open the repository in a "
        "browser and write the address that its page names; often it is the same with .git at its end."
    )


def _mismatch(access: Access) -> str:
    return (
        f"{host_of(access.address)} showed another host key than the pinned one, or none is pinned. "
        "Nothing was sent. Ask the server's people for its fingerprint, then pin it."
    )


def _unreachable(access: Access) -> str:
    return f"{host_of(access.address) or access.address} could not be reached. What was fetched before stays usable."


def _damaged(access: Access) -> str:
    return f"Our mirror of {access.address} is damaged. Fetch again: it is then cloned anew."


def _no_room(access: Access) -> str:
    return f"Deploynaut's own disk is full; {access.address} was not fetched. Free some space, then fetch again."


def _place(access: Access) -> str:
    return f"The repository {access.address}"


def _last_line(errors: str) -> str:
    lines = [line for line in re.split(r"[\r\n]+", errors) if line.startswith(("fatal: ", "error: "))]
    return "".join(character for character in (lines or ["git gave no reason"])[-1] if character.isprintable())[:300]


_KINDS: tuple[tuple[type[RepositoryError], tuple[str, ...], Callable[[Access], str]], ...] = (
    (RepositoryError, ("No space left on device", "Disk quota exceeded"), _no_room),
    (
        HostKeyMismatch,
        ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "host key is known"),
        _mismatch,
    ),
    (
        RepositoryRefused,
        (
            "Permission denied (",
            "could not read Username",
            "Authentication failed",
            "returned error: 401",
            "returned error: 403",
            "Too many authentication failures",
        ),
        _refused,
    ),
    (
        RepositoryNotFound,
        tuple(f"returned error: {status}" for status in (301, 302, 303, 307, 308)),
        _moved,
    ),
    (
        RepositoryUnreachable,
        (
            "Could not resolve host",
            "Connection refused",
            "Connection timed out",
            "Operation timed out",
            "Network is unreachable",
            "No route to host",
            "Connection reset by",
            "Connection closed by",
            "kex_exchange_identification",
            "Failed to connect",
            "Temporary failure in name resolution",
            "not responding",
        ),
        _unreachable,
    ),
    (
        RepositoryNotFound,
        (
            "Repository not found",
            "does not appear to be a git repository",
            "repository not found",
            "could not be found",
            "' not found",
            "returned error: 404",
            "does not exist",
        ),
        _not_found,
    ),
    (
        RepositoryDamaged,
        (
            "bad object",
            "is corrupt",
            "is empty",
            "not a git repository",
            "missing blob",
            "missing tree",
            "unable to read",
            "could not read",
            "cannot be accessed",
            "far too short",
            "file mismatch",
            "does not point to a valid object",
            "did not send all necessary objects",
            "unresolved deltas",
            "inflate",
            "bad signature",
            "is garbage",
            "index file corrupt",
            "unable to find",
            "bad config",
            "broken",
            "invalid sha1 pointer",
        ),
        _damaged,
    ),
)
