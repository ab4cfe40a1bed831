"""Snapshot files: what was stored comes back whole, and nothing of a damaged one is ever used."""

from __future__ import annotations

import hashlib
import io
import os
import random
import resource
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploynaut.engine import vault
from deploynaut.engine.databases import Inventory, SnapshotDamaged
from deploynaut.engine.databases.files import SnapshotExists, SnapshotFiles, SnapshotMissing, StoredSnapshot

TAKEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
INVENTORY = Inventory(tables={"page": 3}, views=("v",))
CONTENT = random.Random(1).randbytes(300_000) + b"text " * 100_000


@pytest.fixture
def files(tmp_path: Path) -> SnapshotFiles:
    recipient = vault.make_master_key(tmp_path / "key")
    return SnapshotFiles(tmp_path / "snapshots", recipient, vault.Opener.from_file(tmp_path / "key").identity)


def store(files: SnapshotFiles, name: str = "prod-42", content: bytes = CONTENT) -> StoredSnapshot:
    with files.create(name) as writer:
        for start in range(0, len(content), 70_001):
            writer.write(content[start : start + 70_001])
        return writer.keep(taken_at=TAKEN, inventory=INVENTORY)


def test_a_snapshot_comes_back_as_it_was_given(files: SnapshotFiles) -> None:
    for number, content in enumerate((CONTENT, b"", b"x")):
        stored = store(files, f"prod-{number}", content)
        with files.open(stored.name, sha256=stored.sha256) as source:
            assert source.read() == content
    assert stored.taken_at == TAKEN and stored.inventory == INVENTORY


def test_the_stored_file_is_private_compressed_and_shows_nothing(files: SnapshotFiles) -> None:
    stored = store(files)
    path = files.path(stored.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(files.directory.stat().st_mode) == 0o700
    assert stored.size == path.stat().st_size < len(CONTENT) and b"text text" not in path.read_bytes()


def test_the_stored_file_is_zstd_in_age_so_that_ops_can_open_it_without_us(files: SnapshotFiles) -> None:
    stored = store(files)
    packed = io.BytesIO()
    with files.path(stored.name).open("rb") as file:
        assert file.read(21) == b"age-encryption.org/v1"
        file.seek(0)
        vault.decrypt_stream(source=file, to=packed, identity=str(files.identity))
    assert packed.getvalue().startswith(b"\x28\xb5\x2f\xfd")


def test_a_flipped_bit_is_refused_before_the_first_byte_at_50_places(files: SnapshotFiles) -> None:
    stored = store(files)
    path = files.path(stored.name)
    whole = path.read_bytes()
    places = [0, len(whole) - 1, *random.Random(2).sample(range(len(whole)), 48)]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(SnapshotDamaged, match="checksum"), files.open(stored.name, sha256=stored.sha256):
            pytest.fail("something was handed out")


def test_a_cut_snapshot_is_refused_before_the_first_byte_at_20_lengths(files: SnapshotFiles) -> None:
    stored = store(files)
    path = files.path(stored.name)
    whole = path.read_bytes()
    for length in [0, 1, len(whole) - 1, *random.Random(3).sample(range(len(whole)), 17)]:
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotDamaged), files.open(stored.name, sha256=stored.sha256):
            pytest.fail("something was handed out")


def test_damage_is_found_even_when_the_recorded_checksum_was_altered_too(files: SnapshotFiles) -> None:
    stored = store(files)
    path = files.path(stored.name)
    whole = path.read_bytes()
    for bad in (whole[:-1], whole[: len(whole) // 2], whole[:-5] + b"\0" + whole[-4:], whole + b"x", b"", b"age"):
        path.write_bytes(bad)
        with pytest.raises(SnapshotDamaged), files.open(stored.name, sha256=sha256_of(bad)):
            pytest.fail("something was handed out")


def test_a_snapshot_for_another_key_is_refused(files: SnapshotFiles, tmp_path: Path) -> None:
    stored = store(files)
    recipient = vault.make_master_key(tmp_path / "other")
    other = SnapshotFiles(files.directory, recipient, vault.Opener.from_file(tmp_path / "other").identity)
    with pytest.raises(SnapshotDamaged, match="No matching keys"), other.open(stored.name, sha256=stored.sha256):
        pytest.fail("something was handed out")


def test_without_the_identity_one_can_write_and_not_read(files: SnapshotFiles) -> None:
    web = SnapshotFiles(files.directory, files.recipient)
    stored = store(web)
    with pytest.raises(RuntimeError, match="worker"), web.open(stored.name, sha256=stored.sha256):
        pass
    assert files.verify(stored.name, sha256=stored.sha256) == len(CONTENT)


def test_a_dump_that_fails_leaves_no_file_under_any_name(files: SnapshotFiles) -> None:
    with pytest.raises(ZeroDivisionError), files.create("prod-42") as writer:
        writer.write(CONTENT)
        raise ZeroDivisionError
    with files.create("prod-43") as writer:
        writer.write(b"never kept")
    assert list(files.directory.iterdir()) == []


def test_a_full_disk_of_ours_is_an_error_and_leaves_nothing(files: SnapshotFiles) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            store(files, content=CONTENT * 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(files.directory.iterdir()) == []


def test_a_snapshot_is_never_written_over(files: SnapshotFiles) -> None:
    stored = store(files)
    with pytest.raises(SnapshotExists), files.create(stored.name):
        pass
    assert files.verify(stored.name, sha256=stored.sha256) == len(CONTENT)


def test_a_missing_snapshot_says_so(files: SnapshotFiles) -> None:
    with pytest.raises(SnapshotMissing, match="prod-9"), files.open("prod-9", sha256=""):
        pass


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a\nb", "a\0", "-x", "x" * 200])
def test_a_name_cannot_lead_out_of_the_store(files: SnapshotFiles, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        files.path(name)


def test_the_sweep_removes_what_a_killed_process_left_and_spares_what_is_being_written(files: SnapshotFiles) -> None:
    stored = store(files)
    (files.directory / ".partial-dead").write_bytes(b"half")
    with files.create("prod-43") as writer:
        writer.write(b"x")
        assert files.sweep() == [".partial-dead"]
        kept = writer.keep(taken_at=TAKEN, inventory=None)
    assert {path.name for path in files.directory.iterdir()} == {"prod-42.zst.age", "prod-43.zst.age"}
    assert files.verify(kept.name, sha256=kept.sha256) == 1
    files.delete(stored.name)
    assert not files.path(stored.name).exists()


def test_reading_a_part_and_leaving_ends_the_stream(files: SnapshotFiles) -> None:
    stored = store(files, content=os.urandom(3_000_000))
    with files.open(stored.name, sha256=stored.sha256) as source:
        assert len(source.read(10)) == 10


def test_a_large_snapshot_takes_little_memory(files: SnapshotFiles) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = os.urandom(1 << 20)
    with files.create("large") as writer:
        for _ in range(150):
            writer.write(block)
        stored = writer.keep(taken_at=TAKEN, inventory=None)
    with files.open("large", sha256=stored.sha256) as source:
        while source.read(1 << 20):
            pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
