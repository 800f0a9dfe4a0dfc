"""Runs the few statements that are run most on the driver's own cursor, past most of SQLAlchemy.

For a statement that finds or inserts one row SQLAlchemy's own work takes several times as long as the
database's. So the texts, and what turns values into parameters and back, are kept by dialect; the
connection, its transaction and its errors stay SQLAlchemy's. Connections that are not our own are left
to SQLAlchemy altogether, whose events their owners may listen to.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Select
from sqlalchemy.exc import DBAPIError

__all__ = ["DIRECT", "MARKS", "run", "run_many", "select_rows"]

DIRECT = "claimnotify_direct"
"""The execution option of our own connections."""
MARKS = {"pysqlite": "?", "psycopg": "%s"}
"""The drivers whose cursors are used here, and their mark for a parameter."""


def run(connection: Connection, sql: str, values: Any) -> Any:
    """Run `sql` with parameters as the driver takes them; return its cursor.

    A transaction must have begun, unless the connection commits each statement by itself.
    """
    if not _is_direct(connection):
        return connection.exec_driver_sql(sql, values)
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql, values)
    except Exception as error:
        raise _wrapped(connection, sql, error) from error
    return cursor


def run_many(connection: Connection, sql: str, values: Sequence[Any]) -> None:
    """Run `sql` once for each of the `values`."""
    if not _is_direct(connection):
        connection.exec_driver_sql(sql, list(values))
        return
    cursor = connection.connection.cursor()
    try:
        cursor.executemany(sql, values)
    except Exception as error:
        raise _wrapped(connection, sql, error) from error


def select_rows(
    connection: Connection, query: Select[Any], values: Mapping[str, Any]
) -> Sequence[Any]:
    """Return the rows of `query`, a constant of the module that asks, with its columns as names."""
    if not _is_direct(connection):
        return connection.execute(query, values).all()
    prepared = _prepared(connection.dialect, query)
    found = run(connection, prepared.sql, prepared.parameters(values)).fetchall()
    return [prepared.row(each) for each in found]


class _Prepared:
    """A query as a text, and what makes its parameters and rows."""

    def __init__(self, dialect: Dialect, query: Select[Any]) -> None:
        compiled = query.compile(dialect=dialect)
        self.sql = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup if compiled.positional else None
        columns = list(query.selected_columns)
        row: Any = namedtuple("_Row", [column.name for column in columns])  # type: ignore[misc]
        self._make = row._make
        kinds = [column.type.dialect_impl(dialect) for column in columns]
        self._read = [kind.result_processor(dialect, None) for kind in kinds]
        binds = {name: bind.type.dialect_impl(dialect) for name, bind in compiled.binds.items()}
        self._bind: dict[str, Callable[[Any], Any] | None] = {
            name: kind.bind_processor(dialect) for name, kind in binds.items()
        }

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Return them as the driver takes them."""
        bound = {
            name: values[name] if to is None else to(values[name])
            for name, to in self._bind.items()
        }
        return bound if self._order is None else tuple([bound[name] for name in self._order])

    def row(self, found: Sequence[Any]) -> Any:
        """Return a row of the driver's with values of Python's."""
        pairs = zip(self._read, found, strict=True)
        return self._make([value if to is None else to(value) for to, value in pairs])


@lru_cache(maxsize=64)
def _prepared(dialect: Dialect, query: Select[Any]) -> _Prepared:
    return _Prepared(dialect, query)


def _is_direct(connection: Connection) -> bool:
    return DIRECT in connection.get_execution_options() and connection.dialect.driver in MARKS


def _wrapped(connection: Connection, sql: str, error: Exception) -> BaseException:
    """Return the driver's error as SQLAlchemy raises it, and give up a connection that is dead."""
    dialect = connection.dialect
    base = dialect.loaded_dbapi.Error
    if not isinstance(error, base):
        return error
    dead = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
    if dead:
        connection.invalidate(error)
    return DBAPIError.instance(
        sql,
        None,
        error,
        base,
        hide_parameters=True,
        connection_invalidated=dead,
        dialect=dialect,
    )
