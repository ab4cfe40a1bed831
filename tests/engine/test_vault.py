"""The vault: what is sealed stays sealed, keys are real keys, private files are private and go away."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from deploynaut.engine import vault

PURPOSE = "instance:12:deploy-key"


@pytest.fixture
def master(tmp_path: Path) -> Path:
    path = tmp_path / "master.key"
    vault.make_master_key(path)
    return path


@pytest.fixture
def seal(master: Path) -> vault.Seal:
    return vault.Seal.from_file(vault.recipient_file(master))


@pytest.fixture
def opener(master: Path) -> vault.Opener:
    return vault.Opener.from_file(master)


def test_what_is_sealed_comes_back(seal: vault.Seal, opener: vault.Opener) -> None:
    for content in ("", "pass word\nwith lines\n", "ünï", "x" * 100_000):
        assert opener.open(seal.seal(content, purpose=PURPOSE), purpose=PURPOSE) == content.encode()
    assert opener.open(seal.seal(b"\0\n\xff", purpose=PURPOSE), purpose=PURPOSE) == b"\0\n\xff"


def test_a_sealed_text_shows_nothing_of_its_content_or_purpose(seal: vault.Seal) -> None:
    sealed = seal.seal("correct horse battery staple", purpose=PURPOSE)
    assert sealed.isascii() and "horse" not in sealed and "deploy-key" not in sealed
    assert seal.seal("same", purpose=PURPOSE) != seal.seal("same", purpose=PURPOSE)


def test_a_sealed_text_moved_to_another_row_does_not_open(seal: vault.Seal, opener: vault.Opener) -> None:
    sealed = seal.seal("secret", purpose="instance:12:deploy-key")
    for other in ("instance:13:deploy-key", "instance:12:deploy-key2", "instance:12"):
        with pytest.raises(vault.WrongPurpose):
            opener.open(sealed, purpose=other)


def test_a_purpose_cannot_smuggle_a_second_line(seal: vault.Seal) -> None:
    for purpose in ("", "a\nb", "a\0b"):
        with pytest.raises(ValueError, match="purpose"):
            seal.seal("x", purpose=purpose)


def test_another_master_key_opens_nothing(seal: vault.Seal, tmp_path: Path) -> None:
    vault.make_master_key(tmp_path / "other.key")
    with pytest.raises(vault.CannotOpen):
        vault.Opener.from_file(tmp_path / "other.key").open(seal.seal("x", purpose=PURPOSE), purpose=PURPOSE)


def test_an_altered_sealed_text_does_not_open(seal: vault.Seal, opener: vault.Opener) -> None:
    lines = seal.seal("secret", purpose=PURPOSE).splitlines()
    middle = lines[len(lines) // 2]
    altered = "\n".join(lines).replace(middle, middle[::-1])
    for bad in ("", "not age", altered):
        with pytest.raises(vault.CannotOpen):
            opener.open(bad, purpose=PURPOSE)


def test_the_master_key_is_private_and_its_recipient_public(master: Path) -> None:
    assert stat.S_IMODE(master.stat().st_mode) == 0o600
    assert stat.S_IMODE(vault.recipient_file(master).stat().st_mode) == 0o644


def test_the_master_key_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        vault.make_master_key(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_master_key_is_never_overwritten(master: Path) -> None:
    before = master.read_bytes()
    with pytest.raises(vault.MasterKeyExists):
        vault.make_master_key(master)
    assert master.read_bytes() == before


def test_a_master_key_that_others_may_read_is_refused_with_what_to_do(master: Path) -> None:
    master.chmod(0o640)
    with pytest.raises(vault.MasterKeyUnusable, match="chmod 600"):
        vault.Opener.from_file(master)


def test_a_missing_or_empty_or_foreign_master_key_is_refused(tmp_path: Path) -> None:
    empty, foreign = tmp_path / "empty", tmp_path / "foreign"
    empty.touch(mode=0o600)
    foreign.touch(mode=0o600)
    foreign.write_text("hello\n")
    for path in (tmp_path / "missing", empty, foreign):
        with pytest.raises(vault.VaultError):
            vault.Opener.from_file(path)


def test_an_opener_does_not_print_its_identity(opener: vault.Opener) -> None:
    assert opener.identity not in f"{opener!r} {opener}"


def test_the_self_test_passes_for_a_pair_and_fails_for_strangers(
    seal: vault.Seal, opener: vault.Opener, tmp_path: Path
) -> None:
    vault.self_test(seal, opener)
    vault.make_master_key(tmp_path / "other.key")
    with pytest.raises(vault.VaultBroken, match="does not belong"):
        vault.self_test(seal, vault.Opener.from_file(tmp_path / "other.key"))


def test_a_key_made_by_age_keygen_is_as_good_as_ours(tmp_path: Path) -> None:
    identity = vault.make_master_key(tmp_path / "a")
    commented = tmp_path / "b"
    commented.touch(mode=0o600)
    commented.write_text(f"# created: then\n# public key: {identity}\n{(tmp_path / 'a').read_text()}")
    assert vault.Opener.from_file(commented).recipient == identity


def test_a_new_ssh_key_is_an_ed25519_pair_that_ssh_keygen_agrees_with(tmp_path: Path) -> None:
    private, public = vault.make_ssh_key("deploynaut acme")
    with vault.private_file(private, tmp_path / "keys") as path:
        derived = subprocess.run(
            [_ssh_keygen(), "-y", "-f", str(path)], capture_output=True, text=True, check=True, timeout=20
        )
    assert derived.stdout.split()[:2] == public.split()[:2] and public.endswith(" deploynaut acme")
    listed = subprocess.run(
        [_ssh_keygen(), "-lf", "-"], input=public, capture_output=True, text=True, check=True, timeout=20
    )
    assert listed.stdout.split()[1] == vault.fingerprint(public)


def test_two_ssh_keys_are_never_the_same() -> None:
    assert vault.make_ssh_key("a")[1] != vault.make_ssh_key("a")[1]


def test_a_fingerprint_of_something_else_is_refused() -> None:
    for line in ("", "hello", "ssh-ed25519 AAAA!!!!"):
        with pytest.raises(vault.BadKey):
            vault.fingerprint(line)


def test_a_private_file_is_private_from_birth_and_gone_afterwards(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    with vault.private_file(b"key", directory) as path:
        assert path.read_bytes() == b"key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert list(directory.iterdir()) == []


def test_a_private_file_goes_away_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), vault.private_file(b"key", tmp_path / "run"):
        raise ZeroDivisionError
    assert list((tmp_path / "run").iterdir()) == []


def test_a_directory_open_to_others_or_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("open", "link"):
        with pytest.raises(vault.DirectoryNotPrivate), vault.private_file(b"key", tmp_path / name):
            pass


def test_after_kill_9_the_sweep_removes_what_was_left_and_spares_what_is_in_use(tmp_path: Path) -> None:
    there = multiprocessing.Event()
    child = multiprocessing.Process(target=_hold_for_ever, args=(tmp_path / "run", there))
    child.start()
    assert there.wait(20)
    with vault.private_file(b"mine", tmp_path / "run") as mine:
        assert vault.sweep(tmp_path / "run") == []
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join(20)
        assert len(vault.sweep(tmp_path / "run")) == 1
        assert list((tmp_path / "run").iterdir()) == [mine]


def test_a_sweep_follows_no_link_and_touches_no_foreign_file(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    (run / "private-link").symlink_to(victim)
    (run / "other").touch()
    assert vault.sweep(run) == [] and victim.read_text() == "keep"


def _hold_for_ever(directory: Path, there: Event) -> None:
    with vault.private_file(b"key", directory):
        there.set()
        signal.pause()


def _ssh_keygen() -> str:
    found = shutil.which("ssh-keygen")
    assert found, "ssh-keygen is part of openssh-client, which Deploynaut needs"
    return found
