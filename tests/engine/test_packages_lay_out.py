"""Laying a package out on a target: every way ends in the very same tree, or in none."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploynaut.engine.connections.base import CommandFailed
from deploynaut.engine.connections.local import Local
from deploynaut.engine.packages import (
    How,
    Manifest,
    NoRoom,
    Package,
    Previous,
    ReleaseAltered,
    ReleaseInUse,
    ReleaseMissing,
    TargetDisk,
    seed,
    switch,
    verify,
)
from deploynaut.engine.packages.payload import whole
from deploynaut.engine.packages.room import check_room, of_failure
from deploynaut.engine.packages.survey import Is, Survey, survey
from deploynaut.engine.testing_mirror import Content
from tests.engine.package_makers import Workshop, tree, wanted

ODD: dict[str, Content] = {
    "a\nb": b"1", "-x": b"2", "--": b"3", "q'\"$(touch x)`y`;": b"4", "\\": b"5", " ": b"6", "*": b"7",
    b"\xff\xfe".decode("utf-8", "surrogateescape"): b"8", "n" * 255: b"9", "grün": b"10", "gru\u0308n": b"11",
    "Case": b"12", "case": b"13", "d" * 200 + "/" + "e" * 200 + "/f": b"14", "empty": b"", "tab\t\x1b[31m": b"15",
    "link": "-x", "deep/link": "../a\nb", "dangling": "not/there", "long": "d" * 200 + "/" + "e" * 200 + "/f",
    b"l\xff".decode("utf-8", "surrogateescape"): b"\xff\xfe".decode("utf-8", "surrogateescape"),
}  # fmt: skip
MANY: dict[str, Content] = {f"d{number % 7}/f{number}": b"x%d" % number * 3000 for number in range(60)}
OLD: dict[str, Content] = {
    **ODD, **MANY, "x/1": b"x", "y": b"y", "z": "y", "w": b"w", "v/1": b"v", "v/2": b"v", "g/h/i": b"g",
}  # fmt: skip
NEW: dict[str, Content] = {
    **ODD, **MANY, "x": b"now a file", "y/1": b"now a directory", "z/1": b"was a link", "w": "case", "v": "deep",
    "d1/f1": b"changed", "added": b"+",
}  # fmt: skip


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_the_first_release_is_sent_whole(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    laid = workshop.lay_out(package, "1")
    assert laid.how is How.FULL
    assert tree(workshop.release("1")) == wanted(OLD)
    note = (workshop.release("1") / ".deploynaut-release").read_text()
    assert note == f"1 {package.commit} {package.digest}\n"
    assert workshop.leftovers() == []
    verify(workshop.connection, release="1", package=package)


def test_the_next_release_is_a_copy_of_the_live_one_with_what_differs(workshop: Workshop) -> None:
    live = workshop.live(workshop.package(OLD), "1")
    laid = workshop.lay_out(workshop.package(NEW), "2", previous=live)
    assert (laid.how, laid.source, laid.repaired) == (How.COPY, "1", 0)
    assert laid.sent == len(set(wanted(NEW).items()) - set(wanted(OLD).items()))
    assert tree(workshop.release("2")) == wanted(NEW)
    assert tree(workshop.release("1")) == wanted(OLD)
    assert workshop.leftovers() == []


def test_an_old_release_is_recycled_when_less_has_to_be_sent(workshop: Workshop) -> None:
    old, new = workshop.package(OLD), workshop.package(NEW)
    workshop.lay_out(new, "1")
    live = workshop.live(old, "2")
    laid = workshop.lay_out(new, "3", previous=live, recyclable=(Previous("1", new.manifest),))
    assert (laid.how, laid.source, laid.sent) == (How.RECYCLE, "1", 0)
    assert tree(workshop.release("3")) == wanted(NEW)
    assert not workshop.release("1").exists()
    assert (workshop.release("3") / ".deploynaut-release").read_text().startswith("3 ")


def test_a_copy_shares_no_file_with_the_live_release(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    live = workshop.live(package, "1")
    workshop.lay_out(package, "2", previous=live)
    inodes = [{path.stat().st_ino for path in workshop.release(name).rglob("f*")} for name in ("1", "2")]
    assert not inodes[0] & inodes[1]


def test_an_unchanged_package_needs_nothing_sent(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    laid = workshop.lay_out(package, "2", previous=workshop.live(package, "1"))
    assert (laid.how, laid.sent, laid.removed) == (How.COPY, 0, 0)
    assert tree(workshop.release("2")) == wanted(OLD)


def drift(release: Path) -> None:
    """What a site, its visitors and people do to a release."""
    (release / "d1" / "f1").write_bytes(b"drifted")
    (release / "d2" / "f2").unlink()
    (release / "cache").mkdir()
    (release / "cache" / "page").write_text("cached")
    (release / "d3").chmod(0o700)
    (release / "d4" / "f4").chmod(0o4755)
    (release / "link").unlink()
    (release / "link").symlink_to("/etc/passwd")
    os.mkfifo(release / "pipe")


@pytest.mark.parametrize("how", [How.COPY, How.RECYCLE])
def test_what_has_drifted_in_the_source_is_mended(workshop: Workshop, how: How) -> None:
    old, new = workshop.package(OLD), workshop.package(NEW)
    source = Previous("1", old.manifest)
    workshop.lay_out(old, "1")
    drift(workshop.release("1"))
    given = {"previous": source} if how is How.COPY else {"previous": None, "recyclable": (source,)}
    laid = workshop.lay_out(new, "2", **given)
    assert laid.how is how
    assert laid.repaired
    assert tree(workshop.release("2")) == wanted(NEW)


@pytest.mark.parametrize("how", [How.COPY, How.RECYCLE])
def test_nothing_is_ever_written_or_removed_through_a_link(workshop: Workshop, tmp_path: Path, how: How) -> None:
    """A directory of the source has become a link to a place outside, such as shared files."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("f1", "f8", "gone"):
        (outside / name).write_text("precious")
    old = workshop.package({**MANY, "d1/gone": b"x"})
    new = workshop.package({**MANY, "d1/f1": b"changed"})
    workshop.lay_out(old, "1")
    shutil.rmtree(workshop.release("1") / "d1")
    (workshop.release("1") / "d1").symlink_to(outside)
    source = Previous("1", old.manifest)
    given = {"previous": source} if how is How.COPY else {"previous": None, "recyclable": (source,)}
    workshop.lay_out(new, "2", **given)
    assert tree(workshop.release("2")) == wanted({**MANY, "d1/f1": b"changed"})
    assert {path.name: path.read_text() for path in outside.iterdir()} == dict.fromkeys(
        ("f1", "f8", "gone"), "precious"
    )


