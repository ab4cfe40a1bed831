"""What all tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django.db.backends.sqlite3.base  # noqa: F401 - first: it and operations import each other
import pytest
from django.db.backends.sqlite3.operations import DatabaseOperations

from deploynaut.accounts.append_only import create_statements, drop_statements

_sql_flush = DatabaseOperations.sql_flush


def _flush(self: DatabaseOperations, style: Any, tables: Any, **options: Any) -> list[str]:
    """Between two tests Django empties every table. The audit trail refuses that: its triggers step aside meanwhile."""
    guarded = [table for table in tables if table == "accounts_auditentry"]
    drop = [statement for table in guarded for statement in drop_statements(table, "sqlite")]
    create = [statement for table in guarded for statement in create_statements(table, "sqlite")]
    return [*drop, *_sql_flush(self, style, tables, **options), *create]


DatabaseOperations.sql_flush = _flush  # type: ignore[assignment,method-assign]


MACHINE = ("real/", "faults/", "attacks/test_browser_", "house/test_run", "house/test_demo", "house/test_supervisor")
"""Tests that start servers, browsers, whole installations: one at a time, or they would stand in each other's way."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks what `./test` runs by itself, after all that two workers may run side by side."""
    where = item.path.relative_to(Path(__file__).parent).as_posix()
    if where.startswith(MACHINE) or "_over_ssh" in where:
        item.add_marker(pytest.mark.machine)
