"""A bare mirror of one repository, in a directory of ours, kept by the git program."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deploynaut.engine.repository import listing, renewal
from deploynaut.engine.repository.access import Access, transport
from deploynaut.engine.repository.addresses import BadAddress, check_address
from deploynaut.engine.repository.archive import CutShort, read_archive, write_members
from deploynaut.engine.repository.fetching import (
    EmptyRepository,
    Progress,
    ProgressLines,
    RepositoryDamaged,
    RepositoryError,
    RepositoryUnreachable,
    explain,
)
from deploynaut.engine.repository.listing import Branch, Changes, Commit, Tag, Touched
from deploynaut.engine.repository.members import Limits, Member, check_path, inspect
from deploynaut.engine.repository.program import Git, GitFailed, find_program
from deploynaut.engine.repository.revisions import BadRevision, check_commit, check_ref, is_full_id, wrong_length

REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
STALL_SECONDS = 120.0

_KEEP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,100}")
_SUBMODULE_MODE = "160000"


@dataclass(frozen=True, slots=True)
class FetchResult:
    """How many branches and tags there are after a fetch, and whether anything differs from before."""

    branches: int
    tags: int
    changed: bool
    renewed: bool = False


class Mirror:
    """Branches, tags and commits of one repository, and their trees. `directory` is ours alone, made on first fetch.

    Beside it lie, with the same name and an ending: `.lock`, `.new` and `.old` (a mirror being renewed), and
    `.private` (an empty home for git, and keys while they are used).
    """

    def __init__(
        self,
        directory: Path,
        *,
        access: Access,
        allow_local_below: Path | None = None,
        git: str = "git",
        stall: float = STALL_SECONDS,
        limits: Limits | None = None,
    ) -> None:
        address = check_address(access.address, allow_local_below=allow_local_below)
        self.directory = directory
        self.access = replace(access, address=address)
        self.private = directory.with_name(f"{directory.name}.private")
        self._stall = stall
        self._limits = limits or Limits()
        self._git = Git(directory=directory, home=self.private / "home", program=find_program(git))

    def fetch(self, *, progress: Progress, guard: Callable[[], None]) -> FetchResult:
        """Bring the mirror up to date; the first time, clone. Branches and tags that are gone there go here too.

        Whatever `guard` raises ends the fetch and is passed on; it is asked each second. Raises RepositoryRefused,
        RepositoryNotFound, HostKeyMismatch, RepositoryUnreachable, EmptyRepository or RepositoryError; the mirror
        then still is what it was. A damaged mirror is cloned anew beside the old one and put in its place.
        """
        with renewal.locked(self.directory, guard=guard) as hold:
            renewal.tidy(self.directory)
            if not self.directory.exists():
                return self._renew(progress=progress, guard=guard, hold=hold)
            try:
                return self._fetch(progress=progress, guard=guard, hold=hold)
            except RepositoryDamaged:
                progress("Our mirror is damaged; cloning anew", None)
                return self._renew(progress=progress, guard=guard, hold=hold)

    def repair(self, *, progress: Progress, guard: Callable[[], None]) -> FetchResult:
        """Clone anew beside the old mirror and put it in its place; kept commits are taken along. Raises as `fetch`."""
        with renewal.locked(self.directory, guard=guard) as hold:
            renewal.tidy(self.directory)
            return self._renew(progress=progress, guard=guard, hold=hold)

    def branches(self) -> list[Branch]:
        """All branches, the one with the newest commit first."""
        listed = self._ask("for-each-ref", "--sort=-committerdate", f"--format={listing.BRANCH_FORMAT}", "refs/heads/")
        return list(listing.branches(listed))

    def tags(self) -> list[Tag]:
        """All tags of commits, the newest first."""
        listed = self._ask("for-each-ref", "--sort=-creatordate", f"--format={listing.TAG_FORMAT}", "refs/tags/")
        return list(listing.tags(listed))

    def commits(self, ref: str, *, limit: int) -> list[Commit]:
        """The newest commits of a branch, tag or commit, at most `limit`. Raises as `resolve`."""
        commit = self.resolve(ref)
        words = ("log", "-z", f"--max-count={limit:d}", f"--format={listing.COMMIT_FORMAT}", "--no-show-signature")
        return list(listing.commits(self._ask(*words, "--end-of-options", commit)))

    def all_commits(self) -> list[Commit]:
        """Every commit that a branch or tag reaches, the newest first."""
        words = ("log", "-z", f"--format={listing.COMMIT_FORMAT}", "--no-show-signature", "--branches", "--tags")
        return list(listing.commits(self._ask(*words)))

    def resolve(self, text: str) -> str:
        """The full commit id of a full commit id, a branch or a tag. Raises BadRevision and RevisionNotFound."""
        if is_full_id(text):
            return self._commit(text) or self._unknown(text)
        check_ref(text)
        found = {commit for name in _full_names(text) if (commit := self._commit(name))}
        if len(found) > 1:
            raise BadRevision(f"{text!r} is a branch and a tag. Write refs/heads/{text} or refs/tags/{text}.")
        if not found and (wrong := wrong_length(text)):
            raise BadRevision(f"{text!r} is no branch or tag, and not a commit id either: {wrong}")
        return found.pop() if found else self._unknown(text)

    def keep(self, commit: str, *, name: str) -> None:
        """Hold on to a commit, whatever happens to its branch: `refs/deploynaut/<name>`. Raises RevisionNotFound."""
        if not _KEEP_NAME.fullmatch(name):
            raise BadRevision(f"{name!r} cannot be the name of a kept commit: letters, digits, dash, underscore.")
        verified = self.resolve(check_commit(commit))
        with renewal.locked(self.directory, what="keep"):
            renewal.remove_lock_of(self.directory, f"refs/deploynaut/{name}")
            self._ask("update-ref", "--no-deref", f"refs/deploynaut/{name}", verified)

    def tree(self, commit: str) -> str:
        """The id of the commit's tree. Raises RevisionNotFound."""
        return self._commit(check_commit(commit), kind="tree") or self._unknown(commit)

    @property
    def origin(self) -> str:
        """Tells one repository from another: its address."""
        return self.access.address

    def changes(self, before: str, after: str) -> Changes | None:
        """What differs between two trees; None when that cannot be told path by path (see `listing.changes`)."""
        words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--end-of-options", before, after)
        with contextlib.suppress(RepositoryDamaged):
            return listing.changes(self._ask(*words))
        return None

    def between(self, before: str, after: str, *, limit: int) -> tuple[list[Commit], int]:
        """The commits of `after` that `before` does not have: the newest of them, and how many. Raises as `resolve`."""
        shown, hidden = self.resolve(after), f"^{self.resolve(before)}"
        words = ("log", "-z", f"--max-count={limit:d}", f"--format={listing.COMMIT_FORMAT}", "--no-show-signature")
        found = list(listing.commits(self._ask(*words, "--end-of-options", shown, hidden)))
        count = self._ask("rev-list", "--count", "--end-of-options", shown, hidden)
        return found, int(count)

    def touched(self, before: str, after: str) -> list[Touched]:
        """The paths that differ between two commits, with their sizes in the new one. Raises as `resolve`."""
        words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--end-of-options")
        found = listing.touched(self._ask(*words, self.resolve(before), self.resolve(after)))
        blobs = "".join(f"{one.blob}\n" for one in found).encode("ascii")
        sizes = self._git.run("cat-file", "--batch-check=%(objectsize)", stdin=blobs).split(b"\n")
        pairs = zip(found, sizes, strict=False)
        return [replace(one, size=int(size) if size.isdigit() else 0) for one, size in pairs]

    def archive(self, commit: str, *, only: tuple[str, ...] | None = None) -> Iterator[Member]:
        """The tree's members as `git archive` gives them: export-ignore honoured, modes 0644 and 0755, nothing run.

        `only`: some paths of the tree, and their directories.

        The tree is asked for, not the commit: `export-subst` would put names of refs into files, and make two
        packages of one commit differ. Raises BadTree, RevisionNotFound, RepositoryDamaged.
        """
        tree = self.tree(commit)
        listed = self._listed(tree) if only is None else []
        submodules = frozenset(path for mode, path in listed if mode == _SUBMODULE_MODE)
        try:
            with self._git.stream("archive", "--format=tar", tree, *_pathspecs(only)) as stream:
                yield from inspect(read_archive(stream), limits=self._limits, submodules=submodules)
        except (GitFailed, CutShort) as error:
            # Git itself refuses some paths, and gives no reason on its output.
            for _, path in listed:
                check_path(path)
            raise self._damaged() from error

    def export(self, commit: str, directory: Path) -> None:
        """Write the tree into an empty directory, made if missing. Raises as `archive`."""
        directory.mkdir(parents=True, exist_ok=True)
        write_members(self.archive(commit), directory)

    def _fetch(self, *, progress: Progress, guard: Callable[[], None], hold: int) -> FetchResult:
        before = self._refs(self._git)
        self._fetch_into(self._git, progress=progress, guard=guard, hold=hold)
        return _result(before, self._refs(self._git), access=self.access)

    def _renew(self, *, progress: Progress, guard: Callable[[], None], hold: int) -> FetchResult:
        new = replace(self._git, directory=renewal.beside(self.directory, "new"))
        renewal.remove(new.directory)
        new.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(new.directory))
        self._fetch_into(new, progress=progress, guard=guard, hold=hold)
        result = _result({}, self._refs(new), access=self.access)
        renewal.carry_over(self._git, to=new)
        renewal.put_in_place(new.directory, self.directory)
        return replace(result, renewed=True)

    def _fetch_into(self, git: Git, *, progress: Progress, guard: Callable[[], None], hold: int) -> None:
        words = ("fetch", "--progress", "--prune", "--no-tags", "--no-write-fetch-head", "--force", "--end-of-options")
        with self._transport() as environment:
            try:
                replace(git, environment=environment).watch(
                    *words,
                    self.access.address,
                    *REFSPECS,
                    heard=ProgressLines(progress),
                    guard=guard,
                    stall=self._stall,
                    hold=hold,
                )
            except GitFailed as error:
                raise explain(error, access=self.access) from error

    @contextlib.contextmanager
    def _transport(self) -> Iterator[Mapping[str, str]]:
        with contextlib.ExitStack() as stack:
            try:
                environment = stack.enter_context(transport(self.access, private=self.private))
            except BadAddress as error:
                raise RepositoryUnreachable(str(error)) from error
            yield environment

    def _refs(self, git: Git) -> dict[str, str]:
        # Asked for its type, git looks at every tip, and so notices that one is missing.
        form = "--format=%(objectname) %(objecttype) %(refname)"
        try:
            listed = git.run("for-each-ref", form, "refs/heads/", "refs/tags/")
        except GitFailed as error:
            raise self._damaged() from error
        lines = (line.split(" ", 2) for line in listed.decode("utf-8", "surrogateescape").split("\n")[:-1])
        return {name: commit for commit, _, name in lines}

    def _commit(self, name: str, *, kind: str = "commit") -> str:
        """The id behind a name that has passed a check, or the empty text."""
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{{kind}}}")
        return self._ask(*words, check=False).decode("ascii").strip()

    def _listed(self, tree: str) -> list[tuple[str, str]]:
        """Mode and path of every file, link and submodule."""
        listed = self._ask("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", tree)
        lines = (line.partition("\t") for line in listed.decode("utf-8", "surrogateescape").split("\0")[:-1])
        return [(head.partition(" ")[0], path) for head, _, path in lines]

    def _ask(self, *words: str, check: bool = True) -> bytes:
        if not self.directory.exists():
            raise NeverFetched(f"{self.access.address} has not been fetched yet. Fetch the latest changes first.")
        try:
            return self._git.run(*words, check=check)
        except GitFailed as error:
            raise self._damaged() from error

    def _damaged(self) -> RepositoryDamaged:
        return RepositoryDamaged(f"Our mirror of {self.access.address} lacks objects. It has to be cloned anew.")

    def _unknown(self, text: str) -> str:
        if is_full_id(text) and text.encode() in self._ask("for-each-ref", "--format=%(objectname)").split():
            raise self._damaged()
        raise RevisionNotFound(
            f"{text} is not in {self.access.address}. Fetch the latest changes, or check the spelling."
        )


class NeverFetched(RepositoryError):
    """There is no mirror yet."""


class RevisionNotFound(RepositoryError):
    """No commit, branch or tag of that name is in the mirror."""


def _full_names(text: str) -> tuple[str, ...]:
    if text.startswith(("refs/heads/", "refs/tags/")):
        return (text,)
    return (f"refs/heads/{text}", f"refs/tags/{text}")


def _pathspecs(only: tuple[str, ...] | None) -> tuple[str, ...]:
    return () if only is None else ("--", *(f":(top,literal){path}" for path in only))


def _result(before: dict[str, str], after: dict[str, str], *, access: Access) -> FetchResult:
    if not after:
        raise EmptyRepository(f"{access.address} has no branch and no tag yet. Push a commit, then fetch again.")
    branches = sum(name.startswith("refs/heads/") for name in after)
    return FetchResult(branches=branches, tags=len(after) - branches, changed=before != after)
