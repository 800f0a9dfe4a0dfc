"""Makes sure that a caller's transaction is one: what is written in it has to be gone after a rollback."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from claimnotify.errors import ConfigurationError

__all__ = ["check_transaction"]


def check_transaction(connection: Connection) -> None:
    """Check that the transaction of a caller's connection is begun before anything is written in it.

    Raises:
        ConfigurationError: Each statement commits by itself, as SQLAlchemy or the driver was told
            to; or it is in a savepoint of SQLite before which the driver has begun nothing, so that
            releasing it commits.
    """
    level = connection.get_execution_options().get("isolation_level") or getattr(
        connection.dialect, "_on_connect_isolation_level", None
    )
    sqlite = connection.dialect.name == "sqlite"
    driver = connection.connection.driver_connection
    begun = sqlite and _begins(connection, driver)
    if level == "AUTOCOMMIT" or (not begun and _commits_by_itself(driver, sqlite=sqlite)):
        raise ConfigurationError(
            "session",
            "is in autocommit, so that what it writes is committed whether it commits or not",
            "Give a session of an engine with another isolation level and without autocommit in its"
            " connect_args, or leave session out.",
        )
    if sqlite and not begun and connection.in_nested_transaction():
        raise ConfigurationError(
            "session",
            "is in a savepoint, and Python's driver for SQLite may have begun no transaction before"
            " it: what is written would be kept after a rollback",
            "Let the engine begin every transaction by BEGIN IMMEDIATE, in four lines: see 'Send in"
            " your own transaction' in the documentation.",
        )


def _begins(connection: Connection, driver: Any) -> bool:
    """Return whether a connection to SQLite begins its transactions at their beginning."""
    # False as of Python 3.12: as PEP 249 has it. Or a listener of the application's does it.
    return getattr(driver, "autocommit", None) is False or bool(connection.dispatch.begin)


def _commits_by_itself(driver: Any, *, sqlite: bool) -> bool:
    """Return whether the driver commits each statement."""
    if sqlite:
        return getattr(driver, "isolation_level", "") is None
    ask = getattr(driver, "get_autocommit", None)  # pymysql and those like it
    return bool(ask()) if ask is not None else getattr(driver, "autocommit", False) is True
