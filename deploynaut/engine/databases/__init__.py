"""Databases of a site: save them, look into them, put them back whole."""

from __future__ import annotations

from deploynaut.engine.databases.base import (
    Database,
    DatabaseFailed,
    DumpIncomplete,
    Inventory,
    SnapshotDamaged,
    doubts,
)
from deploynaut.engine.databases.sqlite import SqliteDatabase

__all__ = [
    "Database",
    "DatabaseFailed",
    "DumpIncomplete",
    "Inventory",
    "SnapshotDamaged",
    "SqliteDatabase",
    "doubts",
]
