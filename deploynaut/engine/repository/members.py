"""The files, links and directories of a tree as values, and which of them are refused."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from deploynaut.engine.repository.fetching import RepositoryError

RELEASE_FILE = ".deploynaut-release"
"""The name, at the top of a release, of the file in which Deploynaut notes what the release is."""

LONGEST_NAME = 255
LONGEST_PATH = 3000
LINK_HOPS = 40

_LFS = b"version https://git-lfs.github.com/spec/v1\n"


class Kind(StrEnum):
    """What a path is."""

    FILE = "file"
    LINK = "link"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Member:
    """One path of a tree. Bytes of a path that are no UTF-8 stand as surrogate escapes.

    `chunks` is read once, before the next member is asked for. `mode` is 0o644 or 0o755.
    """

    path: str
    kind: Kind
    mode: int = 0o644
    size: int = 0
    target: str = ""
    chunks: Iterable[bytes] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a tree may be: its paths, and the bytes of its files."""

    paths: int = 100_000
    size: int = 4 * 1024**3


def inspect(members: Iterable[Member], *, limits: Limits, submodules: frozenset[str] = frozenset()) -> Iterator[Member]:
    """The members, each directory before what it holds. Raises BadTree, perhaps at the very end only."""
    inspector = _Inspector(limits=limits, submodules=submodules)
    for member in members:
        yield from inspector.missing_parents(member)
        inspector.admit(member)
        yield inspector.sniffed(member)
    inspector.finish()


class BadTree(RepositoryError):
    """A revision holds something that is never released. The text names it and says what to do."""


@dataclass(slots=True)
class _Inspector:
    limits: Limits
    submodules: frozenset[str]
    kinds: dict[str, Kind] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    pointers: list[str] = field(default_factory=list)
    size: int = 0

    def missing_parents(self, member: Member) -> Iterator[Member]:
        """Directories that no member has named yet."""
        parent = posixpath.dirname(member.path)
        if parent in self.kinds or not parent:
            return
        directory = Member(path=parent, kind=Kind.DIRECTORY, mode=0o755)
        yield from self.missing_parents(directory)
        self.admit(directory)
        yield directory

    def admit(self, member: Member) -> None:
        check_path(member.path)
        self._check_place(member)
        self.kinds[member.path] = member.kind
        self.size += member.size
        if member.kind is Kind.LINK:
            self.links[member.path] = _check_target(member)
        self._check_limits()

    def _check_place(self, member: Member) -> None:
        parent = posixpath.dirname(member.path)
        if member.path in self.kinds:
            raise BadTree(f"{shown(member.path)} is there twice. Repair the repository, then release again.")
        if parent and self.kinds.get(parent) is not Kind.DIRECTORY:
            raise BadTree(f"{shown(member.path)} lies below {shown(parent)}, no directory. Repair the repository.")
        if member.path in self.submodules:
            names = ", ".join(shown(path) for path in sorted(self.submodules)[:5])
            raise BadTree(f"Submodules cannot be released: {names}. Put their files into the repository itself.")

    def _check_limits(self) -> None:
        if len(self.kinds) > self.limits.paths:
            raise BadTree(f"The revision has over {self.limits.paths} files and directories, the most that is taken.")
        if self.size > self.limits.size:
            raise BadTree(
                f"The revision is larger than {self.limits.size // 1024**2} MB, the most that is taken. "
                "Keep large files out of the repository, or raise the limit."
            )

    def sniffed(self, member: Member) -> Member:
        """The member; notes it when it is a pointer to a file that git-lfs keeps elsewhere."""
        if member.kind is Kind.FILE and len(_LFS) < member.size < 1024:
            content = b"".join(member.chunks)
            if content.startswith(_LFS):
                self.pointers.append(member.path)
            return Member(member.path, member.kind, member.mode, member.size, member.target, (content,))
        return member

    def finish(self) -> None:
        if self.pointers:
            names = ", ".join(shown(path) for path in self.pointers[:5])
            raise BadTree(
                f"{len(self.pointers)} files are git-lfs pointers, not the files themselves: {names}. "
                "Put the files into the repository, or fetch them in the build."
            )
        for path in self.links:
            if _leaves(path, self.links):
                raise BadTree(f"The link {shown(path)} leads out of the tree. Links may lead within the release alone.")


def check_path(path: str) -> None:
    """Raises BadTree for a path that could land elsewhere than in the release, or that no disk takes."""
    within = f"/{path}/"
    if not path or "//" in within or "/./" in within or "/../" in within:
        raise BadTree(f"{shown(path)} is not a path within the tree. Repair the repository, then release again.")
    if _may_name_git(path) and any(map(_is_git_directory, path.split("/"))):
        raise BadTree(f"{shown(path)} has a part called .git, which is never released. Remove it there.")
    if len(path) > LONGEST_NAME // 4 and _is_too_long(path.encode("utf-8", "surrogateescape")):
        raise BadTree(f"{shown(path)} has a name over {LONGEST_NAME} bytes, or is too deep. Shorten it.")
    if path == RELEASE_FILE:
        raise BadTree(f"{RELEASE_FILE} is the file in which Deploynaut notes the release. Rename yours.")


def shown(path: str) -> str:
    """The path as people may see it: on one line, control characters and odd bytes escaped, cut when long."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return text if len(text) <= 120 else text[:119] + "…"


# Some file systems take these for `.git`: other case, trailing dots and spaces, ignored code points, short names.
_IGNORED = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def _is_too_long(raw: bytes) -> bool:
    return len(raw) > LONGEST_PATH or max(map(len, raw.split(b"/"))) > LONGEST_NAME


def _may_name_git(path: str) -> bool:
    """A quick look: trees have many paths, and few that need the slow one."""
    return not path.isascii() or "git" in path.lower()


def _is_git_directory(part: str) -> bool:
    plain = _IGNORED.sub("", part).split(":")[0].rstrip(". ").lower()
    return plain in (".git", "git~1")


def _check_target(member: Member) -> str:
    if not member.target or member.target.startswith("/") or "\0" in member.target:
        raise BadTree(f"The link {shown(member.path)} is absolute or empty. Links may lead within the release alone.")
    return member.target


def _leaves(path: str, links: dict[str, str]) -> bool:
    """Whether following the link, and every link on its way, ever steps above the tree's top."""
    place = path.split("/")[:-1]
    ahead = links[path].split("/")[::-1]
    hops = 0
    while ahead and hops < LINK_HOPS:
        part = ahead.pop()
        if part == "..":
            if not place:
                return True
            place.pop()
        elif part not in ("", "."):
            target = links.get("/".join((*place, part)))
            if target is None:
                place.append(part)
            else:
                hops += 1
                ahead += target.split("/")[::-1]
    return False
