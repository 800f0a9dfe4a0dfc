"""Transactions of our own: they end where their block ends, and say so when the database is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from claimnotify.errors import StoreContention, StoreUnavailable
from claimnotify.store.engine import READS
from claimnotify.store.forking import using
from claimnotify.store.servers import lacks_right, remedy_of

__all__ = ["begin_now", "beginning_late", "in_transaction", "reachable", "reading", "writing"]

T = TypeVar("T")

_TRIES = 5
_READING: dict[str, dict[str, Any]] = {
    "sqlite": {READS: True},
    "postgresql": {"isolation_level": "AUTOCOMMIT"},
}
"""The execution options of a connection that only reads: each statement is by itself."""
_WRITING: dict[str, dict[str, Any]] = {
    "sqlite": {READS: False},
    "postgresql": {"isolation_level": "READ COMMITTED"},
}
"""Those that undo them."""
_CONTENTION_STATES = frozenset({"40001", "40P01"})
"""PostgreSQL: serialization_failure, deadlock_detected."""
_CONTENTION_CODES = frozenset({1020, 1213})
"""MariaDB: the record has changed, deadlock found. A lock that was waited for in vain is none."""


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection that only reads.

    On SQLite and PostgreSQL each statement is by itself, as READ COMMITTED makes it anyway, and
    beginning and ending costs nothing. On MariaDB going to and fro costs more than the rollback it
    spares, and one that meets a dead connection is raised as the driver's own error.

    Raises:
        StoreUnavailable: The database cannot be reached.
    """
    options = _READING.get(engine.dialect.name, {})
    with reachable(), using(engine), engine.connect().execution_options(**options) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that commits when the block ends and rolls back when it raises.

    Raises:
        StoreUnavailable: The database cannot be reached, or stayed locked.
    """
    with reachable(), using(engine), engine.begin() as connection:
        yield connection


@contextmanager
def beginning_late(engine: Engine) -> Iterator[Connection]:
    """Open a transaction like `writing`, which begins when `begin_now` is called.

    Until then each statement is by itself: on SQLite nobody waits for the write lock meanwhile, and
    on PostgreSQL what can be written in one statement costs one round trip and not three. On
    MariaDB it begins at once.

    Raises:
        StoreUnavailable: The database cannot be reached, or stayed locked.
    """
    if engine.dialect.name not in _READING:
        with writing(engine) as connection:
            yield connection
        return
    with reading(engine) as connection:
        yield connection
        connection.commit()


def begin_now(connection: Connection) -> None:
    """Begin the transaction of a connection from `beginning_late`; call it once."""
    options = _WRITING.get(connection.dialect.name)
    if options is not None:
        connection.commit()  # SQLAlchemy's idea of one; there is none in the database
        connection.execution_options(**options)
        connection.begin()


@contextmanager
def reachable() -> Iterator[None]:
    """Turn "the database cannot be reached" into our own error, without the URL's password.

    Raises:
        StoreUnavailable: A connection could not be opened, broke, or stayed locked, or the user
            lacks a right.
    """
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        # The bare class, none of those below it, is how sqlite3 says "file is not a database".
        bare = type(error) is DatabaseError
        if error.connection_invalidated or bare or lacks_right(error.orig):
            raise _unavailable(error) from error
        raise


def in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction of its own, and again if that lost a conflict with another one.

    Raises:
        StoreUnavailable: The database cannot be reached, or the conflict came again and again.
    """
    for _ in range(_TRIES - 1):
        try:
            with writing(engine) as connection:
                return work(connection)
        except StoreContention:
            continue
    with writing(engine) as connection:
        return work(connection)


def _unavailable(error: Exception) -> StoreUnavailable:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    if _is_contention(cause):
        return StoreContention(
            "database_url",
            f"the transaction lost a conflict with another one: {lines[0]}",
            "Nothing was written; try again.",
        )
    return StoreUnavailable(
        "database_url",
        f"the database cannot be used: {lines[0]}",
        remedy_of(cause)
        or "Check that it runs, that the URL is right and that nothing holds a long write lock.",
    )


def _is_contention(cause: BaseException) -> bool:
    """Return whether a driver's error means a deadlock, or a conflict of serializable transactions."""
    if getattr(cause, "sqlstate", None) in _CONTENTION_STATES:
        return True
    first = cause.args[0] if cause.args else None
    return isinstance(first, int) and first in _CONTENTION_CODES
