"""Makes the SQLAlchemy engine of a database URL, tuned for short writes by many processes."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError

from claimnotify.errors import ConfigurationError
from claimnotify.model.forks import ForkGate
from claimnotify.store.direct import DIRECT, run
from claimnotify.store.forking import FORKS, watch_forks
from claimnotify.store.servers import lacks_right
from claimnotify.store.url_options import check_options, with_ours

__all__ = ["READS", "begin_immediate", "make_engine", "parse_url"]

READS = "claimnotify_reads"
"""The execution option of a connection that only reads, each statement by itself."""
_USED_AT = "claimnotify_used_at"
_IDLE_SECONDS = 2.0
"""A connection that was idle for longer is asked whether it lives before it is used."""

_SYNC_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mysql+asyncmy": "mysql+pymysql",
    "mysql+aiomysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "mariadb+asyncmy": "mysql+pymysql",
    "mariadb+aiomysql": "mysql+pymysql",
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
}
_SERVER_ARGUMENTS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "connect_timeout": 5,
        # Every statement of ours has an index. A plan is kept for as long as a connection lives, and
        # one that was made when the tables were empty would read all of them for ever.
        "options": "-c timezone=UTC -c enable_seqscan=off -c jit=off",
        # A server that vanished without a word is given up after half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 30_000,
    },
    "mysql": {
        "connect_timeout": 5,
        # A connection that died without a word is given up, and its work done again.
        "read_timeout": 60,
        "write_timeout": 60,
        "charset": "utf8mb4",
        # Strict, so that nothing too long is cut off; in UTC, as are all our times.
        # Waits for locks end before the connection is given up.
        "init_command": "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL',"
        " innodb_lock_wait_timeout = 10, lock_wait_timeout = 45, default_storage_engine = InnoDB",
    },
}
_IMPATIENT = ("read_timeout", "write_timeout")
_EXTRAS = {"psycopg": "postgres", "pymysql": "mysql"}


def parse_url(text: str) -> URL:
    """Return the database URL with a driver of ours; a SQLite path becomes absolute.

    Raises:
        ConfigurationError: If it is not the URL of a database we support.
    """
    remedy = (
        "Give sqlite:///path, postgresql+psycopg://user:password@host/name or"
        " mysql+pymysql://user:password@host/name."
    )
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError("database_url", "is not a database URL", remedy) from None
    driver = _SYNC_DRIVERS.get(url.drivername)
    if driver is None:
        raise ConfigurationError("database_url", f"{url.drivername} is not supported", remedy)
    url = url.set(drivername=driver)
    if driver == "sqlite":
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise ConfigurationError(
                "database_url",
                "an in-memory SQLite database cannot be shared with a worker",
                "Give a file: sqlite:////absolute/path.db; tests use fake_notifier().",
            )
        url = url.set(database=str(Path(url.database).expanduser().absolute()))
    return url


def make_engine(
    url: URL, *, pool_size: int = 5, durable: bool = True, patient: bool = False
) -> Engine:
    """Return a sync engine for `url`. No connection is opened.

    Args:
        url: As `parse_url` returns it.
        pool_size: Connections kept open.
        durable: Whether a commit waits for the disk, where the database lets each connection choose
            (PostgreSQL). What is not waited for is lost only if the server itself crashes.
        patient: Whether a statement may take as long as it needs, as changes of large tables do.

    Raises:
        ConfigurationError: If the driver is not installed; it names the extra that has it. If it
            does not take an option of the URL. If the folder of a SQLite file does not exist: a
            mistaken path makes no second database.
    """
    options: dict[str, Any] = {}
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        folder = Path(url.database or "").parent
        if not os.path.isdir(folder):
            raise ConfigurationError(
                "database_url",
                f"there is no folder {folder} that can be used",
                "Correct the path (sqlite:/// and an absolute one make four slashes), or make the folder.",
            )
        ours = with_ours(url, {"timeout": 5.0})
        options["connect_args"] = {**ours, "check_same_thread": False}
    else:
        options |= {
            "pool_recycle": 1800,
            "isolation_level": "READ COMMITTED",
        }
        arguments = with_ours(url, _SERVER_ARGUMENTS[url.get_backend_name()])
        if not durable and "options" in arguments:
            arguments["options"] += " -c synchronous_commit=off"
        if patient:
            arguments = {name: arguments[name] for name in arguments if name not in _IMPATIENT}
        options["connect_args"] = arguments
    forks = ForkGate("database_url", may_be_inherited=not sqlite)
    try:
        check_options(url)
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=pool_size * 2,
            pool_timeout=10,
            execution_options={DIRECT: True, FORKS: forks},
            **options,
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        module = getattr(error, "name", None) or url.get_driver_name()
        raise ConfigurationError(
            "database_url",
            f"its driver {module} is not installed",
            f"Install claimnotify[{_EXTRAS.get(module, 'all')}].",
        ) from error
    watch_forks(engine)
    if not sqlite:
        _check_idle_connections(engine)
        event.listen(engine, "handle_error", _give_up_without_rights)
    else:
        begin_immediate(engine)
        event.listen(engine, "connect", _tune_sqlite)
    return engine


def _check_idle_connections(engine: Engine) -> None:
    """Make sure that a connection which was idle for a while still lives, before it is used.

    SQLAlchemy's own `pool_pre_ping` does so each time, which costs every `notify()` a round trip.
    """

    def returned(_connection: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is None or time.monotonic() - used_at < _IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:  # each driver has errors of its own; all mean the same here
            raise DisconnectionError("the idle connection is dead") from error

    event.listen(engine, "checkin", returned)
    event.listen(engine, "checkout", taken)


def _give_up_without_rights(context: ExceptionContext) -> None:
    """Give up the connections of a user who lacks a right: MariaDB's know the rights they began with."""
    if lacks_right(context.original_exception):
        context.is_disconnect = True


def begin_immediate(engine: Engine) -> None:
    """Make every transaction of a SQLite engine a real one that takes the write lock at once.

    Python's driver begins none before the first write, so that a savepoint that comes first is the
    outermost transaction and survives a rollback; and a read that becomes a write fails at once
    when another process wrote in between. Applications that pass their `session` call this once
    on their engine (for an async engine on its `sync_engine`).

    Source: SQLAlchemy, "Serializable isolation / Savepoints / Transactional DDL" of pysqlite.
    """

    def connected(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None

    def begun(connection: Connection) -> None:
        if not connection.get_execution_options().get(READS, False):
            run(connection, "BEGIN IMMEDIATE", ())

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


def _tune_sqlite(dbapi_connection: sqlite3.Connection, _record: Any) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
