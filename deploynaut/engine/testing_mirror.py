"""FakeMirror: a repository in memory, for tests of what stands on a mirror. Gives what `repository.Mirror` gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploynaut.engine.repository import (
    BadRevision,
    Branch,
    Changes,
    Commit,
    FetchResult,
    Kind,
    Limits,
    Member,
    RevisionNotFound,
    Tag,
    check_commit,
    check_ref,
    inspect,
    is_full_id,
)
from deploynaut.engine.repository.archive import write_members
from deploynaut.engine.repository.fetching import Progress

Content = bytes | str
"""A file's bytes, or as text where a link leads."""

_FIRST = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@dataclass
class FakeMirror:
    """A mirror that a test fills with `commit`. `archived`: the commits whose trees were asked for."""

    files: dict[str, Mapping[str, Content]] = field(default_factory=dict)
    log: dict[str, Commit] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Tag] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    archived: list[str] = field(default_factory=list)
    executable: frozenset[str] = frozenset()
    fetch_fails: Exception | None = None

    def commit(self, files: Mapping[str, Content], *, branch: str = "main", subject: str = "Change") -> str:
        """Add a commit with exactly these files to a branch; gives its id."""
        parents = tuple(filter(None, [self.heads.get(branch)]))
        id_ = hashlib.sha1(repr((sorted(files.items()), parents, subject, len(self.log))).encode()).hexdigest()  # noqa: S324
        at = _FIRST + timedelta(minutes=len(self.log))
        self.log[id_] = Commit(id_, parents, "Ana Reid", "ana@acme.example", at, at, subject, "")
        self.files[id_] = dict(files)
        self.heads[branch] = id_
        return id_

    def tag(self, name: str, commit: str, *, message: str = "") -> None:
        """Give a commit a tag, annotated when there is a message."""
        at = self.log[commit].committed_at
        self.labels[name] = Tag(name, commit, bool(message), message, "Ana Reid" if message else "", at)

    def fetch(self, *, progress: Progress, guard: Callable[[], None]) -> FetchResult:
        """Raises `fetch_fails`, when a test has set it."""
        guard()
        if self.fetch_fails:
            raise self.fetch_fails
        progress("Receiving objects", 100)
        return FetchResult(branches=len(self.heads), tags=len(self.labels), changed=True)

    def repair(self, *, progress: Progress, guard: Callable[[], None]) -> FetchResult:
        """As `fetch`."""
        return self.fetch(progress=progress, guard=guard)

    def branches(self) -> list[Branch]:
        """See `Mirror.branches`."""
        newest = [(name, self.log[id_]) for name, id_ in self.heads.items()]
        found = [Branch(name, one.id, one.committed_at, one.subject, one.author) for name, one in newest]
        return sorted(found, key=lambda branch: branch.committed_at, reverse=True)

    def tags(self) -> list[Tag]:
        """See `Mirror.tags`."""
        return sorted(self.labels.values(), key=lambda tag: tag.tagged_at, reverse=True)

    def commits(self, ref: str, *, limit: int) -> list[Commit]:
        """See `Mirror.commits`."""
        found: list[Commit] = []
        ahead: str | None = self.resolve(ref)
        while ahead and len(found) < limit:
            found.append(self.log[ahead])
            ahead = next(iter(self.log[ahead].parents), None)
        return found

    def resolve(self, text: str) -> str:
        """See `Mirror.resolve`."""
        names = {**{name: tag.commit for name, tag in self.labels.items()}, **self.heads}
        id_ = text if is_full_id(text) else names.get(check_ref(text).removeprefix("refs/heads/"), "")
        if id_ not in self.log:
            raise RevisionNotFound(f"{text} is not in the repository. Fetch the latest changes.")
        return id_

    def keep(self, commit: str, *, name: str) -> None:
        """See `Mirror.keep`."""
        if not name:
            raise BadRevision("A kept commit needs a name.")
        self.kept[name] = self.resolve(check_commit(commit))

    def tree(self, commit: str) -> str:
        """See `Mirror.tree`."""
        files = sorted(self.files[self.resolve(check_commit(commit))].items())
        return hashlib.sha1(repr((files, sorted(self.executable))).encode()).hexdigest()  # noqa: S324

    @property
    def origin(self) -> str:
        """See `Mirror.origin`."""
        return "fake"

    def changes(self, before: str, after: str) -> Changes | None:
        """See `Mirror.changes`; this one always has the next tree packed whole."""
        return None

    def archive(self, commit: str, *, only: tuple[str, ...] | None = None) -> Iterator[Member]:
        """See `Mirror.archive`."""
        files = self.files[self.resolve(check_commit(commit))]
        self.archived.append(commit)
        wanted = sorted(files if only is None else set(only) & set(files))
        return inspect((self._member(path, files[path]) for path in wanted), limits=Limits())

    def export(self, commit: str, directory: Path) -> None:
        """See `Mirror.export`."""
        directory.mkdir(parents=True, exist_ok=True)
        write_members(self.archive(commit), directory)

    def _member(self, path: str, content: Content) -> Member:
        if isinstance(content, str):
            return Member(path, Kind.LINK, 0o777, target=content)
        mode = 0o755 if path in self.executable else 0o644
        return Member(path, Kind.FILE, mode, len(content), chunks=(content,))
