"""Makes our tables in a database once, and takes the rows out of them for the next test."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from psycopg import Connection
from psycopg.errors import UndefinedTable

from claimnotify.store.migrations import HEAD, VERSION_TABLE
from claimnotify.store.schema import STORE_ID
from claimnotify.store.store import SqlStore
from claimnotify.store.tables import meta, metadata

__all__ = ["copy_sqlite", "empty_postgres", "make"]

_ROWS = [table.name for table in reversed(metadata.sorted_tables) if table is not meta]


def make(url: str) -> None:
    """Make our tables, as `claimnotify db upgrade` does."""
    store = SqlStore(url, ring=lambda _queue: None)
    store.upgrade()
    store.close()


def copy_sqlite(template: Path, to: Path) -> None:
    """Copy a file that has our tables and that nobody has open; the copy is a store of its own."""
    shutil.copyfile(template, to)
    with closing(sqlite3.connect(to)) as connection, connection:
        connection.execute(_another_store())


def empty_postgres(connection: Connection) -> bool:
    """Leave our tables, without a row, and no other; nobody else is connected.

    Returns:
        Whether our tables were there; if not, nothing is now.
    """
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    others = {str(name) for (name,) in found} - metadata.tables.keys() - {VERSION_TABLE}
    statements = [f'DROP TABLE "{name}" CASCADE' for name in others]
    statements += [f"DELETE FROM {name}" for name in _ROWS]
    statements += [f"DELETE FROM {meta.name} WHERE name <> '{STORE_ID}'", _another_store()]
    try:
        made = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}".encode()).fetchall()
        connection.execute("; ".join(statements).encode())
    except UndefinedTable:  # an earlier test took them away
        made = []
    if made != [(HEAD,)]:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return made == [(HEAD,)]


def _another_store() -> str:
    return f"UPDATE {meta.name} SET value = '{secrets.token_hex(16)}' WHERE name = '{STORE_ID}'"
