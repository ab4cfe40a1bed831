"""Branches, tags and commits as values, read from git's own listings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

BRANCH_FIELDS = ("%(refname:strip=2)", "%(objectname)", "%(committerdate:unix)", "%(contents:subject)", "%(authorname)")
TAG_FIELDS = (
    "%(refname:strip=2)",
    "%(objecttype)",
    "%(objectname)",
    "%(*objecttype)",
    "%(*objectname)",
    "%(taggername)",
    "%(creatordate:unix)",
    "%(contents)",
)
COMMIT_FIELDS = ("%H", "%P", "%an", "%ae", "%at", "%ct", "%s", "%b", "%T")

# NUL is the one byte that no name, date or message of git can hold.
BRANCH_FORMAT = "%00".join((*BRANCH_FIELDS, ""))
TAG_FORMAT = "%00".join((*TAG_FIELDS, ""))
COMMIT_FORMAT = "%x00".join(COMMIT_FIELDS)


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch and its newest commit."""

    name: str
    commit: str
    committed_at: datetime
    subject: str
    author: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag and the commit it stands for. Only an annotated one has a message, and `tagger` is then who made it."""

    name: str
    commit: str
    annotated: bool
    message: str
    tagger: str
    tagged_at: datetime


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, as `git log` shows it. `tree`: the id of all its files together; equal files have equal ids."""

    id: str
    parents: tuple[str, ...]
    author: str
    email: str
    authored_at: datetime
    committed_at: datetime
    subject: str
    body: str
    tree: str = ""


MOST_CHANGES = 1000

_MOST_BYTES = 60_000
_GONE, _SUBMODULE = "000000", "160000"


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths of a tree that another tree does not have, and paths that it has anew or otherwise."""

    removed: tuple[str, ...]
    written: tuple[str, ...]


def changes(listed: bytes) -> Changes | None:
    """From `diff-tree -r -z --raw`. None when the paths alone do not tell what an archive of the tree would change:
    attributes that other paths depend on, submodules; or too many to name.
    """
    fields = listed.decode("utf-8", "surrogateescape").split("\0")[:-1]
    modes = [head.split(" ")[1] for head in fields[0::2]]
    paths = fields[1::2]
    attributes = any(path.rpartition("/")[2] == ".gitattributes" for path in paths)
    if attributes or _SUBMODULE in modes or len(paths) > MOST_CHANGES or len(listed) > _MOST_BYTES:
        return None
    pairs = list(zip(modes, paths, strict=True))
    return Changes(
        removed=tuple(path for mode, path in pairs if mode == _GONE),
        written=tuple(path for mode, path in pairs if mode != _GONE),
    )


_HOW = {"A": "added", "D": "removed"}


@dataclass(frozen=True, slots=True)
class Touched:
    """A path that differs between two commits: added, changed or removed; `blob`: its content in the new one."""

    path: str
    how: str
    blob: str
    size: int = 0


def touched(listed: bytes) -> list[Touched]:
    """From `diff-tree -r -z --raw`. What is no UTF-8 is replaced: it is shown, and never used as a path."""
    fields = listed.decode("utf-8", "replace").split("\0")[:-1]
    heads = (head.split(" ") for head in fields[0::2])
    return [
        Touched(path, _HOW.get(head[4][:1], "changed"), blob=head[3])
        for head, path in zip(heads, fields[1::2], strict=True)
    ]


def branches(listed: bytes) -> Iterator[Branch]:
    """From `for-each-ref` with BRANCH_FORMAT. A branch that points at no commit is left out."""
    for name, commit, at, subject, author in _records(listed, len(BRANCH_FIELDS)):
        if at:
            yield Branch(name=name, commit=commit, committed_at=_moment(at), subject=subject, author=author)


def tags(listed: bytes) -> Iterator[Tag]:
    """From `for-each-ref` with TAG_FORMAT. A tag of something that is no commit is left out."""
    for name, kind, own, peeled_kind, peeled, tagger, at, message in _records(listed, len(TAG_FIELDS)):
        annotated = kind == "tag"
        if (peeled_kind if annotated else kind) == "commit":
            yield Tag(
                name=name,
                commit=peeled if annotated else own,
                annotated=annotated,
                message=message.strip() if annotated else "",
                tagger=tagger,
                tagged_at=_moment(at),
            )


def commits(listed: bytes) -> Iterator[Commit]:
    """From `log -z` with COMMIT_FORMAT."""
    for id_, parents, author, email, authored, committed, subject, body, tree in _records(listed, len(COMMIT_FIELDS)):
        yield Commit(
            id=id_,
            parents=tuple(parents.split()),
            author=author,
            email=email,
            authored_at=_moment(authored),
            committed_at=_moment(committed),
            subject=subject,
            body=body.strip(),
            tree=tree,
        )


def _records(listed: bytes, width: int) -> Iterator[tuple[str, ...]]:
    """Every `width` fields. What is no UTF-8 is replaced: it is shown, and never used as a name."""
    fields = listed.decode("utf-8", "replace").split("\0")
    for start in range(0, len(fields) - width + 1, width):
        first, *others = fields[start : start + width]
        yield first.lstrip("\n"), *others


_LATEST = 253_402_300_799


def _moment(seconds: str) -> datetime:
    """Git takes any number for a date, also one beyond the year 9999."""
    return datetime.fromtimestamp(min(max(int(seconds or 0), 0), _LATEST), UTC)
