"""A commit's tree as it is exported: equal to what was committed, byte for byte, and nothing run."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from deploynaut.engine.repository import Access, BadTree, Kind, Limits, Member, Mirror, inspect
from deploynaut.engine.repository.archive import read_archive
from tests.engine.git_repository import Repository

ODD_NAMES = [
    b"a\nb", b"-x", b"--", b"q'\"$(touch x)`y`;", b"\\", b" ", b"*", b"\xff\xfe", b"n" * 255, "grün".encode(),
    b"gru\xcc\x88n", b"Case", b"case", b"d" * 200 + b"/" + b"e" * 200 + b"/f", b"tab\there", b"\x1b[31m",
]  # fmt: skip


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "demo" / "origin")


def mirror_of(origin: Repository, *, limits: Limits | None = None) -> Mirror:
    place = origin.directory.parent
    access = Access(str(origin.directory))
    mirror = Mirror(place / "mirror", access=access, allow_local_below=place, limits=limits)
    mirror.fetch(progress=lambda phase, percent: None, guard=lambda: None)
    return mirror


def files_below(directory: Path) -> dict[bytes, bytes | str]:
    found: dict[bytes, bytes | str] = {}
    top = os.fsencode(directory)
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, top)
            found[key] = (
                os.fsdecode(os.readlink(path)) if os.path.islink(path) else Path(os.fsdecode(path)).read_bytes()
            )
    return found


def test_odd_names_empty_files_links_and_large_files_come_through(origin: Repository, tmp_path: Path) -> None:
    files: dict[bytes, bytes | str] = {name: b"x%d" % number for number, name in enumerate(ODD_NAMES)}
    files |= {
        b"empty": b"",
        b"large": os.urandom(3_000_000),
        b"dir/link": "../-x",
        b"dangling": "not/there",
        b"loop": "loop",
    }
    files[b"long"] = "d" * 200 + "/" + "e" * 200 + "/f"
    commit = origin.commit(files, executable=frozenset({b"-x"}))
    mirror_of(origin).export(commit, tmp_path / "out")
    assert files_below(tmp_path / "out") == files


def test_modes_are_the_same_whatever_the_umask(origin: Repository, tmp_path: Path) -> None:
    commit = origin.commit({b"run": b"x", b"dir/read": b"x"}, executable=frozenset({b"run"}))
    before = os.umask(0o077)
    try:
        mirror_of(origin).export(commit, tmp_path / "out")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("run", "dir", "dir/read")}
    assert modes == {"run": 0o755, "dir": 0o755, "dir/read": 0o644}


def test_export_ignore_is_honoured_and_line_ends_follow_the_attributes(origin: Repository, tmp_path: Path) -> None:
    attributes = b"tests export-ignore\n*.txt text eol=crlf\n"
    commit = origin.commit({b".gitattributes": attributes, b"tests/a": b"1", b"b.txt": b"1\n2\n", b"c": b"1\n"})
    mirror_of(origin).export(commit, tmp_path / "out")
    found = files_below(tmp_path / "out")
    assert found == {b".gitattributes": attributes, b"b.txt": b"1\r\n2\r\n", b"c": b"1\n"}


def test_export_subst_stays_as_it_is_so_that_a_commit_has_one_content(origin: Repository, tmp_path: Path) -> None:
    files: dict[bytes, bytes | str] = {b".gitattributes": b"v export-subst\n", b"v": b"$Format:%H %d$\n"}
    commit = origin.commit(files)
    mirror_of(origin).export(commit, tmp_path / "out")
    assert files_below(tmp_path / "out") == files


def test_our_reader_reads_what_tarfile_reads(origin: Repository) -> None:
    files: dict[bytes, bytes | str] = {name: b"x" * number for number, name in enumerate(ODD_NAMES)}
    commit = origin.commit({**files, b"l": "-x", b"m": "x" * 150})
    mirror = mirror_of(origin)
    with mirror._git.stream("archive", "--format=tar", mirror.tree(commit)) as stream:
        raw = stream.read()
    ours = [(one.path, one.target, b"".join(one.chunks)) for one in read_archive(io.BytesIO(raw))]
    with tarfile.open(fileobj=io.BytesIO(raw), encoding="utf-8", errors="surrogateescape") as archive:
        theirs = [
            (one.name, one.linkname, found.read() if (found := one.isfile() and archive.extractfile(one)) else b"")
            for one in archive
        ]
    assert ours == theirs


def test_a_stream_that_ends_early_is_refused(origin: Repository) -> None:
    commit = origin.commit({b"a": b"x" * 5000})
    mirror = mirror_of(origin)
    with mirror._git.stream("archive", "--format=tar", mirror.tree(commit)) as stream:
        raw = stream.read()
    for length in (0, 100, 512, 1600, 5000):
        with pytest.raises(BadTree, match="ended in the middle"):
            list(read_archive(io.BytesIO(raw[:length])))


def test_a_tree_over_the_limits_is_refused(origin: Repository) -> None:
    commit = origin.commit({b"a": b"x" * 2000, b"b": b"x" * 2000, b"c": b"x"})
    with pytest.raises(BadTree, match="over 2 files"):
        list(mirror_of(origin, limits=Limits(paths=2)).archive(commit))
    with pytest.raises(BadTree, match="larger than"):
        list(mirror_of(origin, limits=Limits(size=3000)).archive(commit))


def link(path: str, target: str) -> Member:
    return Member(path, Kind.LINK, 0o777, target=target)


@pytest.mark.parametrize(
    ("links", "allowed"),
    [
        ([("a", "b/c")], True),
        ([("d/a", "../b")], True),
        ([("a", ".")], True),
        ([("a", "a")], True),
        ([("d/e/l", "../..")], True),
        ([("a", "..")], False),
        ([("d/a", "../../b")], False),
        ([("a", "/etc/passwd")], False),
        ([("a", "")], False),
        ([("d/e/l", "../.."), ("m", "d/e/l/../x")], False),
        ([("d/l", "e"), ("m", "d/l/../../x/../..")], False),
        ([("shared", "../../shared/assets")], False),
    ],
)
def test_a_link_may_not_leave_the_tree_not_even_through_other_links(
    links: list[tuple[str, str]], allowed: bool
) -> None:
    members = [link(path, target) for path, target in links]
    if allowed:
        assert len([one for one in inspect(members, limits=Limits()) if one.kind is Kind.LINK]) == len(links)
    else:
        with pytest.raises(BadTree, match=r"[Ll]ink"):
            list(inspect(members, limits=Limits()))
