"""Triggers that keep a table append-only in the database itself, for SQLite and PostgreSQL. Used by migrations."""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_SQLITE = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
_POSTGRESQL = """
CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$;
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_append_only()
"""
VERBS = ("update", "delete")


def protect(table: str, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let the database refuse UPDATE and DELETE on `table`."""
    for statement in create_statements(table, schema_editor.connection.vendor):
        schema_editor.execute(statement)


def release(table: str, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take the triggers away again: for a migration that rebuilds the table, which puts them back."""
    for statement in drop_statements(table, schema_editor.connection.vendor):
        schema_editor.execute(statement)


def create_statements(table: str, vendor: str) -> list[str]:
    """The statements that protect `table`. Raises KeyError for a database we do not know."""
    form = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}[vendor]
    return [form.format(table=table, verb=verb).strip() for verb in VERBS]


def drop_statements(table: str, vendor: str) -> list[str]:
    """The statements that end the protection of `table`."""
    on = f" ON {table}" if vendor == "postgresql" else ""
    return [f"DROP TRIGGER IF EXISTS {table}_no_{verb}{on}" for verb in VERBS]
