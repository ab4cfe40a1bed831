"""Make or upgrade the content database: runs each migration of `migrations/` that has not run yet, in order.

    python3 migrate.py [--database PATH] [--check]

`--check` changes nothing and exits 1 when migrations are waiting. Each statement stands for itself, as in MySQL,
where a change of a table commits by itself: a migration that fails halfway leaves its first half behind.
"""

from __future__ import annotations

import argparse
import runpy
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

RELEASE = Path(__file__).resolve().parent
DATABASE = RELEASE.parent.parent / "shared" / "content.sqlite3"


def main() -> int:
    options = arguments()
    if options.check:
        return check(options.database)
    options.database.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(options.database, isolation_level=None, timeout=10)
    try:
        upgrade(connection)
    finally:
        connection.close()
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path, default=DATABASE)
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


def check(database: Path) -> int:
    waiting = [path.stem for path in migrations() if number(path) > schema_of(database)]
    say(f"schema {schema_of(database)}, waiting: {', '.join(waiting) or 'nothing'}")
    return 1 if waiting else 0


def upgrade(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT, at TEXT)")
    at = version(connection)
    for path in (path for path in migrations() if number(path) > at):
        say(f"{path.stem} …")
        runpy.run_path(str(path))["up"](connection, say)
        row = (number(path), path.stem, datetime.now(UTC).isoformat(timespec="seconds"))
        connection.execute("INSERT INTO schema_version VALUES (?, ?, ?)", row)
    say(f"the content database is at schema {version(connection)}")


def migrations() -> list[Path]:
    return sorted((RELEASE / "migrations").glob("[0-9]*.py"))


def number(path: Path) -> int:
    return int(path.stem.partition("_")[0])


def schema_of(database: Path) -> int:
    if not database.exists():
        return 0
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
    try:
        return version(connection)
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def version(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
    return int(found[0])


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
