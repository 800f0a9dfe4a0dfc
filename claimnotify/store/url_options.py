"""Refuses options of a database URL that its driver does not take, before a connection is tried."""

from __future__ import annotations

from inspect import signature
from typing import Any

from sqlalchemy.engine import URL

from claimnotify.errors import ConfigurationError

__all__ = ["check_options"]

_OF_SQLITE = frozenset(
    {"cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout"}
)
_NOT_OF_LIBPQ = frozenset({"autocommit", "prepare_threshold"})
"""What psycopg takes besides the options of PostgreSQL's own library."""


def check_options(url: URL) -> None:
    """Make sure that the driver takes what follows the question mark in the URL.

    Raises:
        ConfigurationError: It does not know an option, or not this value of it.
        ModuleNotFoundError: The driver is not installed.
    """
    if not url.query:
        return
    dialect = url.get_dialect()
    driver: Any = dialect.import_dbapi()
    try:
        _check(url, dialect(), driver)
    except (TypeError, ValueError, driver.Error):
        # Not what the driver says, which may quote a value, such as a password.
        raise ConfigurationError(
            "database_url",
            f"its driver {dialect.driver} does not take these options, or one of them:"
            f" {', '.join(sorted(url.query))}",
            "Correct what follows the question mark.",
        ) from None


def _check(url: URL, dialect: Any, driver: Any) -> None:
    if dialect.driver == "pysqlite" and not url.query.keys() <= _OF_SQLITE:
        raise TypeError("an option that SQLite's driver does not know")
    _, keywords = dialect.create_connect_args(url)
    if dialect.driver == "psycopg":
        given = url.query.keys() - _NOT_OF_LIBPQ
        driver.conninfo.make_conninfo(**{name: keywords[name] for name in given})
    elif dialect.driver == "pymysql":
        signature(driver.connections.Connection).bind(**keywords)
