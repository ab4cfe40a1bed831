"""SQLite on a target: consistent while the site writes, refused when damaged, whole whenever it is killed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import random
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from deploynaut.engine.connections.base import CommandFailed, Result
from deploynaut.engine.connections.local import Local
from deploynaut.engine.databases import (
    DatabaseFailed,
    DumpIncomplete,
    Inventory,
    SnapshotDamaged,
    SqliteDatabase,
    doubts,
)
from deploynaut.engine.databases.sqlite import PROGRAM
from deploynaut.engine.testing import RecordingConnection

DATABASE = SqliteDatabase(path="shared/content.sqlite3", lock_wait=5)
MODES = ("delete", "wal")


@pytest.fixture
def local(tmp_path: Path) -> Local:
    (tmp_path / "site/shared").mkdir(parents=True)
    return Local(tmp_path / "site", token=1, run="acme/uat#1")


def live(local: Local) -> Path:
    return Path(local.base, DATABASE.path)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as connection:
        yield connection


def fill(path: Path, *, rows: int, word: str, mode: str = "delete", page_size: int = 4096) -> None:
    """A database whose rows all hold `word`."""
    with opened(path) as connection:
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("BEGIN")
        connection.execute('CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT)')
        connection.execute("CREATE TABLE page (id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("CREATE VIEW titles AS SELECT text FROM page")
        connection.execute("CREATE TRIGGER seen AFTER UPDATE ON page BEGIN SELECT 1; END")
        connection.executemany("INSERT INTO page (text) VALUES (?)", [(f"{word} {n} " * 10,) for n in range(rows)])
        connection.execute("COMMIT")


def content(path: Path) -> str:
    """A checksum over everything a site can see; "nothing" when there is no database or an empty one."""
    if not path.exists():
        return "nothing"
    with opened(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        text = "\n".join(connection.iterdump())
    return hashlib.sha256(text.encode()).hexdigest() if "CREATE" in text else "nothing"


def dump(local: Local, database: SqliteDatabase = DATABASE) -> tuple[bytes, Inventory | None]:
    to = io.BytesIO()
    inventory = database.dump(local, to=to, log=lambda line: None, guard=lambda: None)
    return to.getvalue(), inventory


def restore(local: Local, snapshot: bytes, inventory: Inventory | None, log: Callable[[str], None] = print) -> None:
    DATABASE.restore(local, source=io.BytesIO(snapshot), inventory=inventory, log=log, guard=lambda: None)


def left_behind(local: Local) -> list[str]:
    return [path.name for path in Path(local.base, ".deploynaut/tmp").iterdir() if "sqlite" in path.name]


# --- there and back ---


@pytest.mark.parametrize("mode", MODES)
def test_what_was_saved_comes_back_while_the_site_has_it_open(local: Local, mode: str) -> None:
    fill(live(local), rows=500, word="old", mode=mode)
    before, found = content(live(local)), live(local).stat()
    with opened(live(local)) as site:
        snapshot, inventory = dump(local)
        site.execute("DROP TABLE page")
        site.execute("CREATE TABLE extra (x)")
        restore(local, snapshot, inventory)
        assert site.execute("SELECT count(*) FROM page").fetchone() == (500,)
        assert site.execute("PRAGMA journal_mode").fetchone() == (mode,)
    after = live(local).stat()
    assert content(live(local)) == before
    assert (after.st_ino, after.st_mode, after.st_uid) == (found.st_ino, found.st_mode, found.st_uid)
    assert left_behind(local) == []


def test_the_inventory_counts_what_is_there(local: Local) -> None:
    fill(live(local), rows=7, word="x")
    expected = Inventory(tables={'odd "name': 0, "page": 7}, views=("titles",), triggers=("seen",))
    assert DATABASE.inventory(local) == expected == dump(local)[1]
    assert "page: 7" in expected.text() and "2 tables, 7 rows, 1 views, 1 triggers" in expected.text()
    assert Inventory.from_json(json.loads(json.dumps(expected.as_json()))) == expected


def test_a_table_of_a_module_that_only_the_site_has_is_named_and_not_counted(local: Local) -> None:
    fill(live(local), rows=1, word="x")
    with opened(live(local)) as connection:
        connection.execute("PRAGMA writable_schema=1")
        connection.execute(
            "INSERT INTO sqlite_master VALUES ('table','odd','odd',0,'CREATE VIRTUAL TABLE odd USING nobody_has_it')"
        )
    snapshot, inventory = dump(local)
    assert inventory is not None and inventory.tables["odd"] == -1 and "not counted" in inventory.text()
    restore(local, snapshot, inventory)


def test_a_database_that_does_not_exist_is_a_state_that_comes_back(local: Local) -> None:
    assert DATABASE.inventory(local) is None
    snapshot, inventory = dump(local)
    assert inventory is None and snapshot
    for mode in MODES:
        fill(live(local), rows=50, word="new", mode=mode)
        with opened(live(local)) as site:
            site.execute("SELECT count(*) FROM page").fetchone()
            restore(local, snapshot, None)
            # Whoever still has it open sees an empty database, or an error; never the old rows.
            with contextlib.suppress(sqlite3.OperationalError):
                assert site.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        assert list(live(local).parent.iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_database_that_was_deleted_comes_back_with_its_mode(local: Local, mode: str) -> None:
    fill(live(local), rows=50, word="old", mode=mode)
    live(local).chmod(0o664)
    before = content(live(local))
    snapshot, inventory = dump(local)
    live(local).unlink()
    Path(f"{live(local)}-journal").write_bytes(b"of another database" * 100)
    restore(local, snapshot, inventory)
    assert content(live(local)) == before and stat.S_IMODE(live(local).stat().st_mode) == 0o664
    with opened(live(local)) as site:
        assert site.execute("PRAGMA journal_mode").fetchone() == (mode,)


def test_a_database_that_was_overwritten_with_something_else_comes_back(local: Local) -> None:
    fill(live(local), rows=50, word="old")
    before = content(live(local))
    snapshot, inventory = dump(local)
    live(local).write_bytes(b"this is no database" * 1000)
    lines: list[str] = []
    restore(local, snapshot, inventory, lines.append)
    assert content(live(local)) == before
    assert Path(f"{live(local)}.damaged").exists() and "kept as" in lines[-1]


@pytest.mark.parametrize("mode", MODES)
def test_pages_of_another_size_fit(local: Local, mode: str) -> None:
    fill(live(local), rows=50, word="old", page_size=8192)
    before = content(live(local))
    snapshot, inventory = dump(local)
    live(local).unlink()
    fill(live(local), rows=5, word="new", mode=mode, page_size=1024)
    with opened(live(local)) as site:
        site.execute("SELECT * FROM page").fetchall()
        restore(local, snapshot, inventory)
    assert content(live(local)) == before


def test_an_empty_file_is_an_empty_database(local: Local) -> None:
    live(local).touch()
    snapshot, inventory = dump(local)
    assert inventory == Inventory()
    fill(live(local), rows=5, word="new")
    restore(local, snapshot, inventory)
    assert content(live(local)) == "nothing" and live(local).exists()


def test_a_link_to_the_database_stays_a_link(local: Local, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere.sqlite3", rows=5, word="old")
    live(local).symlink_to(tmp_path / "elsewhere.sqlite3")
    snapshot, inventory = dump(local)
    with opened(live(local)) as site:
        site.execute("DELETE FROM page")
    restore(local, snapshot, inventory)
    assert live(local).is_symlink() and DATABASE.inventory(local) == inventory


def test_a_large_database_is_staged_in_pieces(local: Local) -> None:
    fill(live(local), rows=170_000, word="large")
    assert live(local).stat().st_size > 20 << 20
    before = content(live(local))
    snapshot, inventory = dump(local)
    with opened(live(local)) as site:
        site.execute("DELETE FROM page")
    restore(local, snapshot, inventory)
    assert content(live(local)) == before and left_behind(local) == []


# --- while others write ---


@pytest.mark.parametrize("mode", MODES)
def test_a_dump_shows_one_moment_while_the_site_writes(local: Local, mode: str, tmp_path: Path) -> None:
    fill(live(local), rows=2_000, word="x", mode=mode)
    with opened(live(local)) as connection:
        connection.execute("CREATE TABLE account (name TEXT, amount INTEGER)")
        connection.execute("INSERT INTO account VALUES ('a', 1000), ('b', 1000)")
    ended, written = threading.Event(), []

    def write() -> None:
        with opened(live(local)) as site:
            while not ended.is_set():
                site.execute("BEGIN IMMEDIATE")
                site.execute("UPDATE account SET amount = amount - 1 WHERE name = 'a'")
                site.execute("UPDATE account SET amount = amount + 1 WHERE name = 'b'")
                site.execute("COMMIT")
                written.append(1)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        snapshots = [dump(local)[0] for _ in range(5)]
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    assert len(written) > 5
    for number, snapshot in enumerate(snapshots):
        path = tmp_path / f"{number}.sqlite3"
        path.write_bytes(snapshot.partition(b"\n")[2])
        with opened(path) as copy:
            assert copy.execute("SELECT sum(amount) FROM account").fetchone() == (2000,)


def test_a_lock_that_the_site_never_gives_back_is_named(local: Local) -> None:
    fill(live(local), rows=5, word="x")
    impatient = SqliteDatabase(path=DATABASE.path, lock_wait=0.2)
    snapshot, inventory = dump(local)
    with opened(live(local)) as site:
        site.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseFailed, match="lock"):
            dump(local, impatient)
        with pytest.raises(DatabaseFailed, match="lock"):
            impatient.restore(local, source=io.BytesIO(snapshot), inventory=inventory, log=print, guard=lambda: None)
        site.execute("COMMIT")
    assert left_behind(local) == []


# --- dumps that fail (RF12), snapshots that are damaged (RF13) ---


def test_something_else_than_a_database_is_refused(local: Local) -> None:
    live(local).write_bytes(b"this is no database" * 1000)
    with pytest.raises(DatabaseFailed, match="not a database"):
        dump(local)
    live(local).unlink()
    live(local).mkdir()
    with pytest.raises(DatabaseFailed, match="not a file"):
        dump(local)


def test_a_damaged_database_is_no_way_back(local: Local) -> None:
    fill(live(local), rows=500, word="x")
    whole = live(local).read_bytes()
    live(local).write_bytes(whole[:20_000] + b"\xff" * 4096 + whole[24_096:])
    with pytest.raises(DatabaseFailed, match=r"damaged|malformed"):
        dump(local)


def test_a_dump_that_an_abort_ends_leaves_nothing_on_the_target(local: Local, tmp_path: Path) -> None:
    fill(live(local), rows=50_000, word="x")

    class Aborting(io.BytesIO):
        def write(self, data: object) -> int:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        DATABASE.dump(local, to=Aborting(), log=print, guard=lambda: None)
    assert left_behind(local) == []


def test_a_full_disk_of_the_target_is_said(local: Local) -> None:
    fill(live(local), rows=5_000, word="x")
    Path(local.base, ".deploynaut/tmp").mkdir(parents=True)
    words = ["dump", str(live(local)), f"{local.base}/.deploynaut/tmp/copy", "5"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.returncode == 65 and done.stderr.strip() and b"Traceback" not in done.stderr
    assert left_behind(local) == [] and list(Path(local.base, ".deploynaut/tmp").iterdir()) == []


def good_dump(tmp_path: Path) -> tuple[bytes, Inventory | None]:
    (tmp_path / "other/shared").mkdir(parents=True)
    other = Local(tmp_path / "other", token=1, run="acme/uat#1")
    fill(live(other), rows=50, word="old")
    return dump(other)


def test_a_dump_that_says_too_little_is_incomplete_whatever_its_status(tmp_path: Path) -> None:
    good, _ = good_dump(tmp_path)
    header, _, rest = good.partition(b"\n")
    bad = {
        "nothing": b"",
        "no header": rest,
        "words of a log-in script": b"Welcome to web1!\n" + good,
        "half": good[: len(good) // 2],
        "no end mark": good[:-5],
        "more behind the end": good + b"x",
        "another content": header + b"\n" + rest.replace(b"old 7", b"new 7"),
        "a header that never ends": b"deploynaut-sqlite-1 {" + b" " * (17 << 20),
        "a header of nonsense": b"deploynaut-sqlite-1 {}\n" + rest,
    }
    for name, output in bad.items():
        connection = RecordingConnection()
        connection.answers("python3", Result(0, output))
        with pytest.raises(DumpIncomplete):
            DATABASE.dump(connection, to=io.BytesIO(), log=print, guard=lambda: None)
            pytest.fail(name)


def test_a_good_dump_with_a_warning_beside_it_is_good(tmp_path: Path) -> None:
    good, inventory = good_dump(tmp_path)
    connection = RecordingConnection()
    connection.answers("python3", Result(0, good, b"warning: locale not found\n"))
    to = io.BytesIO()
    assert DATABASE.dump(connection, to=to, log=print, guard=lambda: None) == inventory
    assert to.getvalue() == good


@pytest.mark.parametrize(
    ("status", "errors", "said"),
    [
        (65, b"/sites/acme/x: Permission denied\n", "Permission denied"),
        (127, b"sh: python3: not found\n", "python3 is not installed on recording"),
        (137, b"", "status 137"),
        (1, b"Traceback\nMemoryError\n", "MemoryError"),
    ],
)
def test_a_dump_with_a_bad_status_is_refused_however_good_it_looks(
    tmp_path: Path, status: int, errors: bytes, said: str
) -> None:
    good, _ = good_dump(tmp_path)
    connection = RecordingConnection()
    connection.answers("python3", Result(status, good, errors))
    with pytest.raises(DatabaseFailed, match=said):
        DATABASE.dump(connection, to=io.BytesIO(), log=print, guard=lambda: None)


def test_a_wrong_or_emptied_database_raises_doubts() -> None:
    before = Inventory(tables={"page": 9, "user": 2})
    assert doubts(before, size=100, before=before, size_before=100) == []
    assert doubts(before, size=100, before=None, size_before=0) == []
    assert "no tables" in doubts(Inventory(), size=100, before=before, size_before=100)[0]
    assert "another database" in doubts(Inventory(tables={"x": 1}), size=99, before=before, size_before=100)[0]
    assert "half as large" in doubts(before, size=49, before=before, size_before=100)[0]
    assert "does not exist" in doubts(None, size=0, before=before, size_before=100)[0]


def test_a_damaged_snapshot_is_refused_before_the_live_file_is_touched(local: Local) -> None:
    fill(live(local), rows=500, word="old")
    good, inventory = dump(local)
    untouched = (live(local).read_bytes(), live(local).stat().st_mtime_ns)
    chance = random.Random(4)
    places = [len(good) - 1, good.index(b"\n") + 1, *chance.sample(range(len(good)), 48)]
    flipped = [good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :] for place in places]
    cut = [good[:length] for length in [0, len(good) - 1, *chance.sample(range(len(good)), 18)]]
    for bad in flipped + cut:
        with pytest.raises(SnapshotDamaged):
            restore(local, bad, inventory)
    assert (live(local).read_bytes(), live(local).stat().st_mtime_ns) == untouched


def test_a_snapshot_with_another_record_is_refused(local: Local) -> None:
    fill(live(local), rows=5, word="old")
    before = live(local).read_bytes()
    snapshot, _ = dump(local)
    for inventory in (None, Inventory(), Inventory(tables={"page": 6})):
        with pytest.raises(SnapshotDamaged, match="record"):
            restore(local, snapshot, inventory)
    assert live(local).read_bytes() == before


def test_a_staged_file_that_changed_on_the_target_is_refused(local: Local) -> None:
    fill(live(local), rows=500, word="old")
    before = live(local).read_bytes()
    snapshot, inventory = dump(local)
    meddled = Meddling(local.base, token=1, run="acme/uat#1")
    with pytest.raises(DatabaseFailed, match="checksum"):
        DATABASE.restore(meddled, source=io.BytesIO(snapshot), inventory=inventory, log=print, guard=lambda: None)
    assert live(local).read_bytes() == before and left_behind(local) == []


class Meddling(Local):
    """A target whose disk loses a byte between staging and restoring."""

    def run(self, command, **options):  # type: ignore[no-untyped-def]
        result = super().run(command, **options)
        for staged in Path(self.base, ".deploynaut/tmp").glob("*.restore"):
            staged.write_bytes(staged.read_bytes()[:-1] + b"?")
        return result


def test_a_host_without_python_is_told_what_it_needs() -> None:
    connection = RecordingConnection()
    connection.answers("python3", Result(127, b"", b"sh: 1: python3: not found"))
    with pytest.raises(DatabaseFailed, match="python3 is not installed"):
        DATABASE.inventory(connection)


def test_a_lost_connection_is_passed_on() -> None:
    connection = RecordingConnection()
    connection.answers("python3", CommandFailed("gone", host="web1"))
    with pytest.raises(CommandFailed):
        DATABASE.inventory(connection)


# --- killed at any moment (RF14) ---

KILLS = 20


def test_a_killed_restore_leaves_all_old_or_all_new(local: Local, tmp_path: Path) -> None:
    for mode in MODES:
        for start, goal in (("old", "new"), ("old", "nothing"), ("nothing", "new")):
            _kill_often(local, tmp_path / f"{mode}-{start}-{goal}", mode=mode, start=start, goal=goal)


def _kill_often(local: Local, room: Path, *, mode: str, start: str, goal: str) -> None:
    """From `start` to `goal`, killed at moments spread over the whole act, until one time it is let through."""
    room.mkdir()
    files = {word: room / f"{word}.sqlite3" for word in ("old", "new")}
    fill(files["old"], rows=6_000, word="old", mode=mode)
    fill(files["new"], rows=9_000, word="new", mode="delete")
    sums = {"old": content(files["old"]), "new": content(files["new"]), "nothing": "nothing"}
    database, staged = room / "live.sqlite3", room / "staged"
    begun = time.monotonic()
    _act(database, staged, files["new"], goal)
    whole = time.monotonic() - begun
    seen = set()
    for number in range(KILLS):
        for path in room.glob("live.sqlite3*"):
            path.unlink()
        if start != "nothing":
            database.write_bytes(files[start].read_bytes())
        with opened(database) if start != "nothing" else contextlib.nullcontext() as site:
            if site:
                site.execute("SELECT count(*) FROM page").fetchone()
            _act(database, staged, files["new"], goal, killed_after=whole * (0.25 + 0.85 * number / KILLS))
            if site and database.exists():
                site.execute("SELECT count(*) FROM sqlite_master").fetchone()
        found = content(database)
        assert found in (sums[start], sums[goal]), f"{mode}: neither {start} nor {goal} at kill {number}"
        seen.add(found)
        if number % 4 == 0:  # whoever comes next ends it
            _act(database, staged, files["new"], goal)
            assert content(database) == sums[goal]
    assert sums[start] in seen


def _act(
    database: Path,
    staged: Path,
    new: Path,
    goal: str,
    *,
    killed_after: float | None = None,
    killed_when: Callable[[], bool] | None = None,
) -> None:
    words = ["remove", str(database), "5"] if goal == "nothing" else ["restore", str(database), str(staged), "5"]
    staged.write_bytes(new.read_bytes())
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(header_of(new))
        process.stdin.close()
    while killed_when and process.poll() is None and not killed_when():
        pass
    try:
        process.wait(0 if killed_when else killed_after or 60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if killed_after is None and killed_when is None:
        assert process.returncode == 0, cast(BinaryIO, process.stderr).read()
    cast(BinaryIO, process.stderr).close()


@pytest.mark.parametrize("mode", MODES)
def test_a_restore_killed_in_the_midst_of_writing_leaves_all_old(tmp_path: Path, mode: str) -> None:
    new, database, staged = tmp_path / "new.sqlite3", tmp_path / "live.sqlite3", tmp_path / "staged"
    fill(new, rows=30_000, word="new")
    journal = Path(f"{database}-{'journal' if mode == 'delete' else 'wal'}")
    caught = 0
    for size in (1, 10_000, 50_000, 200_000, 500_000, 1_000_000):
        for path in tmp_path.glob("live.sqlite3*"):
            path.unlink()
        fill(database, rows=30_000, word="old", mode=mode)
        old = content(database)
        _act(database, staged, new, "new", killed_when=functools.partial(_has_grown, journal, size))
        caught += _size(journal) > 0
        assert content(database) in (old, content(new))
    assert caught >= 3, "the kills came too late to prove anything"


def _has_grown(path: Path, size: int) -> bool:
    return _size(path) >= size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def header_of(path: Path) -> bytes:
    with opened(path) as connection:
        rows = connection.execute("SELECT count(*) FROM page").fetchone()[0]
    data = path.read_bytes()
    inventory = Inventory(tables={'odd "name': 0, "page": rows}, views=("titles",), triggers=("seen",))
    facts = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "journal": "delete", "mode": 0o640}
    return json.dumps({**facts, "inventory": inventory.as_json()}).encode()
