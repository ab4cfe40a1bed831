"""A summary for each news item, shown in the lists."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def up(content: sqlite3.Connection, say: Callable[[str], None]) -> None:
    content.execute("ALTER TABLE news ADD COLUMN summary TEXT NOT NULL DEFAULT ''")
    done = content.execute("UPDATE news SET summary = substr(body, 1, instr(body, '.'))").rowcount
    say(f"{done} summaries")
