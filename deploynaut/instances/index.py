"""The revision index: branches, tags and commits in rows, refreshed by fetch, so that no page asks git."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from django.db import transaction

from deploynaut.engine import repository
from deploynaut.instances.models import BranchCommit, Commit, Instance, Ref

T = TypeVar("T")
NEWEST = 30
"""Commits of each branch that its table shows."""
PIECE = 500
"""Rows that are written, or asked for, in one statement."""


def refresh(instance: Instance, mirror: repository.Mirror, *, now: datetime) -> tuple[int, int]:
    """Read the mirror and bring the index up to date; returns the number of branches and tags.

    Git is asked first, outside the transaction; readers see the old index or the new one. Commits, of which there may
    be very many, are stored before it in pieces: no other writer waits for long, and nothing shows them yet.
    """
    branches, tags = mirror.branches(), mirror.tags()
    newest = {branch.name: mirror.commits(branch.commit, limit=NEWEST) for branch in branches}
    known = dict(Commit.objects.filter(instance=instance).values_list("hex", "tree"))
    commits = mirror.all_commits()
    _store_commits(instance, [c for c in commits if c.id not in known])
    _add_trees(instance, {c.id: c.tree for c in commits if c.tree and known.get(c.id) == ""})
    with transaction.atomic():
        _store_refs(instance, branches, tags)
        _store_newest(instance, newest)
        Instance.objects.filter(pk=instance.pk).update(fetched_at=now)
    return len(branches), len(tags)


def _store_commits(instance: Instance, commits: Sequence[repository.Commit]) -> None:
    """Commits are added, never taken away: a deployment names its commit for ever."""
    for piece in _pieces(commits):
        rows = [
            Commit(
                instance=instance,
                hex=commit.id,
                subject=commit.subject[:2000],
                body=commit.body[:20_000],
                author=commit.author[:300],
                tree=commit.tree,
                authored_at=commit.authored_at,
                committed_at=commit.committed_at,
            )
            for commit in piece
        ]
        Commit.objects.bulk_create(rows, ignore_conflicts=True)


def _add_trees(instance: Instance, trees: dict[str, str]) -> None:
    """For commits that were stored by a Deploynaut that did not know their trees yet."""
    for piece in _pieces(sorted(trees)):
        rows = list(Commit.objects.filter(instance=instance, hex__in=piece).only("pk", "hex"))
        for row in rows:
            row.tree = trees[row.hex]
        Commit.objects.bulk_update(rows, ["tree"])


def _store_refs(instance: Instance, branches: Iterable[repository.Branch], tags: Iterable[repository.Tag]) -> None:
    rows = [
        Ref(instance=instance, kind=Ref.Kind.BRANCH, name=b.name, commit=b.commit, at=b.committed_at,
            subject=b.subject[:2000], author=b.author[:300])
        for b in branches
    ] + [
        Ref(instance=instance, kind=Ref.Kind.TAG, name=t.name, commit=t.commit, at=t.tagged_at,
            subject=t.message[:2000], author=t.tagger[:300])
        for t in tags
    ]  # fmt: skip
    Ref.objects.filter(instance=instance).delete()
    Ref.objects.bulk_create(rows, batch_size=500)


def _store_newest(instance: Instance, newest: dict[str, list[repository.Commit]]) -> None:
    keys = _keys(instance, {commit.id for commits in newest.values() for commit in commits})
    refs = Ref.objects.filter(instance=instance, kind=Ref.Kind.BRANCH)
    BranchCommit.objects.bulk_create(
        (
            BranchCommit(ref=ref, commit_id=keys[commit.id], position=position)
            for ref in refs
            for position, commit in enumerate(newest[ref.name])
        ),
        batch_size=500,
    )


def _keys(instance: Instance, wanted: Iterable[str]) -> dict[str, int]:
    """The rows' keys by commit id. In pieces: a statement takes only so many variables."""
    found: dict[str, int] = {}
    for piece in _pieces(sorted(wanted)):
        found.update(Commit.objects.filter(instance=instance, hex__in=piece).values_list("hex", "pk"))
    return found


def _pieces(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + PIECE] for start in range(0, len(items), PIECE))
