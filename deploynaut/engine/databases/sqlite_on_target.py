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


class Refused(Exception):
    """Foreseen: the text goes to a person."""


def main(words: list[str]) -> int:
    os.umask(0o077)
    try:
        ACTS[words[0]](*words[1:])
    except Refused as error:
        return _say(str(error))
    except sqlite3.Error as error:
        return _say(f"{words[1]}: {error}")
    except OSError as error:
        return _say(f"{error.filename or words[1]}: {error.strerror}")
    return 0


def show(database: str, wait: str) -> None:
    if not os.path.exists(database):
        print("null")
        return
    with closing(_open(database, float(wait))) as connection:
        print(json.dumps(inventory(connection)))


def dump(database: str, copy: str, wait: str) -> None:
    out = sys.stdout.buffer
    _forget(copy)
    if not os.path.exists(database):
        out.write(
            BEGIN + json.dumps({"exists": False, "size": 0, "sha256": hashlib.sha256().hexdigest()}).encode() + b"\n"
        )
        out.write(END)
        return
    try:
        header = _copy(database, copy, float(wait))
        out.write(BEGIN + json.dumps(header).encode() + b"\n")
        with open(copy, "rb") as file:
            for block in iter(lambda: file.read(BLOCK), b""):
                out.write(block)
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
        file.writelines(iter(lambda: sys.stdin.buffer.read(BLOCK), b""))
        file.flush()
        os.fsync(file.fileno())


def restore(database: str, staged: str, wait: str) -> None:
    header = json.load(sys.stdin)
    real = os.path.realpath(database)
    try:
        _verify(staged, header)
        _room(real, header["size"] + (os.path.getsize(real) if os.path.exists(real) else 0))
        if os.path.exists(real) and not _is_unusable(real):
            _into_live(real, staged, float(wait))
        else:
            _create(real, staged, header)
        with closing(_open(real, float(wait))) as connection:
            print(json.dumps(inventory(connection)))
    finally:
        _forget(staged)


def remove(database: str, wait: str) -> None:
    real = os.path.realpath(database)
    if os.path.exists(real) and not _is_unusable(real):
        # First emptied in one transaction: whoever has the file open sees it empty, and a kill leaves old or nothing.
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
            empty.execute(f"PRAGMA page_size={_page_size(real, float(wait))}")
            _backup(empty, real, float(wait))
    _forget(real)


def inventory(connection: sqlite3.Connection) -> dict[str, Any]:
    """Counted at one moment."""
    connection.execute("BEGIN")
    rows = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    named = {kind: sorted(name for found, name in rows if found == kind) for kind in ("table", "view", "trigger")}
    counted = {name: _count(connection, name) for name in named["table"]}
    connection.execute("ROLLBACK")
    return {"tables": counted, "views": named["view"], "triggers": named["trigger"]}


def _count(connection: sqlite3.Connection, table: str) -> int:
    try:
        return int(connection.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()[0])  # noqa: S608
    except sqlite3.OperationalError as error:
        # A virtual table whose module only the site has. Its shadow tables are counted like all others.
        if "no such module" in str(error):
            return -1
        raise


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _copy(database: str, copy: str, wait: float) -> dict[str, Any]:
    _room(copy, os.path.getsize(database))
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    found = os.stat(database)
    with closing(_open(database, wait)) as live:
        journal = live.execute("PRAGMA journal_mode").fetchone()[0]
        _backup(live, copy, wait)
    with closing(_open(copy, wait)) as saved:
        saved.execute("PRAGMA journal_mode=DELETE")
        _whole(saved, database)
        content = inventory(saved)
    facts = {"exists": True, "inventory": content, "journal": journal, "mode": stat.S_IMODE(found.st_mode)}
    return dict(facts, size=os.path.getsize(copy), sha256=_digest(copy))


def _verify(staged: str, header: dict[str, Any]) -> None:
    if os.path.getsize(staged) != header["size"] or _digest(staged) != header["sha256"]:
        raise Refused("The staged snapshot differs from the stored one: its checksum is another. Nothing was touched.")
    with closing(_open(staged, 5)) as connection:
        _whole(connection, "The staged snapshot")
        if inventory(connection) != header["inventory"]:
            raise Refused("The staged snapshot holds other tables or rows than it should. Nothing was touched.")


def _whole(connection: sqlite3.Connection, what: str) -> None:
    said = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise Refused(f"{what} is damaged, SQLite says: {said}")


def _into_live(real: str, staged: str, wait: float) -> None:
    # A live file in WAL mode takes pages of its own size only.
    size = _page_size(real, wait)
    with closing(_open(staged, wait)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        if connection.execute("PRAGMA page_size").fetchone()[0] != size:
            connection.execute(f"PRAGMA page_size={size}")
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
            raise Refused(f"{path} is in use: its lock was not free within {wait:g} s. See which program holds it.")

    with closing(_open(path, wait)) as target:
        target.execute("PRAGMA synchronous=EXTRA")
        source.backup(target, pages=-1, progress=waited, sleep=0.05)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _create(real: str, staged: str, header: dict[str, Any]) -> None:
    """Where no usable database is: a complete file appears under its name at once."""
    fresh = real + ".deploynaut-new"
    _forget(fresh)
    if os.path.exists(real):
        os.replace(real, real + ".damaged")
    with open(staged, "rb") as old, open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
        new.writelines(iter(lambda: old.read(BLOCK), b""))
    with closing(_open(fresh, 5)) as connection:
        connection.execute("PRAGMA journal_mode=WAL" if header["journal"] == "wal" else "PRAGMA journal_mode=DELETE")
    os.chmod(fresh, header["mode"])
    _own_like_directory(fresh)
    _sync(fresh)
    for sibling in SIBLINGS:  # a journal of the file that was there would be played into the new one
        _unlink(real + sibling)
    os.link(fresh, real)  # not a rename: a file that appeared meanwhile is not overwritten
    _unlink(fresh)
    _sync(os.path.dirname(real))


def _own_like_directory(path: str) -> None:
    if os.geteuid() == 0:
        directory = os.stat(os.path.dirname(path))
        os.chown(path, directory.st_uid, directory.st_gid)


def _is_unusable(database: str) -> bool:
    try:
        with closing(_open(database, 30)) as connection:
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
    disk = os.statvfs(os.path.dirname(path))
    needed, free = int(size * 1.3) + BLOCK, disk.f_bavail * disk.f_frsize
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


def _say(text: str) -> int:
    print(text, file=sys.stderr)
    return 65


ACTS: dict[str, Callable[..., None]] = {
    "inventory": show,
    "dump": dump,
    "stage": stage,
    "restore": restore,
    "remove": remove,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
