"""Inserts: of one row or many, and those that leave an existing row alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

__all__ = ["insert_or_ignore", "insert_rows"]


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert `rows`, of which there is at least one; a single one takes the shorter way."""
    connection.execute(_insert_into(table), rows[0] if len(rows) == 1 else rows)


@cache
def _insert_into(table: Table) -> Insert:
    """Return the one statement for the table: SQLAlchemy knows it again by what it is."""
    return table.insert()


def insert_or_ignore(table: Table, connection: Connection) -> Insert:
    """Return an insert that leaves a row with the same unique key alone."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    # Not INSERT IGNORE, which also makes warnings of texts that are too long and of missing parents.
    key = table.primary_key.columns[0]
    return mysql.insert(table).on_duplicate_key_update({key.name: key})
