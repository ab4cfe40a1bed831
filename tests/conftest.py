"""What all tests share."""

from __future__ import annotations

from typing import Any

import django.db.backends.sqlite3.base  # noqa: F401 - first: it and operations import each other
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
