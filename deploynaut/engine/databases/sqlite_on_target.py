"""The part of the SQLite adapter that runs on the target, sent there as `python3 -c`. Alone: Python 3.7, no packages.

    inventory DATABASE WAIT             prints what is in it
    dump DATABASE COPY WAIT             prints a header line, the bytes of a consistent copy, and an end line
    stage STAGED OFFSET TOTAL           appends standard input to the staged file
    restore DATABASE STAGED WAIT        the staged file into the live one; standard input is the header's JSON
    remove DATABASE WAIT                the live database ends as one that does not exist

WAIT: seconds that a lock of the site is waited for. Status 65: foreseen, standard error is a sentence for people.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

BEGIN = b"deploynaut-sqlite-1 "
END = b"\ndeploynaut-sqlite-end\n"
BLOCK = 1 << 20
SIBLINGS = ("-journal", "-wal", "-shm")
NEW = ".deploynaut-new"


class Refused(Exception):
    """Foreseen: the text goes to a person."""


def main(words: list[str]) -> int:
    os.umask(0o077)
    try:
        ACTS[words[0]](*words[1:])
        return 0
    except (Refused, sqlite3.Error) as error:
        said = str(error) if isinstance(error, Refused) else f"{words[1]}: {error}"
    except OSError as error:
        said = f"{error.filename or words[1]}: {error.strerror}"
    print(said, file=sys.stderr)
    return 65


def inventory(database: str, wait: str) -> None:
    if not os.path.exists(database):
        print("null")
        return
    with closing(_open(database, float(wait))) as connection:
        print(json.dumps(_counted(connection, begin="PRAGMA query_only=ON")))


def dump(database: str, copy: str, wait: str) -> None:
    # An abort ends us by this signal; the copy holds people's data and goes with us.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    out = sys.stdout.buffer
    try:
        _forget(copy)
        nothing = {"exists": False, "size": 0, "sha256": hashlib.sha256().hexdigest()}
        header = _copy(database, copy, float(wait)) if os.path.exists(database) else nothing
        out.write(BEGIN + json.dumps(header).encode() + b"\n")
        if header["exists"]:
            with open(copy, "rb") as file:
                shutil.copyfileobj(file, out, BLOCK)
        out.write(END)
        out.flush()
    finally:
        _forget(copy)


def stage(staged: str, offset: str, total: str) -> None:
    if offset == "0":
        _forget(staged)
        _room(staged, int(total))
    flags = os.O_WRONLY | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if offset == "0" else os.O_APPEND)
    with open(os.open(staged, flags, 0o600), "ab" if offset != "0" else "wb") as file:
        if os.fstat(file.fileno()).st_size != int(offset):
            raise Refused(f"{staged} is not the file that was begun. Start the restore again.")
        shutil.copyfileobj(sys.stdin.buffer, file, BLOCK)
        file.flush()
        os.fsync(file.fileno())


def restore(database: str, staged: str, wait: str) -> None:
    header = json.load(sys.stdin)
    real = os.path.realpath(database)
    try:
        _verify(staged, header)
        _room(real, header["size"] + (os.path.getsize(real) if os.path.exists(real) else 0))
        if os.path.exists(real) and not _is_unusable(real, float(wait)):
            _into_live(real, staged, float(wait))
        else:
            _create(real, staged, header)
        with closing(_open(real, float(wait))) as connection:
            print(json.dumps(_counted(connection)))
    finally:
        _forget(staged)
        _forget(real + NEW)


def remove(database: str, wait: str) -> None:
    real = os.path.realpath(database)
    if os.path.exists(real) and not _is_unusable(real, float(wait)):
        # First emptied in one transaction: whoever has the file open sees it empty, and a kill leaves old or nothing.
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
            empty.execute(f"PRAGMA page_size={_page_size(real, float(wait))}")
            _backup(empty, real, float(wait))
    _forget(real)
    _forget(real + NEW)


def _counted(connection: sqlite3.Connection, *, begin: str = "BEGIN") -> dict[str, Any]:
    """Counted at one moment; with another beginning table by table, so that no writer waits for longer than one."""
    connection.execute(begin)
    rows = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    named = {kind: sorted(name for found, name in rows if found == kind) for kind in ("table", "view", "trigger")}
    counted = {name: _count(connection, name) for name in named["table"]}
    return {"tables": counted, "views": named["view"], "triggers": named["trigger"]}


def _count(connection: sqlite3.Connection, table: str) -> int:
    name = table.replace('"', '""')
    try:
        return int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608
    except sqlite3.OperationalError as error:
        # A virtual table whose module only the site has. Its shadow tables are counted like all others.
        if "no such module" in str(error):
            return -1
        raise


def _copy(database: str, copy: str, wait: float) -> dict[str, Any]:
    _room(copy, os.path.getsize(database))
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    found = os.stat(database)
    with closing(_open(database, wait)) as live:
        _begin_reading(live, database, wait)
        journal = live.execute("PRAGMA journal_mode").fetchone()[0]
        _backup(live, copy, wait)
    with closing(_open(copy, wait)) as saved:
        saved.execute("PRAGMA journal_mode=DELETE")
        _whole(saved, database)
        content = _counted(saved)
    facts = {"exists": True, "inventory": content, "journal": journal, "mode": stat.S_IMODE(found.st_mode)}
    return dict(facts, size=os.path.getsize(copy), sha256=_digest(copy))


def _begin_reading(connection: sqlite3.Connection, database: str, wait: float) -> None:
    """SQLite's own waiting pauses for up to 0.1 s, in which busy writers come first again and again."""
    until = time.monotonic() + wait
    connection.execute("PRAGMA busy_timeout=0")
    connection.execute("BEGIN")
    while True:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        if time.monotonic() > until:
            raise _in_use(database, wait)
        time.sleep(0.002)


