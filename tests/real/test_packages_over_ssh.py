"""Packages on a real host by SSH, as a user who is not root: laid out, verified, a full disk, what stays undeleted."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploynaut.engine.packages import (
    How,
    Package,
    PackageStore,
    Previous,
    TargetDisk,
    clean_up,
    lay_out,
    live,
    survey,
    switch,
    verify,
)
from deploynaut.engine.testing_mirror import Content, FakeMirror
from tests.engine.package_makers import tree, wanted
from tests.real.conftest import SshdHost

pytestmark = pytest.mark.real

FILES: dict[str, Content] = {
    **{f"d{number % 9}/f{number}": b"x%d" % number * 500 for number in range(300)},
    "a\nb": b"1", "-x": b"2", "q'\"$(touch x)`y`;\\": b"3", "n" * 255: b"4", "link": "-x", "empty": b"",
    b"\xff\xfe".decode("utf-8", "surrogateescape"): b"5", "d" * 200 + "/" + "e" * 200 + "/f": b"6",
}  # fmt: skip
CHANGED: dict[str, Content] = {**FILES, "d1/f1": b"changed", "d2": b"a file now", "link": "empty"}
CHANGED = {path: content for path, content in CHANGED.items() if not path.startswith("d2/")}


def package(place: Path, files: dict[str, Content]) -> Package:
    mirror = FakeMirror()
    commit = mirror.commit(files)
    store = PackageStore(place / "store")
    return store.get(mirror=mirror, commit=commit, build=None, log=lambda line: None, guard=lambda: None)


def test_whole_copied_and_recycled_releases_are_equal_and_verified(sshd: SshdHost, tmp_path: Path) -> None:
    connection = sshd.connect()
    first, second = package(tmp_path, FILES), package(tmp_path, CHANGED)
    ways = [
        (first, "1", None, ()),
        (second, "2", Previous("1", first.manifest), ()),
        (first, "3", Previous("2", second.manifest), (Previous("1", first.manifest),)),
    ]
    how = []
    for made, number, previous, recyclable in ways:
        laid = lay_out(
            connection, package=made, release=number, previous=previous, recyclable=recyclable, log=lambda line: None
        )
        how.append(laid.how)
        verify(connection, release=number, package=made)
        switch(connection, release=number)
        assert live(connection) == number
    assert how == [How.FULL, How.COPY, How.RECYCLE]
    assert tree(sshd.base / "releases" / "2") == wanted(CHANGED)
    assert tree(sshd.base / "releases" / "3") == wanted(FILES)


def test_a_release_with_files_of_somebody_else_is_left_and_named(sshd: SshdHost, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.fail("Only root can give files to somebody else; run this area as root.")
    connection = sshd.connect()
    made = package(tmp_path, FILES)
    for number in ("1", "2", "3"):
        lay_out(connection, package=made, release=number, previous=None, log=lambda line: None)
    theirs = sshd.base / "releases" / "1" / "cache"
    theirs.mkdir()
    (theirs / "page").write_text("written by the web server")
    switch(connection, release="3")
    done = clean_up(connection, releases=["1", "2"])
    assert done.removed == ("2",)
    ((name, reason),) = done.left
    assert name == "1"
    assert "Permission denied" in reason
    assert "owner root" in reason
    assert "1" not in {one.name for one in survey(connection).releases}
    left = survey(connection).leftovers
    assert len(left) == 1
    shutil.rmtree(sshd.base / "releases" / left[0] / "cache")
    assert clean_up(connection, releases=[], leftovers=left).removed == left


def test_a_full_disk_leaves_no_part_and_is_said(sshd: SshdHost, tmp_path: Path) -> None:
    """The survey was made while there was room; then somebody else filled the disk."""
    if os.getuid() != 0:
        pytest.fail("Only root can mount a small disk; run this area as root.")
    releases = sshd.base / "releases"
    releases.mkdir()
    options = f"size=64m,uid={sshd.base.stat().st_uid},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(releases)], check=True)
    try:
        connection = sshd.connect()
        made = package(tmp_path, {**FILES, "large": bytes(8 * 1024**2)})
        seen = survey(connection)
        (releases / "somebody").write_bytes(bytes(60 * 1024**2))
        with pytest.raises(TargetDisk, match=r"ran full.*The site is untouched"):
            lay_out(connection, package=made, release="1", previous=None, seen=seen, log=lambda line: None)
        assert [path.name for path in releases.iterdir()] == ["somebody"]
        (releases / "somebody").unlink()
        lay_out(connection, package=made, release="1", previous=None, log=lambda line: None)
        verify(connection, release="1", package=made)
    finally:
        subprocess.run(["umount", str(releases)], check=True)
