"""The manifest: one form, one digest; and the difference between two trees."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploynaut.engine.packages import BadManifest, Entry, Manifest, difference
from deploynaut.engine.packages.manifest import State
from deploynaut.engine.repository import Kind

NAMES = st.binary(min_size=1, max_size=8).map(lambda raw: raw.replace(b"\0", b"a").replace(b"/", b"b")).map(
    lambda raw: raw.decode("utf-8", "surrogateescape"))  # fmt: skip
DIGESTS = st.binary(max_size=4).map(lambda raw: hashlib.sha256(raw).hexdigest())


def file_of(path: str, mode: int, size: int, digest: str) -> Entry:
    return Entry(path, Kind.FILE, mode, size, digest)


ENTRIES = st.one_of(
    st.builds(file_of, NAMES, st.sampled_from([0o644, 0o755]), st.integers(0, 9**15), DIGESTS),
    st.builds(lambda name, target: Entry(name, Kind.LINK, 0o777, target=target), NAMES, NAMES),
    NAMES.map(lambda name: Entry(name, Kind.DIRECTORY, 0o755)),
)
MANIFESTS = st.lists(ENTRIES, unique_by=lambda entry: entry.path).map(Manifest.of)


def file(path: str, content: bytes = b"x", mode: int = 0o644) -> Entry:
    return Entry(path, Kind.FILE, mode, len(content), hashlib.sha256(content).hexdigest())


def directory(path: str) -> Entry:
    return Entry(path, Kind.DIRECTORY, 0o755)


@given(MANIFESTS)
def test_a_manifest_comes_back_from_its_text(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.text()) == manifest


@given(st.lists(ENTRIES, unique_by=lambda entry: entry.path), st.randoms())
def test_the_digest_does_not_depend_on_the_order(entries: list[Entry], chance: object) -> None:
    shuffled = sorted(entries, key=lambda entry: hash((entry.path, id(chance))))
    assert Manifest.of(entries).digest == Manifest.of(shuffled).digest


@given(MANIFESTS, MANIFESTS)
def test_different_trees_have_different_digests(one: Manifest, other: Manifest) -> None:
    assert (one.digest == other.digest) == (one == other)


def test_the_form_is_fixed_for_ever() -> None:
    manifest = Manifest.of([file("b/c", b"hello"), directory("b"), Entry("a", Kind.LINK, 0o777, target="b/c")])
    hello = b"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    text = b"deploynaut manifest 1\nl 0777 0 -\0a\0b/c\0d 0755 0 -\0b\0\0f 0644 5 " + hello + b"\0b/c\0\0"
    assert manifest.text() == text
    assert manifest.digest == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("text", [b"", b"deploynaut manifest 2\n", b"deploynaut manifest 1\nx 0 0 -\0a\0\0"])
def test_a_text_of_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(BadManifest, match="built again"):
        Manifest.parse(text)


def test_links_stand_in_for_what_the_package_has_there_and_below() -> None:
    manifest = Manifest.of([directory("assets"), file("assets/a"), file("assets2"), file("b")])
    linked = manifest.with_links({"assets": "../../shared/assets", "x/y": "../../../shared/y"})
    assert [entry.path for entry in linked.entries] == ["assets", "assets2", "b", "x", "x/y"]
    assert linked.states["assets"] == State("link", 0, "../../shared/assets")
    assert manifest.with_links({}) is manifest


def test_a_difference_removes_first_what_changes_its_kind() -> None:
    old = Manifest.of([directory("d"), file("d/a"), directory("d/e"), file("d/e/f"), file("same"), file("mode")])
    new = Manifest.of([file("d"), file("same"), file("mode", mode=0o755), file("new")])
    change = difference(wanted=new.states, found=old.states)
    assert change.remove == ("d",)
    assert change.write == ("d", "mode", "new")
    assert not difference(wanted=new.states, found=new.states)


@given(MANIFESTS, MANIFESTS)
def test_applying_a_difference_gives_what_was_wanted(old: Manifest, new: Manifest) -> None:
    change = difference(wanted=new.states, found=old.states)
    left = {path: state for path, state in old.states.items() if path not in change.remove}
    assert {**left, **{path: new.states[path] for path in change.write}} == new.states