def test_a_source_that_cannot_be_mended_gives_way_to_the_whole_package(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    workshop.lay_out(package, "1")
    shutil.rmtree(workshop.release("1") / "d1")
    (workshop.release("1") / "d1").write_text("a file where files should be written")
    changed = workshop.package({**OLD, "d1/f1": b"changed"})
    laid = workshop.lay_out(changed, "2", previous=Previous("1", package.manifest))
    assert laid.how is How.FULL
    assert tree(workshop.release("2")) == wanted({**OLD, "d1/f1": b"changed"})
    assert workshop.leftovers() == []
    assert any("could not be used" in line for line in workshop.lines)


def test_a_source_that_is_not_there_is_not_asked(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    laid = workshop.lay_out(package, "2", previous=Previous("1", package.manifest))
    assert laid.how is How.FULL


def test_the_live_release_is_never_recycled(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    live = workshop.live(package, "1")
    laid = workshop.lay_out(package, "2", previous=None, recyclable=(live,))
    assert laid.how is How.FULL
    assert tree(workshop.release("1")) == wanted(OLD)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_are_right_whatever_the_umask_of_the_target(workshop: Workshop, umask: int) -> None:
    before = os.umask(umask)
    try:
        live = workshop.live(workshop.package(OLD), "1")
        workshop.lay_out(workshop.package(NEW), "2", previous=live)
    finally:
        os.umask(before)
    assert tree(workshop.release("2")) == wanted(NEW)
    assert [workshop.release(name).stat().st_mode & 0o777 for name in ("1", "2")] == [0o755, 0o755]


def test_executables_stay_executable(workshop: Workshop) -> None:
    workshop.mirror.executable = frozenset({"run"})
    package = workshop.package({"run": b"#!/bin/sh\n", "read": b"x"})
    workshop.lay_out(package, "1")
    assert [(workshop.release("1") / name).stat().st_mode & 0o777 for name in ("run", "read")] == [0o755, 0o644]
    (workshop.release("1") / "run").chmod(0o644)
    with pytest.raises(ReleaseAltered, match="run"):
        verify(workshop.connection, release="1", package=package)


def test_parts_of_an_earlier_try_are_cleared_away(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    part = workshop.base / "releases" / ".1.part"
    part.mkdir(parents=True)
    (part / "half").write_text("half")
    (part / "closed").mkdir(mode=0o500)
    (workshop.base / ".deploynaut" / "tmp" / "lay.1").mkdir(parents=True)
    workshop.lay_out(package, "1")
    assert tree(workshop.release("1")) == wanted(OLD)
    assert workshop.leftovers() == []


def test_laying_out_again_what_is_there_checks_it_and_sends_nothing(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    workshop.lay_out(package, "1")
    assert workshop.lay_out(package, "1").how is How.THERE


def test_a_broken_release_of_that_number_is_laid_out_again_unless_it_is_live(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    workshop.lay_out(package, "1")
    (workshop.release("1") / "d1" / "f1").write_text("broken")
    assert workshop.lay_out(package, "1").how is How.FULL
    assert tree(workshop.release("1")) == wanted(OLD)
    switch(workshop.connection, release="1")
    (workshop.release("1") / "d1" / "f1").write_text("broken")
    with pytest.raises(ReleaseInUse, match="Use a new number"):
        workshop.lay_out(package, "1")


@pytest.mark.parametrize(
    "alter",
    [
        lambda release: (release / "d1" / "f1").write_bytes(b"x1" * 2999 + b"y1"),
        lambda release: (release / "d1" / "f1").unlink(),
        lambda release: (release / "extra").write_text("x"),
        lambda release: (release / "extra").mkdir(),
        lambda release: (release / "d1").chmod(0o777),
        lambda release: (release / "d1" / "f1").chmod(0o600),
        lambda release: ((release / "link").unlink(), (release / "link").symlink_to("--")),
        lambda release: ((release / "d1" / "f1").unlink(), (release / "d1" / "f1").symlink_to("f8")),
        lambda release: os.mkfifo(release / "pipe"),
    ],
    ids=["one byte", "a file less", "a file more", "a directory more", "a directory's mode", "a file's mode",
         "a link's target", "a link in place of a file", "a pipe"],
)  # fmt: skip
def test_verify_notices_every_kind_of_change(workshop: Workshop, alter: object) -> None:
    package = workshop.package(OLD)
    workshop.lay_out(package, "1")
    verify(workshop.connection, release="1", package=package)
    alter(workshop.release("1"))  # type: ignore[operator]
    with pytest.raises(ReleaseAltered, match="Release 1 on local differs"):
        verify(workshop.connection, release="1", package=package)


def test_verify_names_the_first_five_paths(workshop: Workshop) -> None:
    package = workshop.package(MANY)
    workshop.lay_out(package, "1")
    for path in workshop.release("1").glob("d1/*"):
        path.write_text("x")
    with pytest.raises(ReleaseAltered, match=r"d1/f1, d1/f15, d1/f22, d1/f29, d1/f36 and 4 more") as altered:
        verify(workshop.connection, release="1", package=package)
    assert len(altered.value.paths) == 9


def test_verify_of_a_release_that_is_not_there_says_so(workshop: Workshop) -> None:
    package = workshop.package(MANY)
    survey(workshop.connection)
    with pytest.raises(ReleaseMissing, match="Lay it out again"):
        verify(workshop.connection, release="7", package=package)


def test_links_of_the_environment_take_the_place_of_what_the_package_has(workshop: Workshop) -> None:
    files: Mapping[str, Content] = {**MANY, "assets/logo": b"logo", "assets/old/a": b"a"}
    links = {"assets": "../../shared/assets", "conf/local.ini": "../../../shared/local.ini"}
    package = workshop.package(files)
    workshop.lay_out(package, "1", links=links)
    linked = wanted({**MANY, **links})
    assert tree(workshop.release("1")) == linked
    verify(workshop.connection, release="1", package=package, links=links)
    with pytest.raises(ReleaseAltered):
        verify(workshop.connection, release="1", package=package)
    precious = workshop.base / "shared" / "assets"
    precious.mkdir(parents=True)
    (precious / "logo").write_text("precious")
    newer = workshop.package({**files, "assets/logo": b"newer logo"})
    laid = workshop.lay_out(newer, "2", links=links, previous=Previous("1", package.manifest.with_links(links)))
    assert (laid.how, laid.repaired, laid.sent) == (How.COPY, 0, 0)
    assert tree(workshop.release("2")) == linked
    unlinked = workshop.lay_out(newer, "3", previous=Previous("1", package.manifest.with_links(links)))
    assert unlinked.how is How.COPY
    assert tree(workshop.release("3")) == wanted({**files, "assets/logo": b"newer logo"})
    assert (precious / "logo").read_text() == "precious"


def test_a_shared_path_is_seeded_once_from_the_package(workshop: Workshop) -> None:
    package = workshop.package({"assets/logo": b"logo", "assets/l": "logo", "assets/deep/a": b"a", "robots.txt": b"r"})
    survey(workshop.connection)
    shared = workshop.base / "shared"
    (shared / "assets").mkdir(parents=True)
    assert seed(workshop.connection, package=package, path="assets", to="shared/assets")
    assert tree(shared / "assets") == wanted({"logo": b"logo", "l": "logo", "deep/a": b"a"})
    (shared / "assets" / "logo").write_text("changed by people")
    assert not seed(workshop.connection, package=package, path="assets", to="shared/assets")
    assert (shared / "assets" / "logo").read_text() == "changed by people"
    assert seed(workshop.connection, package=package, path="robots.txt", to="shared/robots.txt")
    assert (shared / "robots.txt").read_bytes() == b"r"
    assert not seed(workshop.connection, package=package, path="nothing", to="shared/nothing")
    assert not (shared / "nothing").exists()


class Breaking(Local):
    """A connection whose n-th command fails half-way, as when the host went away."""

    left = -1

    def run(self, command, **options):  # type: ignore[no-untyped-def]
        self.left -= 1
        if self.left == 0:
            options = {**options, "stdin": b"./nothing\0not a tar" if options.get("stdin") else None}
        return super().run(command, **options)


def test_a_broken_transfer_leaves_no_release_and_no_part(workshop: Workshop) -> None:
    package = workshop.package(OLD)
    connection = Breaking(workshop.base, 1, "acme/uat#1")
    connection.left = 2
    workshop.connection = connection
    with pytest.raises(CommandFailed):
        workshop.lay_out(package, "1")
    assert not workshop.release("1").exists()
    assert workshop.leftovers() == []
    workshop.lay_out(package, "1")
    assert tree(workshop.release("1")) == wanted(OLD)


def test_bytes_altered_on_the_way_are_sent_again_once(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    package = workshop.package(MANY)
    spoiled: list[int] = []

    @contextlib.contextmanager
    def spoil(package: Package, *, wanted: Manifest) -> Iterator[bytes]:
        with whole(package, wanted=wanted) as content:
            spoiled.append(1)
            assert isinstance(content, Path)
            yield content.read_bytes().replace(b"x1x1x1", b"x1x2x1", 1)

    monkeypatch.setattr("deploynaut.engine.packages.payload.whole", spoil)
    assert workshop.lay_out(package, "1").repaired == 1
    assert spoiled
    assert tree(workshop.release("1")) == wanted(MANY)


def seen(*, free_bytes: int = 10**12, free_inodes: int | None = 10**6) -> Survey:
    return Survey((), None, Is.NOTHING, "", free_bytes, free_inodes)


def test_too_little_room_is_said_before_a_byte_is_sent(workshop: Workshop) -> None:
    manifest = workshop.package(MANY).manifest
    check_room("full", manifest, (), seen(), host="web1")
    check_room("full", manifest, (), seen(free_inodes=None), host="web1")
    with pytest.raises(NoRoom, match=r"web1: 0.0 MB free for releases, 32\.\d MB needed"):
        check_room("full", manifest, (), seen(free_bytes=10), host="web1")
    with pytest.raises(NoRoom, match=r"web1: 5 inodes .* free for releases, 267 needed"):
        check_room("copy", manifest, (), seen(free_inodes=5), host="web1")
    check_room("recycle", manifest, ("d1/f1",), seen(free_inodes=202), host="web1")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"tar: a: Cannot write: No space left on device", "ran full"),
        (b"tar: a: Cannot write: Disk quota exceeded", "quota of the deploy user"),
        (b"mkdir: cannot create directory: Read-only file system", "read-only"),
    ],
)
def test_what_the_disk_said_becomes_a_text_for_people(said: bytes, words: str) -> None:
    error = of_failure(CommandFailed("x", errors=said), host="web1")
    assert isinstance(error, TargetDisk)
    assert words in str(error)
    assert "The site is untouched" in str(error)
    assert of_failure(CommandFailed("x", errors=b"something else"), host="web1") is None


@pytest.mark.parametrize("release", ["", "..", "../x", "-1", "01", "1/2", "a", "1\n", "1 2"])
def test_only_a_number_is_a_release(workshop: Workshop, release: str) -> None:
    package = workshop.package({"a": b"1"})
    with pytest.raises(ValueError, match="not the name of a release"):
        workshop.lay_out(package, release)
    with pytest.raises(ValueError, match="not the name of a release"):
        verify(workshop.connection, release=release, package=package)
    with pytest.raises(ValueError, match="not the name of a release"):
        switch(workshop.connection, release=release)
