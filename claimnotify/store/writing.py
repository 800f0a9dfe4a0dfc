"""Inserts that leave an existing row alone, in the words of each database."""

from __future__ import annotations

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

__all__ = ["insert_or_ignore"]


def insert_or_ignore(table: Table, connection: Connection) -> Insert:
    """Return an insert that leaves a row with the same unique key alone."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return mysql.insert(table).prefix_with("IGNORE")
