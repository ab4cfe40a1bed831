"""What one commit has that another does not: commits and files, with the real git."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploynaut.engine.repository import Access, BadRevision, Mirror, RevisionNotFound
from tests.engine.git_repository import Repository


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "demo" / "origin")


@pytest.fixture
def mirror(origin: Repository, tmp_path: Path) -> Mirror:
    access = Access(address=str(origin.directory))
    return Mirror(tmp_path / "mirror", access=access, allow_local_below=tmp_path / "demo")


def fetch(mirror: Mirror) -> None:
    mirror.fetch(progress=lambda phase, percent: None, guard=lambda: None)


def test_commits_of_one_that_the_other_lacks_newest_first_and_their_number(origin: Repository, mirror: Mirror) -> None:
    base = origin.commit({b"a": b"1"}, message="First")
    hotfix = origin.commit({b"a": b"2"}, message="Hotfix")
    origin.git("branch", "-f", "live", hotfix)
    origin.git("update-ref", "refs/heads/main", base)
    origin.heads["main"] = base
    new = [origin.commit({b"a": b"1", b"b": b"%d" % i}, message=f"Change {i}") for i in range(3)]
    fetch(mirror)
    found, count = mirror.between(hotfix, new[-1], limit=2)
    assert ([one.subject for one in found], count) == (["Change 2", "Change 1"], 3)
    left, count = mirror.between(new[-1], hotfix, limit=10)
    assert ([one.subject for one in left], count) == (["Hotfix"], 1)
    assert mirror.between(base, base, limit=5) == ([], 0)


def test_files_that_differ_are_named_with_their_size(origin: Repository, mirror: Mirror) -> None:
    before = origin.commit({b"gone": b"x", b"kept": b"y", b"changed": b"1"}, message="Before")
    after = origin.commit({b"kept": b"y", b"changed": b"1234", b"new \xff\n": b"12"}, message="After")
    fetch(mirror)
    found = {one.path: (one.how, one.size) for one in mirror.touched(before, after)}
    assert found == {"gone": ("removed", 0), "changed": ("changed", 4), "new �\n": ("added", 2)}
    assert mirror.touched(after, after) == []


@pytest.mark.parametrize("wrong", ["--output=/tmp/x", "0" * 40, "main..live"])
def test_what_is_no_commit_of_the_repository_is_refused(origin: Repository, mirror: Mirror, wrong: str) -> None:
    good = origin.commit({b"a": b"1"}, message="First")
    fetch(mirror)
    for pair in ((good, wrong), (wrong, good)):
        with pytest.raises((BadRevision, RevisionNotFound)):
            mirror.between(*pair, limit=5)
        with pytest.raises((BadRevision, RevisionNotFound)):
            mirror.touched(*pair)