def _in_use(database: str, wait: float) -> Refused:
    return Refused(f"{database} is in use: its lock was not free within {wait:g} s. See which program holds it.")


def _verify(staged: str, header: dict[str, Any]) -> None:
    if os.path.getsize(staged) != header["size"] or _digest(staged) != header["sha256"]:
        raise Refused("The staged snapshot differs from the stored one: its checksum is another. Nothing was touched.")
    with closing(_open(staged, 5)) as connection:
        _whole(connection, "The staged snapshot")
        if _counted(connection) != header["inventory"]:
            raise Refused("The staged snapshot holds other tables or rows than it should. Nothing was touched.")


def _whole(connection: sqlite3.Connection, what: str) -> None:
    said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise Refused(f"{what} is damaged, SQLite says: {said}")


def _into_live(real: str, staged: str, wait: float) -> None:
    # A live file in WAL mode takes pages of its own size only.
    with closing(_open(staged, wait)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        if connection.execute("PRAGMA page_size").fetchone()[0] != _page_size(real, wait):
            connection.execute(f"PRAGMA page_size={_page_size(real, wait)}")
            connection.execute("VACUUM")
        _backup(connection, real, wait)


def _page_size(database: str, wait: float) -> int:
    with closing(_open(database, wait)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")  # before the first read it would tell the default
        return int(connection.execute("PRAGMA page_size").fetchone()[0])


def _backup(source: sqlite3.Connection, path: str, wait: float) -> None:
    """Everything in one step, hence in one transaction of the file at `path`."""
    until = time.monotonic() + wait

    def waited(status: int, remaining: int, total: int) -> None:
        if status in (5, 6) and time.monotonic() > until:
            raise _in_use(path, wait)

    with closing(_open(path, wait)) as target:
        target.execute("PRAGMA synchronous=EXTRA")
        source.backup(target, pages=-1, progress=waited, sleep=0.05)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _create(real: str, staged: str, header: dict[str, Any]) -> None:
    """Where no usable database is: a complete file appears under its name at once."""
    fresh = real + NEW
    _forget(fresh)
    if os.path.exists(real):
        os.replace(real, real + ".damaged")
        print(f"{real} was no usable database; it is kept as {real}.damaged", file=sys.stderr)
    with open(staged, "rb") as old, open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
        shutil.copyfileobj(old, new, BLOCK)
    with closing(_open(fresh, 5)) as connection:
        connection.execute("PRAGMA journal_mode=WAL" if header["journal"] == "wal" else "PRAGMA journal_mode=DELETE")
    os.chmod(fresh, header["mode"])
    if os.geteuid() == 0:
        os.chown(fresh, os.stat(os.path.dirname(real)).st_uid, os.stat(os.path.dirname(real)).st_gid)
    _sync(fresh)
    for sibling in SIBLINGS:  # a journal of the file that was there would be played into the new one
        _unlink(real + sibling)
    os.link(fresh, real)  # not a rename: a file that appeared meanwhile is not overwritten
    _unlink(fresh)
    _sync(os.path.dirname(real))


def _is_unusable(database: str, wait: float) -> bool:
    try:
        with closing(_open(database, wait)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return True  # "file is not a database", "malformed"
    return False


def _open(database: str, wait: float) -> sqlite3.Connection:
    if not stat.S_ISREG(os.stat(database).st_mode):
        raise Refused(f"{database} is not a file. Check the path of the database in the environment's settings.")
    address = Path(os.path.realpath(database)).as_uri() + "?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=wait, isolation_level=None)


def _room(path: str, size: int) -> None:
    needed, free = int(size * 1.3) + BLOCK, shutil.disk_usage(os.path.dirname(path)).free
    if free < needed:
        raise Refused(f"{os.path.dirname(path)} has {free >> 20} MB free, {needed >> 20} MB are needed.")


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def _forget(path: str) -> None:
    # The database before its journals: SQLite discards a journal whose database is gone, never the other way round.
    for name in (path, *(path + sibling for sibling in SIBLINGS)):
        _unlink(name)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


ACTS: dict[str, Callable[..., None]] = {a.__name__: a for a in (inventory, dump, stage, restore, remove)}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
