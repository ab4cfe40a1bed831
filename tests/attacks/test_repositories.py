"""Hostile addresses, refs and repositories: refused, or inert. A marker file tells when something was run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploynaut.engine.repository import (
    Access,
    BadAddress,
    BadRevision,
    BadTree,
    Limits,
    Mirror,
    RepositoryError,
    RevisionNotFound,
    check_address,
)
from tests.engine.git_repository import Repository

pytestmark = pytest.mark.attacks

MARKER = "/tmp/deploynaut-attack-marker"

HOSTILE_ADDRESSES = [
    f"ext::sh -c touch% {MARKER}",
    f"ext::touch {MARKER}",
    "ext::date",
    "EXT::date",
    "fd::7",
    "fd::7,8/x",
    "file:///etc",
    "file://localhost/etc",
    "FILE:///etc",
    "/etc/passwd",
    "/proc/self/environ",
    "../../etc",
    "./site",
    "~/site",
    f"-oProxyCommand=touch {MARKER}",
    f"--upload-pack=touch {MARKER}",
    "-x",
    "--",
    f"ssh://-oProxyCommand=touch%20{MARKER}/x",
    "ssh://-oProxyCommand=date/x",
    "ssh://git@-oProxyCommand=date/x",
    "ssh://-git@git.acme.example/x",
    "git@-oProxyCommand=date:x",
    "-git@git.acme.example:x",
    "git@git.acme.example:-x",
    "ssh://git@git.acme.example/-x",
    "git@git.acme.example:x/../../y",
    "ssh://git@git.acme.example/x/../y",
    "git://git.acme.example/site.git",
    "http://git.acme.example/site.git",
    "ftp://git.acme.example/site.git",
    "ftps://git.acme.example/site.git",
    "ssh+git://git@git.acme.example/x",
    "javascript:alert(1)",
    "https://ana:secret@git.acme.example/site.git",
    "https://ana@git.acme.example/site.git",
    "ssh://git:secret@git.acme.example/site.git",
    "git@git.acme.example:site.git\ngit@evil.example:x",
    "git@git.acme.example:site.git\r\n",
    "git@git.acme.example:site\0.git",
    "https://git.acme.example/site.git\x1b[2J",
    "\\\\host\\share",
    "C:\\site",
    "C:/site",
    "git@git.acme.example:$(touch x)",
    "git@git.acme.example:`touch x`",
    "git@git.acme.example:a;touch x",
    "git@git.acme.example:a b",
    "https://git.acme.example/a?b=c",
    "https://git.acme.example/a#b",
    "https://git.acme.example:99999/a",
    "ssh://git@git.acme.example:0/a",
    "https:///a",
    "https://%2fetc/a",
    "https://git.acme.example\\@evil.example/a",
    "ssh://git@git.аcme.example/site",
    "git@:x",
    "@host:x",
    "::",
    "",
    " ",
    "x" * 10_000,
]


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES, ids=range(len(HOSTILE_ADDRESSES)))
def test_a_hostile_address_is_refused_before_a_process_starts(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise AssertionError(f"a process was started: {words}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)
    with pytest.raises(BadAddress):
        check_address(address, allow_local_below=None)
    with pytest.raises(BadAddress):
        Mirror(tmp_path / "mirror", access=Access(address), allow_local_below=tmp_path / "demo")
    assert not Path(MARKER).exists()
    assert not list(tmp_path.iterdir())


def fetched(origin: Repository, *, limits: Limits | None = None) -> Mirror:
    place = origin.directory.parent
    mirror = Mirror(place / "mirror", access=Access(str(origin.directory)), allow_local_below=place, limits=limits)
    mirror.fetch(progress=lambda phase, percent: None, guard=lambda: None)
    return mirror


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


HOSTILE_REFS = [
    "-x",
    "--output=x",
    "--upload-pack=touch x",
    "a$(touch marker)",
    "`touch marker`",
    "a;touch marker",
    "<img src=x onerror=alert(1)>",
    "gru\u0308n",
    "grün",
    "%s%n",
    "{{7+7}}",
    "';drop table x;--",
    "x" * 200,
]


def test_hostile_names_of_branches_are_listed_and_inert(origin: Repository) -> None:
    commit = origin.commit({b"a": b"1"})
    makeable = [name for name in HOSTILE_REFS if " " not in name]
    for name in makeable:
        (origin.directory / "packed-refs").open("a").write(f"{commit} refs/heads/{name}\n")
    mirror = fetched(origin)
    listed = {branch.name: branch.commit for branch in mirror.branches()}
    assert set(makeable) <= set(listed)
    assert set(listed.values()) == {commit}
    for name in makeable:
        if name.startswith("-"):
            with pytest.raises(BadRevision):
                mirror.resolve(name)
        else:
            assert mirror.resolve(name) == commit
    assert not list(origin.directory.parent.rglob("marker"))


@pytest.mark.parametrize(
    "text",
    ["-x", "--output=x", "../../x", "x..y", "@{-1}", "abc^{/x}", "HEAD", "a" * 39, "a" * 41, "A" * 40, "a\0b",
     "main\n", "refs/heads/../../config", "main:a", "main~1", "main^", ":/Change", "x" * 10_000, "", " main",
     "refs/deploynaut/1"],
)  # fmt: skip
def test_a_hostile_revision_is_refused_and_touches_nothing(origin: Repository, text: str) -> None:
    commit = origin.commit({b"a": b"1"})
    mirror = fetched(origin)
    mirror.keep(commit, name="1")
    before = sorted(path for path in origin.directory.parent.rglob("*") if path.is_file())
    with pytest.raises((BadRevision, RevisionNotFound)):
        mirror.resolve(text)
    assert sorted(path for path in origin.directory.parent.rglob("*") if path.is_file()) == before


Maker = Callable[[Repository], str]


def raw(*entries: tuple[str, bytes]) -> Maker:
    """A tree of these names, each a small file, whatever git thinks of them."""
    return lambda repository: repository.raw_tree(*((mode, name, repository.blob(b"x")) for mode, name in entries))


def nested(*names: bytes) -> Maker:
    def make(repository: Repository) -> str:
        id_ = repository.raw_tree(("100644", b"f", repository.blob(b"x")))
        for name in reversed(names):
            id_ = repository.raw_tree(("40000", name, id_))
        return id_

    return make


def files(**found: bytes | str) -> Maker:
    return lambda repository: repository.tree({name.encode(): content for name, content in found.items()})


def link_and_directory(repository: Repository) -> str:
    """A link out of the tree and a directory of the same name, so that a naive writer goes through the link."""
    target, inner = repository.blob(b".."), repository.raw_tree(("100644", b"f", repository.blob(b"x")))
    return repository.raw_tree(("120000", b"a", target), ("40000", b"a", inner))


def submodule(repository: Repository) -> str:
    modules = b'[submodule "x"]\n\tpath = lib\n\turl = ext::touch% /tmp/deploynaut-attack-marker\n\tupdate = !touch x\n'
    return repository.raw_tree(("100644", b".gitmodules", repository.blob(modules)), ("160000", b"lib", "1" * 40))


def many_files(repository: Repository) -> str:
    blob = bytes.fromhex(repository.blob(b"x"))
    tree = b"".join(b"100644 f%06d\0" % number + blob for number in range(100_001))
    return repository.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=tree)


REFUSED: dict[str, tuple[Maker, str]] = {
    "a .git directory": (nested(b".git", b"hooks"), r"\.git"),
    "a .GIT directory deep down": (nested(b"a", b".GiT"), r"\.git"),
    "a .git file": (raw(("100644", b".git")), r"\.git"),
    "a .git with a trailing dot": (raw(("100644", b".git.")), r"\.git"),
    "a .git with an ignored letter": (raw(("100644", ".g\u200cit".encode())), r"\.git"),
    "a short name of .git": (raw(("100644", b"git~1")), r"\.git"),
    "a parent directory": (nested(b"..", b"escaped"), "not a path within"),
    "the directory itself": (nested(b"."), "not a path within"),
    "an empty name": (nested(b""), "could not be fetched"),
    "a slash in a name": (raw(("100644", b"../../escaped")), "not a path within"),
    "an absolute name": (raw(("100644", b"/tmp/escaped")), "not a path within"),
    "an absolute link": (files(a="/etc/passwd"), "absolute"),
    "a link out of the tree": (files(a="../../../../etc/passwd"), "out of the tree"),
    "a link out through a link": (files(**{"d/e/l": "../..", "m": "d/e/l/../x"}), "out of the tree"),
    "a link and a directory of one name": (link_and_directory, "twice|no directory"),
    "the same name twice": (raw(("100644", b"a"), ("100644", b"a")), "twice"),
    "submodules": (submodule, "Submodules"),
    "a pointer of git-lfs": (
        files(a=b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 5\n"),
        "git-lfs",
    ),
    "a name over 255 bytes": (raw(("100644", b"n" * 256)), "255 bytes"),
    "a path too deep": (nested(*[b"d" * 200] * 20), "too deep|longer than"),
    "more than 100,000 files": (many_files, "over 100000"),
    "the release's own note": (raw(("100644", b".deploynaut-release")), "Rename yours"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_tree_is_refused_with_a_reason_and_nothing_escapes(
    origin: Repository, tmp_path: Path, name: str
) -> None:
    make, reason = REFUSED[name]
    commit = origin.commit_tree(make(origin))
    out = tmp_path / "deep" / "er" / "out"
    with pytest.raises(RepositoryError, match=reason):
        fetched(origin).export(commit, out)
    assert not Path(MARKER).exists()
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/tmp/escaped").exists()
    assert all(path.is_relative_to(out) for path in (tmp_path / "deep").rglob("*") if not path.is_dir())


def test_a_submodule_is_named(origin: Repository) -> None:
    commit = origin.commit_tree(submodule(origin))
    with pytest.raises(BadTree, match="lib"):
        list(fetched(origin).archive(commit))


ATTRIBUTES = b"* filter=evil diff=evil merge=evil ident\nv export-subst\n"
CONFIG = f'[filter "evil"]\n\tsmudge = touch {MARKER}\n\tprocess = touch {MARKER}\n'.encode()
INERT: dict[str, Maker] = {
    "filters in attributes": files(**{".gitattributes": ATTRIBUTES, ".gitconfig": CONFIG, "a": b"1"}),
    "a heavy format": files(**{".gitattributes": b"v export-subst\n", "v": b"$Format:%<(2147483647)%H$"}),
    "an .lfsconfig": files(**{".lfsconfig": b"[lfs]\n\turl = http://evil.example/\n", "a": b"1"}),
    "hooks in the tree": files(**{"hooks/post-checkout": b"#!/bin/sh\ntouch /tmp/deploynaut-attack-marker\n"}),
    "case twins": files(A=b"1", a=b"2"),
    "names with newlines and quotes": files(**{"a\nb": b"1", "';\"$(touch x)": b"2"}),
    "255 byte names": files(**{"n" * 255: b"1"}),
}


@pytest.mark.parametrize("name", INERT)
def test_a_strange_tree_is_exported_as_it_is_and_runs_nothing(origin: Repository, tmp_path: Path, name: str) -> None:
    commit = origin.commit_tree(INERT[name](origin))
    fetched(origin).export(commit, tmp_path / "out")
    listed = origin.git("ls-tree", "-r", "-z", commit).split("\0")
    for line in filter(None, listed):
        head, _, path = line.partition("\t")
        blob = head.split(" ")[2]
        content = (tmp_path / "out" / path).read_bytes()
        assert origin.git("hash-object", "--stdin", stdin=content) == blob
    assert not Path(MARKER).exists()


def test_hooks_and_settings_of_the_repository_itself_run_nothing(origin: Repository, tmp_path: Path) -> None:
    commit = origin.commit({b"a": b"1"})
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-update", "upload-pack"):
        path = origin.directory / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {MARKER}\n")
        path.chmod(0o755)
    origin.git("config", "uploadpack.packObjectsHook", f"touch {MARKER}; true")
    origin.git("config", "core.fsmonitor", f"touch {MARKER}")
    origin.git("config", "core.sshCommand", f"touch {MARKER}")
    mirror = fetched(origin)
    mirror.keep(commit, name="1")
    mirror.export(commit, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"1"
    assert not Path(MARKER).exists()


def test_settings_and_programs_of_the_user_are_not_asked(
    origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    evil = f"touch {MARKER}"
    (home / ".gitconfig").write_text(
        f'[core]\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n[url "ext::{evil}"]\n\tinsteadOf = /\n'
    )
    for name in ("ssh", "git-remote-https", "git-upload-pack"):
        (home / "bin" / name).write_text(f"#!/bin/sh\n{evil}\n")
        (home / "bin" / name).chmod(0o755)
    commit = origin.commit({b"a": b"1"})
    for variable in ("GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_ASKPASS"):
        monkeypatch.setenv(variable, evil)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    assert fetched(origin).resolve("main") == commit
    assert not Path(MARKER).exists()
