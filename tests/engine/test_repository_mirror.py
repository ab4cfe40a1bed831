"""Fetching, listing and resolving, with the real git on repositories of this machine."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploynaut.engine import vault
from deploynaut.engine.connections.processes import group_lives
from deploynaut.engine.repository import (
    Access,
    BadRevision,
    EmptyRepository,
    HostKeyMismatch,
    Mirror,
    NeverFetched,
    RepositoryDamaged,
    RepositoryNotFound,
    RepositoryRefused,
    RepositoryUnreachable,
    RevisionNotFound,
)
from deploynaut.engine.repository.access import transport
from deploynaut.engine.repository.fetching import ProgressLines, explain
from deploynaut.engine.repository.program import GitFailed
from tests.engine.git_repository import Repository


def go_on() -> None:
    """A guard that lets everything go on."""


def quiet(phase: str, percent: int | None) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "demo" / "origin")


@pytest.fixture
def mirror(tmp_path: Path, origin: Repository) -> Mirror:
    return mirror_of(origin, tmp_path)


def mirror_of(origin: Repository, place: Path, *, git: str = "git", stall: float = 30) -> Mirror:
    access = Access(address=str(origin.directory))
    return Mirror(place / "mirror", access=access, allow_local_below=place / "demo", git=git, stall=stall)


def test_the_first_fetch_clones_and_the_next_brings_what_is_new(origin: Repository, mirror: Mirror) -> None:
    first = origin.commit({b"a": b"1"})
    result = mirror.fetch(progress=quiet, guard=go_on)
    assert (result.branches, result.tags, result.changed) == (1, 0, True)
    assert not mirror.fetch(progress=quiet, guard=go_on).changed
    second = origin.commit({b"a": b"2"})
    assert mirror.fetch(progress=quiet, guard=go_on).changed
    assert [commit.id for commit in mirror.commits("main", limit=10)] == [second, first]
    assert [commit.id for commit in mirror.commits("main", limit=1)] == [second]


def test_branches_come_with_commit_date_subject_and_author(origin: Repository, mirror: Mirror) -> None:
    commit = origin.commit({b"a": b"1"}, message="Say hello\n\nand more")
    mirror.fetch(progress=quiet, guard=go_on)
    (branch,) = mirror.branches()
    assert (branch.name, branch.commit, branch.subject, branch.author) == ("main", commit, "Say hello", "Ana Reid")
    assert branch.committed_at.isoformat() == "2026-01-05T09:00:00+00:00"
    (shown,) = mirror.commits("main", limit=5)
    assert (shown.subject, shown.body, shown.email, shown.parents) == ("Say hello", "and more", "ana@acme.example", ())
    assert shown.tree == origin.git("rev-parse", f"{commit}^{{tree}}").strip()
    assert mirror.all_commits() == [shown]


def test_annotated_and_light_tags_are_told_apart_and_stand_for_commits(origin: Repository, mirror: Mirror) -> None:
    commit = origin.commit({b"a": b"1"})
    origin.git("tag", "--annotate", "--message=Two\nlines", "1.0", commit)
    origin.git("tag", "light", commit)
    origin.git("tag", "of-a-file", origin.blob(b"x"))
    mirror.fetch(progress=quiet, guard=go_on)
    tags = {tag.name: tag for tag in mirror.tags()}
    assert set(tags) == {"1.0", "light"}
    assert (tags["1.0"].commit, tags["1.0"].annotated, tags["1.0"].message) == (commit, True, "Two\nlines")
    assert (tags["light"].commit, tags["light"].annotated, tags["light"].message) == (commit, False, "")
    assert mirror.resolve("1.0") == mirror.resolve("light") == commit


def test_what_is_gone_there_is_gone_here_but_a_kept_commit_stays(origin: Repository, mirror: Mirror) -> None:
    origin.commit({b"a": b"1"})
    doomed = origin.commit({b"a": b"2"}, branch="doomed")
    mirror.fetch(progress=quiet, guard=go_on)
    mirror.keep(doomed, name="42")
    origin.git("update-ref", "-d", "refs/heads/doomed")
    mirror.fetch(progress=quiet, guard=go_on)
    assert [branch.name for branch in mirror.branches()] == ["main"]
    subprocess.run(["git", "-C", str(mirror.directory), "gc", "--quiet", "--prune=now"], check=True)
    assert mirror.resolve(doomed) == doomed
    with pytest.raises(RevisionNotFound):
        mirror.resolve("doomed")


def test_a_force_push_is_taken_over(origin: Repository, mirror: Mirror) -> None:
    origin.commit({b"a": b"1"})
    mirror.fetch(progress=quiet, guard=go_on)
    other = origin.commit_tree(origin.tree({b"b": b"2"}), parent=False)
    mirror.fetch(progress=quiet, guard=go_on)
    assert mirror.resolve("main") == other


def test_a_name_that_is_branch_and_tag_must_be_written_out(origin: Repository, mirror: Mirror) -> None:
    old = origin.commit({b"a": b"1"})
    new = origin.commit({b"a": b"2"}, branch="1.0")
    origin.git("tag", "1.0", old)
    mirror.fetch(progress=quiet, guard=go_on)
    with pytest.raises(BadRevision, match="a branch and a tag"):
        mirror.resolve("1.0")
    assert (mirror.resolve("refs/heads/1.0"), mirror.resolve("refs/tags/1.0")) == (new, old)


def test_only_a_full_id_of_a_commit_is_an_id(origin: Repository, mirror: Mirror) -> None:
    commit = origin.commit({b"a": b"1"})
    mirror.fetch(progress=quiet, guard=go_on)
    assert mirror.resolve(commit) == commit
    for text, reason in ((commit[:39], "has 39"), (commit + "0", "has 41"), (commit[:7], "has 7")):
        with pytest.raises(BadRevision, match=reason):
            mirror.resolve(text)
    for text in ("0" * 40, mirror.tree(commit), "main2", "deploynaut/42"):
        with pytest.raises(RevisionNotFound, match="Fetch the latest changes"):
            mirror.resolve(text)


def test_a_branch_named_like_an_option_or_an_id_never_fools_git(origin: Repository, mirror: Mirror) -> None:
    commit = origin.commit({b"a": b"1"})
    lure = origin.commit({b"a": b"2"}, branch="lure")
    origin.git("update-ref", f"refs/heads/{commit}", lure)
    origin.git("update-ref", "refs/heads/--output=x", lure)
    mirror.fetch(progress=quiet, guard=go_on)
    assert mirror.resolve(commit) == commit
    assert "--output=x" in {branch.name for branch in mirror.branches()}
    assert not (mirror.private / "home" / "x").exists()


def test_before_the_first_fetch_there_is_nothing_and_that_is_said(mirror: Mirror) -> None:
    with pytest.raises(NeverFetched, match="Fetch the latest changes first"):
        mirror.branches()


def test_an_empty_repository_is_named_so_and_leaves_no_mirror(mirror: Mirror) -> None:
    with pytest.raises(EmptyRepository, match="Push a commit"):
        mirror.fetch(progress=quiet, guard=go_on)
    assert not mirror.directory.exists()


def test_a_failed_fetch_leaves_the_mirror_as_it_was(origin: Repository, mirror: Mirror) -> None:
    commit = origin.commit({b"a": b"1"})
    mirror.fetch(progress=quiet, guard=go_on)
    origin.directory.rename(origin.directory.with_name("gone"))
    with pytest.raises(RepositoryNotFound, match="Check the address"):
        mirror.fetch(progress=quiet, guard=go_on)
    assert mirror.resolve("main") == commit


def test_progress_tells_phase_and_percent() -> None:
    told: list[tuple[str, int | None]] = []
    lines = ProgressLines(lambda phase, percent: told.append((phase, percent)))
    for piece in (b"remote: Enumerating objects: 5, done.\nremote: Counting obj", b"ects: 100% (5/5)\r", b"Receiving "):
        lines(piece)
    lines(b"objects: 100% (9/9), 1.2 MiB | 1 MiB/s\n")
    assert told == [("Enumerating objects", None), ("Counting objects", 100), ("Receiving objects", 100)]


class Stop(Exception):
    """What a guard raises."""


def slow_git(place: Path) -> str:
    """A git that is silent for long when it fetches, and notes its process group."""
    program = place / "slow-git"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *" fetch "*) echo $$ >{place}/pid; sleep 600 & sleep 600;; esac\nexec git "$@"\n'
    )
    program.chmod(0o755)
    return str(program)


def group_is_gone(group: int) -> bool:
    """Nothing of it runs any more. What was killed may take a moment to go."""
    end = time.monotonic() + 10
    while group_lives(group) and time.monotonic() < end:
        time.sleep(0.01)
    return not group_lives(group)


def test_a_guard_that_raises_ends_the_fetch_and_all_it_has_started(origin: Repository, tmp_path: Path) -> None:
    origin.commit({b"a": b"1"})
    mirror = mirror_of(origin, tmp_path, git=slow_git(tmp_path))

    def guard() -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise Stop

    with pytest.raises(Stop):
        mirror.fetch(progress=quiet, guard=guard)
    assert group_is_gone(int((tmp_path / "pid").read_text()))


def test_a_silent_fetch_is_ended(origin: Repository, tmp_path: Path) -> None:
    origin.commit({b"a": b"1"})
    mirror = mirror_of(origin, tmp_path, git=slow_git(tmp_path), stall=3)
    with pytest.raises(RepositoryUnreachable, match="stopped answering"):
        mirror.fetch(progress=quiet, guard=go_on)
    assert group_is_gone(int((tmp_path / "pid").read_text()))


def test_two_fetches_at_once_wait_for_each_other(origin: Repository, tmp_path: Path) -> None:
    origin.commit({b"a": b"1"})
    failed: list[Exception] = []

    def fetch() -> None:
        try:
            mirror_of(origin, tmp_path).fetch(progress=quiet, guard=go_on)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert mirror_of(origin, tmp_path).resolve("main") == origin.heads["main"]


def test_locks_that_a_crash_left_are_removed(origin: Repository, mirror: Mirror) -> None:
    origin.commit({b"a": b"1"})
    mirror.fetch(progress=quiet, guard=go_on)
    commit = origin.commit({b"a": b"2"})
    for name in ("refs/heads/main.lock", "packed-refs.lock", "config.lock", "objects/pack/tmp_pack_x"):
        (mirror.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror.directory / name).touch()
    mirror.fetch(progress=quiet, guard=go_on)
    assert mirror.resolve("main") == commit
    (mirror.directory / "refs/deploynaut").mkdir(parents=True)
    (mirror.directory / "refs/deploynaut/7.lock").touch()
    mirror.keep(commit, name="7")


def damage(mirror: Mirror) -> None:
    for path in (mirror.directory / "objects").rglob("*"):
        if path.is_file() and "info" not in path.parts:
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:10])


def test_a_damaged_mirror_is_cloned_anew(origin: Repository, mirror: Mirror) -> None:
    commit = origin.commit({b"a": b"1"})
    mirror.fetch(progress=quiet, guard=go_on)
    damage(mirror)
    with pytest.raises(RepositoryDamaged):
        list(mirror.archive(commit))
    assert mirror.fetch(progress=quiet, guard=go_on).renewed
    assert len(list(mirror.archive(commit))) == 1
    assert not mirror.directory.with_name("mirror.old").exists()


def test_repair_takes_kept_commits_along(origin: Repository, mirror: Mirror) -> None:
    origin.commit({b"a": b"1"})
    kept = origin.commit({b"a": b"2"}, branch="kept")
    mirror.fetch(progress=quiet, guard=go_on)
    mirror.keep(kept, name="42")
    origin.git("update-ref", "-d", "refs/heads/kept")
    assert mirror.repair(progress=quiet, guard=go_on).renewed
    assert mirror.resolve(kept) == kept


def test_a_crash_between_the_two_renames_gives_the_old_mirror_back(origin: Repository, mirror: Mirror) -> None:
    commit = origin.commit({b"a": b"1"})
    mirror.fetch(progress=quiet, guard=go_on)
    mirror.keep(commit, name="1")
    mirror.directory.rename(mirror.directory.with_name("mirror.old"))
    assert not mirror.fetch(progress=quiet, guard=go_on).renewed
    assert mirror.resolve("main") == commit


def an_ssh_access(host_keys: str = "git.acme.example ssh-ed25519 AAAA") -> Access:
    private, _ = vault.make_ssh_key("acme deploy key")
    return Access("git@git.acme.example:site.git", private, host_keys)


def test_the_key_is_a_private_file_while_git_runs_and_gone_afterwards(tmp_path: Path) -> None:
    access = an_ssh_access()
    with transport(access, private=tmp_path / "private dir%") as environment:
        files = list((tmp_path / "private dir%").iterdir())
        assert sorted(file.read_bytes() for file in files) == sorted(
            [access.private_key or b"", access.host_keys.encode()]
        )
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert environment["GIT_ALLOW_PROTOCOL"] == "ssh"
        command = environment["GIT_SSH_COMMAND"]
        for option in (
            "StrictHostKeyChecking=yes",
            "IdentityAgent=none",
            "-F /dev/null",
            "GlobalKnownHostsFile=/dev/null",
        ):
            assert option in command
    assert not list((tmp_path / "private dir%").iterdir())
    assert "PRIVATE" not in repr(access)


def test_the_key_of_a_killed_process_is_swept_away(tmp_path: Path) -> None:
    script = (
        "import sys, os, signal\nfrom pathlib import Path\n"
        "from deploynaut.engine.repository.access import Access, transport\n"
        "with transport(Access('git@a.example:b', b'KEY', 'hosts'), private=Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    private = tmp_path / "mirror.private"
    done = subprocess.run([sys.executable, "-c", script, str(private)], env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == -signal.SIGKILL
    assert len(list(private.iterdir())) == 2
    origin = Repository(tmp_path / "demo" / "origin")
    origin.commit({b"a": b"1"})
    mirror_of(origin, tmp_path).fetch(progress=quiet, guard=go_on)
    assert not [path for path in private.iterdir() if path.is_file()]


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("git@git.acme.example: Permission denied (publickey).", RepositoryRefused, "SHA256:"),
        ("Host key verification failed.\r\nfatal: Could not read from remote repository.", HostKeyMismatch, "pin"),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", RepositoryNotFound, "SHA256:"),
        ("fatal: '/site' does not appear to be a git repository", RepositoryNotFound, "Check the address"),
        (
            "ssh: Could not resolve hostname git.acme.example: Name or service not known",
            RepositoryUnreachable,
            "reached",
        ),
        (
            "ssh: connect to host git.acme.example port 22: Connection refused",
            RepositoryUnreachable,
            "git.acme.example",
        ),
        ("Connection closed by 192.0.2.1 port 22", RepositoryUnreachable, "reached"),
        ("fatal: could not read Username for 'https://x'", RepositoryRefused, "git@git.acme.example"),
        ("error: object file ./objects/ab/cd is empty", RepositoryDamaged, "cloned anew"),
    ],
)
def test_what_git_said_becomes_a_text_for_people(said: str, kind: type[Exception], words: str) -> None:
    error = explain(GitFailed("git fetch ended with status 128", errors=said), access=an_ssh_access())
    assert type(error) is kind
    assert words in str(error)


def test_a_refusal_names_key_account_and_place() -> None:
    private, public = vault.make_ssh_key("acme")
    access = Access("git@github.com:acme/site.git", private, "")
    error = explain(GitFailed("", errors="git@github.com: Permission denied (publickey)."), access=access)
    assert str(error) == (
        f"The server refused our key {vault.fingerprint(public)} for git@github.com. "
        "Enable it under the repository's Settings, Deploy keys, then fetch again."
    )
