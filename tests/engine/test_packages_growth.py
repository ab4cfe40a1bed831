"""A package grown from the one before is the very package that packing anew gives."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from deploynaut.engine.packages import Package, PackageStore, Previous, growth, verify
from deploynaut.engine.repository import Access, BadTree, Mirror
from tests.engine.git_repository import Repository
from tests.engine.package_makers import Workshop, go_on

Files = dict[bytes, bytes | str]
ATTRIBUTES = b"*.txt text eol=crlf\ntests export-ignore\nskip-* export-ignore\n*.id ident\n"
NAMES = [b"a", b"b.txt", b"skip-me", b"d/a", b"d/b.txt", b"d/e/f", b"d/e/x.id", b"tests/t", b"g/tests/t", b"new\nline",
         b"*", b"-x", b":(top)a", b"l1", b"d/l2", b"\xff", b"z/y/x/w"]  # fmt: skip


class Source:
    """An origin, its mirror, and how often a whole tree was asked for."""

    def __init__(self, place: Path) -> None:
        self.origin = Repository(place / "git" / "origin")
        access = Access(str(self.origin.directory))
        self.mirror = Mirror(place / "git" / "mirror", access=access, allow_local_below=place / "git")
        self.place = place
        self.store = PackageStore(place / "store")
        self.whole = 0
        archive = self.mirror.archive

        def count(commit: str, *, only: tuple[str, ...] | None = None):  # type: ignore[no-untyped-def]
            self.whole += only is None
            return archive(commit, only=only)

        self.mirror.archive = count  # type: ignore[method-assign]

    def package(self, files: Files) -> Package:
        commit = self.origin.commit(files)
        self.mirror.fetch(progress=lambda phase, percent: None, guard=go_on)
        return self.pack(commit, self.store)

    def pack(self, commit: str, store: PackageStore) -> Package:
        return store.get(mirror=self.mirror, commit=commit, build=None, log=lambda line: None, guard=go_on)

    def anew(self, package: Package) -> Package:
        """The same commit in a store of its own."""
        return self.pack(package.commit, PackageStore(self.place / f"store-{package.commit}"))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def edited(files: Files, chance: random.Random) -> Files:
    """Some files added, changed, removed, or of another kind."""
    found = dict(files)
    for _ in range(chance.randrange(1, 4)):
        name = chance.choice(NAMES)
        for other in list(found):
            if other.startswith(name + b"/") or name.startswith(other + b"/"):
                del found[other]
        if name in found and chance.random() < 0.4:
            del found[name]
        else:
            found[name] = "a" if chance.random() < 0.2 else b"%d\nline\n$Id$\n" % chance.randrange(1000)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_growing_and_packing_anew_give_one_digest(source: Source, seed: int) -> None:
    chance = random.Random(seed)
    files: Files = {b".gitattributes": ATTRIBUTES, b"keep": b"1", b"d/keep": b"2"}
    source.package(files)
    for _ in range(8):
        files = edited(files, chance)
        grown = source.package(files)
        assert grown.digest == source.anew(grown).digest
    assert source.whole == 9  # one to begin with, and one for each comparison


def test_only_what_differs_is_written(source: Source) -> None:
    files: Files = {b"d%d/f" % number: bytes(5000) for number in range(50)}
    source.package(files)
    grown = source.package({**files, b"d1/f": b"changed"})
    sizes = [(grown.layers / name).stat().st_size for name in grown.contents().layers]
    assert sizes[0] > 250_000
    assert sizes[1] < 3000


def test_attributes_that_changed_have_the_tree_packed_anew(source: Source) -> None:
    source.package({b"a.txt": b"1\n", b"b": b"2"})
    grown = source.package({b"a.txt": b"1\n", b"b": b"2", b".gitattributes": b"*.txt eol=crlf\n"})
    assert source.whole == 2
    assert grown.manifest.states["a.txt"].value != source.package({b"a.txt": b"1\n"}).manifest.states["a.txt"].value


def test_many_layers_or_much_dead_weight_have_the_tree_packed_anew(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "MOST_LAYERS", 3)
    for number in range(6):
        source.package({b"a": b"%d" % number, b"b": b"same"})
    assert source.whole == 2
    large = source.package({b"a": b"x" * 9_000_000})
    for _ in range(2):
        large = source.package({b"a": bytes([random.randrange(256)]) * 9_000_000 + large.commit.encode()})
    assert source.whole > 2


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({b"keep": b"1", b"a": "../out"}, "out of the tree"),
        ({b"keep": b"1", b"a": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}, "git-lfs"),
        ({b"keep": b"1", b".deploynaut-release": b"x"}, "Rename yours"),
    ],
)
def test_a_grown_tree_is_inspected_like_a_whole_one(source: Source, files: Files, reason: str) -> None:
    source.package({b"keep": b"1"})
    with pytest.raises(BadTree, match=reason):
        source.package(files)


def test_a_link_that_was_harmless_may_not_become_a_way_out(source: Source) -> None:
    source.package({b"d/e/l": b"a file", b"m": "d/e/l/../x"})
    with pytest.raises(BadTree, match="out of the tree"):
        source.package({b"d/e/l": "../..", b"m": "d/e/l/../x"})


def test_a_grown_package_is_laid_out_whole_and_in_parts(source: Source, tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "target")
    files: Files = {b"d%d/f" % number: b"%d" % number * 900 for number in range(30)}
    first = source.package({**files, b"gone": b"x"})
    grown = source.package({**files, b"d1/f": b"changed", b"l": "d1/f"})
    workshop.lay_out(grown, "1")
    verify(workshop.connection, release="1", package=grown)
    workshop.lay_out(first, "2", previous=Previous("1", grown.manifest))
    verify(workshop.connection, release="2", package=first)
    workshop.lay_out(grown, "3", previous=Previous("2", first.manifest))
    verify(workshop.connection, release="3", package=grown)
    assert not (workshop.release("1") / "gone").exists()


def test_trimming_keeps_the_layers_that_others_need(source: Source) -> None:
    files: Files = {b"a": b"1" * 9000, b"b": b"2"}
    first = source.package(files)
    grown = source.package({**files, b"b": b"3"})
    assert source.store.trim(keep=frozenset({grown.digest}), limit=0) == [first.digest]
    assert source.store.find(grown.digest)
    assert source.pack(grown.commit, source.store).digest == grown.digest
    assert source.store.trim(keep=frozenset(), limit=0) == [grown.digest]
    assert list(grown.layers.iterdir()) == []


def test_a_damaged_layer_spoils_every_package_on_it_and_all_are_made_anew(source: Source) -> None:
    files: Files = {b"a": b"1" * 9000, b"b": b"2"}
    first = source.package(files)
    grown = source.package({**files, b"b": b"3"})
    layer = grown.layers / grown.contents().layers[0]
    layer.write_bytes(layer.read_bytes().replace(b"111", b"112", 1))
    assert source.store.find(first.digest) is None
    assert source.store.find(grown.digest) is None
    assert source.pack(grown.commit, source.store).digest == grown.digest
    assert source.store.find(grown.digest)
