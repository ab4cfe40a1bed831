"""Titles in sentence case, and the oldest item goes to the archive."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def up(content: sqlite3.Connection, say: Callable[[str], None]) -> None:
    done = content.execute("UPDATE news SET title = upper(substr(title, 1, 1)) || lower(substr(title, 2))").rowcount
    say(f"{done} titles in sentence case")
    content.execute("CREATE TABLE archive AS SELECT * FROM news ORDER BY published LIMIT 1")
    content.execute("DELETE FROM news WHERE id IN (SELECT id FROM archive)")
    say("the oldest item is in the archive")
