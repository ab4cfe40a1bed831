"""Which release is live, switching, and cleaning up: what must stay always stays."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploynaut.engine.packages import (
    CurrentIsNoLink,
    Is,
    NotRemoved,
    Present,
    ReleaseMissing,
    clean_up,
    live,
    removable,
    remove,
    survey,
    switch,
)
from tests.engine.package_makers import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    workshop = Workshop(tmp_path)
    for number in range(1, 4):
        make(workshop, str(number))
    return workshop


def make(workshop: Workshop, name: str) -> Path:
    place = workshop.base / "releases" / name
    place.mkdir(parents=True)
    (place / "index.html").write_text(name)
    return place


def names(workshop: Workshop) -> set[str]:
    return set(os.listdir(workshop.base / "releases"))


def test_switching_makes_a_release_live_and_repeating_changes_nothing(workshop: Workshop) -> None:
    assert live(workshop.connection) is None
    for number in ("1", "2", "2", "1"):
        switch(workshop.connection, release=number)
        assert os.readlink(workshop.base / "current") == f"releases/{number}"
        assert live(workshop.connection) == number
    assert sorted(path.name for path in workshop.base.iterdir()) == [".deploynaut", "current", "releases"]


def test_a_visitor_finds_a_release_at_every_moment_of_a_switch(workshop: Workshop) -> None:
    switch(workshop.connection, release="1")
    done, read = threading.Event(), set()

    def visit() -> None:
        while not done.is_set():
            read.add((workshop.base / "current" / "index.html").read_text())

    visitor = threading.Thread(target=visit)
    visitor.start()
    for number in ("2", "1") * 5:
        switch(workshop.connection, release=number)
    done.set()
    visitor.join()
    assert read == {"1", "2"}


def test_a_release_that_is_not_there_is_never_switched_to(workshop: Workshop) -> None:
    switch(workshop.connection, release="1")
    (workshop.base / "releases" / "8").symlink_to("2")
    for number in ("7", "8"):
        with pytest.raises(ReleaseMissing, match="Lay it out again"):
            switch(workshop.connection, release=number)
    assert live(workshop.connection) == "1"


def test_a_current_that_is_a_directory_is_never_replaced(workshop: Workshop) -> None:
    (workshop.base / "current").mkdir()
    (workshop.base / "current" / "precious").write_text("x")
    with pytest.raises(CurrentIsNoLink, match="Adopt the site"):
        switch(workshop.connection, release="1")
    assert (workshop.base / "current" / "precious").exists()
    assert survey(workshop.connection).current is Is.SOMETHING_ELSE


def test_a_dangling_current_is_told_and_can_be_switched(workshop: Workshop) -> None:
    (workshop.base / "current").symlink_to("releases/99")
    seen = survey(workshop.connection)
    assert (seen.current, seen.live) == (Is.LINK, "99")
    switch(workshop.connection, release="1")
    assert live(workshop.connection) == "1"


@pytest.mark.parametrize(
    ("leads", "found"),
    [
        ("releases/2", "2"),
        ("{base}/releases/2", "2"),
        ("stable", "2"),
        ("releases/2/", "2"),
        ("releases/2/sub", None),
        ("elsewhere", None),
        ("/", None),
        ("releases/theirs", None),
    ],
)
def test_the_live_release_is_what_the_links_end_at(workshop: Workshop, leads: str, found: str | None) -> None:
    (workshop.base / "stable").symlink_to("releases/2")
    (workshop.base / "elsewhere").mkdir()
    (workshop.base / "releases" / "2" / "sub").mkdir()
    make(workshop, "theirs")
    (workshop.base / "current").symlink_to(leads.format(base=workshop.base))
    assert live(workshop.connection) == found


def test_the_survey_names_releases_notes_and_foreign_things(workshop: Workshop) -> None:
    note = workshop.base / "releases" / "2" / ".deploynaut-release"
    note.write_text(f"2 {'a' * 40} {'b' * 64}\n")
    (workshop.base / "releases" / "3" / ".deploynaut-release").write_text("<script>\n" * 1000)
    make(workshop, "theirs\nown")
    (workshop.base / "releases" / "4").symlink_to("2")
    (workshop.base / "releases" / "5").write_text("a file")
    found = {present.name: present for present in survey(workshop.connection).releases}
    assert found["2"] == Present("2", True, "a" * 40, "b" * 64)
    assert (found["1"].digest, found["3"].digest) == ("", "")
    assert [name for name, present in found.items() if present.ours] == ["1", "2", "3"]
    assert "theirs\nown" in found


def present(*numbers: int) -> list[Present]:
    return [Present(str(number), True) for number in numbers]


def test_the_newest_stay_and_the_oldest_go(workshop: Workshop) -> None:
    assert removable(present(*range(1, 9)), live="8", known_good="8", pinned=(), keep=5) == ["1", "2", "3"]
    assert removable(present(8, 10, 9), live="10", known_good=None, pinned=(), keep=1) == ["8", "9"]
    assert removable(present(*range(1, 5)), live="4", known_good="4", pinned=(), keep=5) == []


def test_seven_failures_in_a_row_never_cost_the_live_release() -> None:
    assert removable(present(*range(10, 18)), live="10", known_good="10", pinned=(), keep=5) == ["11", "12"]
    assert removable(present(*range(10, 18)), live="11", known_good="10", pinned=(), keep=5) == ["12"]


def test_pinned_releases_foreign_things_and_the_screen_stay() -> None:
    things = [
        *present(*range(12)),
        Present("theirs", True),
        Present("007", True),
        Present("20", False),
        Present("-1", True),
    ]
    assert removable(things, live="11", known_good="9", pinned={"2", "3"}, keep=3) == ["1", "4", "5", "6", "7", "8"]


def test_where_no_release_is_live_nothing_goes() -> None:
    assert removable(present(*range(1, 9)), live=None, known_good="8", pinned=(), keep=1) == []


@given(
    st.sets(st.integers(0, 60)), st.integers(0, 60), st.none() | st.integers(0, 60), st.sets(st.integers(0, 60)),
    st.integers(-1, 8),
)  # fmt: skip
def test_nothing_protected_is_ever_removable(
    numbers: set[int], current: int, good: int | None, pins: set[int], keep: int
) -> None:
    pinned = {str(number) for number in pins}
    known_good = None if good is None else str(good)
    gone = removable(present(*numbers), live=str(current), known_good=known_good, pinned=pinned, keep=keep)
    assert not {str(current), known_good, "0", *pinned} & set(gone)
    assert set(gone) <= {str(number) for number in numbers}
    newest = sorted(numbers - {0})[-max(keep, 1) :]
    assert not {str(number) for number in newest} & set(gone)


def test_cleaning_up_removes_what_it_is_told_and_says_so(workshop: Workshop) -> None:
    switch(workshop.connection, release="3")
    done = clean_up(workshop.connection, releases=["1", "2"])
    assert done.removed == ("1", "2")
    assert str(done) == "Removed 2 old releases."
    assert names(workshop) == {"3"}
    assert clean_up(workshop.connection, releases=[]).removed == ()


CHAINS = {
    "current": ["current -> releases/2"],
    "an absolute link": ["current -> {base}/releases/2"],
    "a chain": ["stable -> releases/2", "current -> stable"],
    "a long chain": ["c -> {base}/b", "b -> a", "a -> releases/2", "current -> c"],
    "a chain through a directory": ["way/2 -> ../releases/2", "current -> way/2"],
    "a link to something in it": ["current -> releases/2/public"],
    "a link in it that leads elsewhere": ["releases/2/out -> ../3", "current -> releases/2/out"],
    "a way through it and back": ["current -> releases/2/../2"],
    "a link with a slash": ["current -> releases/2/"],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_release_on_the_way_of_the_live_link_stays(workshop: Workshop, chain: str) -> None:
    (workshop.base / "releases" / "2" / "public").mkdir()
    for line in CHAINS[chain]:
        link, _, target = line.partition(" -> ")
        (workshop.base / link).parent.mkdir(exist_ok=True)
        (workshop.base / link).symlink_to(target.format(base=workshop.base))
    done = clean_up(workshop.connection, releases=["1", "2"])
    assert done.removed == ("1",)
    assert done.left == (("2", "it is live"),)
    assert (workshop.base / "releases" / "2" / "index.html").read_text() == "2"
    assert (workshop.base / "current").exists()


def test_a_current_moved_by_hand_after_the_decision_still_protects(workshop: Workshop) -> None:
    switch(workshop.connection, release="3")
    decided = removable(survey(workshop.connection).releases, live="3", known_good="3", pinned=(), keep=1)
    (workshop.base / "current").unlink()
    (workshop.base / "current").symlink_to("releases/1")
    done = clean_up(workshop.connection, releases=decided)
    assert done.removed == ("2",)
    assert names(workshop) == {"1", "3"}


def test_a_link_with_the_name_of_a_release_is_never_followed(workshop: Workshop, tmp_path: Path) -> None:
    switch(workshop.connection, release="3")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (workshop.base / "releases" / "7").symlink_to(precious)
    (workshop.base / "releases" / "8").write_text("a file")
    done = clean_up(workshop.connection, releases=["7", "8", "9", "1"])
    assert done.removed == ("1",)
    assert done.left == (("7", "it is a link"), ("8", "it is no directory"), ("9", "it is not there"))
    assert (precious / "file").exists()


def test_what_is_below_a_link_in_a_release_stays(workshop: Workshop) -> None:
    shared = workshop.base / "shared"
    shared.mkdir()
    (shared / "upload").write_text("precious")
    (workshop.base / "releases" / "1" / "assets").symlink_to("../../shared")
    switch(workshop.connection, release="3")
    assert clean_up(workshop.connection, releases=["1"]).removed == ("1",)
    assert (shared / "upload").read_text() == "precious"


def test_a_read_only_directory_of_ours_is_removed_all_the_same(workshop: Workshop) -> None:
    switch(workshop.connection, release="3")
    closed = workshop.base / "releases" / "1" / "closed"
    closed.mkdir()
    (closed / "file").write_text("x")
    closed.chmod(0o500)
    assert clean_up(workshop.connection, releases=["1"]).removed == ("1",)


def test_foreign_names_are_refused(workshop: Workshop) -> None:
    for name in ("../shared", "theirs", "", ".", "1/..", "/etc"):
        with pytest.raises(ValueError, match="not the name of a release"):
            clean_up(workshop.connection, releases=[name])


def test_one_release_is_removed_with_its_unfinished_part(workshop: Workshop) -> None:
    switch(workshop.connection, release="3")
    make(workshop, ".2.part")
    remove(workshop.connection, release="2")
    assert names(workshop) == {"1", "3"}
    remove(workshop.connection, release="2")
    with pytest.raises(NotRemoved, match="it is live"):
        remove(workshop.connection, release="3")


def test_a_leftover_is_named_by_the_survey_and_removed_with_the_next(workshop: Workshop) -> None:
    switch(workshop.connection, release="3")
    make(workshop, ".1.gone.4711")
    seen = survey(workshop.connection)
    assert seen.leftovers == (".1.gone.4711",)
    assert {one.name for one in seen.releases} == {"1", "2", "3"}
    assert clean_up(workshop.connection, releases=[], leftovers=seen.leftovers).removed == (".1.gone.4711",)
