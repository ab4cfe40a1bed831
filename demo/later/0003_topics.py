"""Topics in a table of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def up(content: sqlite3.Connection, say: Callable[[str], None]) -> None:
    content.execute("CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
    done = content.execute("UPDATE news SET title = 'Water: ' || title WHERE id % 2 = 1").rowcount
    say(f"{done} titles with their topic")
    content.execute("INSERT INTO topic (name) VALUES ('Water'), ('Roads'), ('Water')")
    content.execute("ALTER TABLE news ADD COLUMN topic_id INTEGER REFERENCES topic (id)")
