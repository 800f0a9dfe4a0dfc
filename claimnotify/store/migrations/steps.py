"""The steps of a migration, each of which may have been taken before.

MariaDB and MySQL commit at each step, so that a migration that was broken off is left half done;
`upgrade` then goes through all of it again, and what is done is passed over. Elsewhere a migration
is one transaction, and every step is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from claimnotify.store.servers import commits_each_change

__all__ = ["add_column", "create_index", "create_table", "drop_column", "drop_index"]


def create_table(name: str, *parts: sa.schema.SchemaItem) -> None:
    """Create a table, with the constraints that are among `parts`."""
    if not (_may_be_done() and sa.inspect(op.get_bind()).has_table(name)):
        op.create_table(name, *parts, mysql_engine="InnoDB", mysql_row_format="DYNAMIC")


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column."""
    if not (_may_be_done() and column.name in _columns(table)):
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Drop a column."""
    if not (_may_be_done() and name not in _columns(table)):
        op.drop_column(table, name)


def create_index(name: str, table: str, columns: Sequence[str], *, where: str = "") -> None:
    """Create an index, over the rows that meet `where` if it is given (MariaDB: over all)."""
    if _may_be_done() and _index(table, name) == list(columns):
        return
    partial: dict[str, Any] = {}
    if where:
        partial = {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}
    op.create_index(name, table, list(columns), **partial)


def drop_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Drop the index of that name over `columns`; one over others is its successor."""
    if not (_may_be_done() and _index(table, name) != list(columns)):
        op.drop_index(name, table_name=table)


def _may_be_done() -> bool:
    return commits_each_change(op.get_bind())


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def _index(table: str, name: str) -> list[str | None] | None:
    """Return the columns of an index, or None if there is none of that name."""
    for index in sa.inspect(op.get_bind()).get_indexes(table):
        if index["name"] == name:
            return index["column_names"]
    return None
