"""Inserts: of one row or many, of rows of several tables at once, and those that leave a row alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

from claimnotify.store.direct import MARKS, run, run_many

__all__ = ["insert_or_ignore", "insert_rows", "insert_whole"]

Row = Mapping[str, Any]


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Row], *, unless_there: bool = False
) -> None:
    """Insert `rows`, of which there is at least one, all with the same columns.

    With `unless_there`, one whose unique key is there already is left out.

    Left to itself SQLAlchemy works out every row's parameters from the statement anew, which takes
    longer than the insert. Several in one statement, or arrays, would be slower with psycopg.
    """
    if connection.dialect.driver not in MARKS:
        insert = insert_or_ignore(table, connection) if unless_there else table.insert()
        connection.execute(insert, rows[0] if len(rows) == 1 else rows)
        return
    prepared = _prepared(connection.dialect, table, tuple(rows[0]))
    sql = prepared.insert + (" ON CONFLICT DO NOTHING" if unless_there else "")
    if len(rows) == 1:
        run(connection, sql, prepared.values(rows[0]))
    else:
        run_many(connection, sql, [prepared.values(row) for row in rows])


def insert_whole(connection: Connection, rows: Sequence[tuple[Table, Row]]) -> None:
    """Insert rows of several tables in one statement: all of them or none. PostgreSQL alone can."""
    parts = [_prepared(connection.dialect, table, tuple(row)) for table, row in rows]
    *before, last = (part.insert for part in parts)
    named = ", ".join(f"part{number} AS ({sql})" for number, sql in enumerate(before))
    values = [
        value for part, (_, row) in zip(parts, rows, strict=True) for value in part.values(row)
    ]
    run(connection, f"WITH {named} {last}" if named else last, tuple(values))


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


class _Prepared:
    """An insert of certain columns of a table.

    Args:
        dialect: The database's and its driver's.
        table: The table.
        names: The columns.
    """

    def __init__(self, dialect: Dialect, table: Table, names: Sequence[str]) -> None:
        quote = dialect.identifier_preparer.quote
        marks = ", ".join([MARKS[dialect.driver]] * len(names))
        # Names of our own tables, quoted where they need to be; values are parameters.
        into = f"INSERT INTO {quote(table.name)} ({', '.join(map(quote, names))})"
        self.insert = f"{into} VALUES ({marks})"
        types = [table.c[name].type.dialect_impl(dialect) for name in names]
        self._processors = [
            (name, type_.bind_processor(dialect)) for name, type_ in zip(names, types, strict=True)
        ]

    def values(self, row: Row) -> tuple[Any, ...]:
        """Return the parameters of one row, as the driver takes them."""
        return tuple([row[name] if to is None else to(row[name]) for name, to in self._processors])


@lru_cache(maxsize=256)
def _prepared(dialect: Dialect, table: Table, names: tuple[str, ...]) -> _Prepared:
    return _Prepared(dialect, table, names)
