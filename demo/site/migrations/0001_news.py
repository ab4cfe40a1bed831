"""The news table and the first items."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

ITEMS = (
    ("2026-05-04", "Ana Reid", "Water restrictions lifted in Tawa",
     "After a wet April the reservoirs are full again. Gardens may be watered at any time of the day."),
    ("2026-05-19", "Ben Tama", "Library opens on Sundays",
     "From June the library in Main Street is open on Sundays from ten to four. The book bus keeps its round."),
    ("2026-06-02", "Ana Reid", "Bridge at Mill Road closed for a week",
     "The deck is being renewed. Cyclists and walkers are let across; cars take the way by Station Street."),
    ("2026-06-23", "Carol Hīnau", "Winter planting: 4,000 trees along the stream",
     "Forty volunteers planted flax, mānuka and cabbage trees. Come again on the first Saturday of July."),
    ("2026-07-07", "Ben Tama", "Have your say on the cycle path",
     "Two routes are proposed along the railway. Plans hang in the hall until the end of the month."),
    ("2026-07-21", "Carol Hīnau", "Council meeting moved to Thursday",
     "The meeting of the water committee takes place on Thursday at six in the evening, open to everybody."),
)  # fmt: skip


def up(content: sqlite3.Connection, say: Callable[[str], None]) -> None:
    content.execute(
        "CREATE TABLE news (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, body TEXT NOT NULL,"
        " author TEXT NOT NULL, published TEXT NOT NULL)"
    )
    content.executemany("INSERT INTO news (published, author, title, body) VALUES (?, ?, ?, ?)", ITEMS)
    say(f"{len(ITEMS)} news items")
