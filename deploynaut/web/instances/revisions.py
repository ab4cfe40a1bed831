"""The revisions of a repository as the index knows them, with the environments that run each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page
from django.http import HttpRequest

from deploynaut.deployments.models import Deployment
from deploynaut.instances.models import BranchCommit, Commit, Environment, Instance, Ref
from deploynaut.web.fragments import page

BRANCHES, TAGS, DEPLOYED = 10, 25, 25
COMMITS = 10
"""Of each branch, newest first."""


@dataclass(frozen=True, slots=True)
class Row:
    """A commit in a table: tags that point at it, and environments that run it."""

    commit: Commit
    tags: tuple[str, ...]
    on: tuple[Environment, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch with its newest commits."""

    ref: Ref
    rows: tuple[Row, ...]
    opened: bool


def branches(request: HttpRequest, instance: Instance, on: dict[str, tuple[Environment, ...]]) -> dict[str, Any]:
    """The branches, newest first; the first is open. Four queries."""
    refs = page(request, Ref.objects.filter(instance=instance, kind=Ref.Kind.BRANCH), size=BRANCHES)
    newest = BranchCommit.objects.filter(ref__in=[ref.pk for ref in refs], position__lt=COMMITS)
    by_ref: dict[int, list[Commit]] = {}
    for found in newest.select_related("commit").order_by("ref", "position"):
        by_ref.setdefault(found.ref_id, []).append(found.commit)
    tags = tags_at(instance, (commit.hex for commits in by_ref.values() for commit in commits))
    return {
        "page": refs,
        "branches": [
            Branch(ref=ref, rows=_rows(by_ref.get(ref.pk, []), tags, on), opened=index == 0)
            for index, ref in enumerate(refs)
        ],
    }


def tags(request: HttpRequest, instance: Instance, on: dict[str, tuple[Environment, ...]]) -> dict[str, Any]:
    """The tags, newest first. Two queries."""
    refs: Page[Ref] = page(request, Ref.objects.filter(instance=instance, kind=Ref.Kind.TAG), size=TAGS)
    return {"page": refs, "tags": [(ref, on.get(ref.commit, ())) for ref in refs]}


def deployed(request: HttpRequest, instance: Instance, visible: Iterable[int]) -> dict[str, Any]:
    """What has been released, newest first, of the environments this person sees."""
    found = Deployment.objects.get_queryset().for_page().filter(environment__in=visible).order_by("-begun_at", "-pk")
    return {"page": page(request, found, size=DEPLOYED)}


def tags_at(instance: Instance, commits: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The tags that point at each of the commits."""
    found: dict[str, tuple[str, ...]] = {}
    wanted = list(commits)
    for ref in Ref.objects.filter(instance=instance, kind=Ref.Kind.TAG, commit__in=wanted).order_by("name"):
        found[ref.commit] = (*found.get(ref.commit, ()), ref.name)
    return found


def currently_on(live: Iterable[Deployment]) -> dict[str, tuple[Environment, ...]]:
    """The environments that run each commit."""
    found: dict[str, tuple[Environment, ...]] = {}
    for one in live:
        found[one.commit] = (*found.get(one.commit, ()), one.environment)
    return found


def _rows(
    commits: Iterable[Commit], tags: dict[str, tuple[str, ...]], on: dict[str, tuple[Environment, ...]]
) -> tuple[Row, ...]:
    return tuple(Row(commit=one, tags=tags.get(one.hex, ()), on=on.get(one.hex, ())) for one in commits)
