"""Reads the options of a database URL: refuses what its driver does not take, and adds what we need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from claimnotify.errors import ConfigurationError

__all__ = ["check_options", "with_ours"]

_OF_SQLITE = frozenset({"cached_statements", "check_same_thread", "timeout"})
_LONGEST_TIMEOUT = 3600.0
_NOT_OF_MYSQL = frozenset(
    {"auth_plugin_map", "autocommit", "conv", "cursorclass", "defer_connect", "init_command"}
)
"""What pymysql takes and a text cannot say, or we set ourselves."""
_CHARSET = "utf8mb4"


def check_options(url: URL) -> None:
    """Make sure that the driver takes what follows the question mark in the URL.

    Raises:
        ConfigurationError: It does not know an option or not this value of it, or the option is
            one that we have to set ourselves.
        ModuleNotFoundError: The driver is not installed.
    """
    if not url.query:
        return
    dialect = url.get_dialect()
    driver: Any = dialect.import_dbapi()
    try:
        _check(url, dialect(), driver)
    except Exception:
        # Drivers raise anything, and may quote a value, such as a password.
        raise ConfigurationError(
            "database_url",
            f"its driver {dialect.driver} does not take these options, or one of them:"
            f" {', '.join(sorted(url.query))}",
            "Correct what follows the question mark, and see that the files it names exist.",
        ) from None


def with_ours(url: URL, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for the driver: ours, but where the URL has its own.

    Of PostgreSQL's `options` ours follow those of the URL.
    """
    arguments = {name: ours[name] for name in ours if name not in url.query}
    theirs = url.query.get("options")
    if "options" in ours and isinstance(theirs, str):
        arguments["options"] = f"{theirs} {ours['options']}"
    return arguments


def _check(url: URL, dialect: Any, driver: Any) -> None:
    names = url.query.keys()
    if any(not isinstance(url.query[name], str) for name in names - {"host", "port"}):
        raise ArgumentError("an option that is given twice")
    if dialect.driver == "pysqlite" and not names <= _OF_SQLITE:
        raise ArgumentError("an option that is not for SQLite's driver")
    _, keywords = dialect.create_connect_args(url)
    if dialect.driver == "psycopg":
        driver.conninfo.make_conninfo(**{name: keywords[name] for name in names})
    elif dialect.driver == "pymysql":
        if names & _NOT_OF_MYSQL or url.query.get("charset", _CHARSET) != _CHARSET:
            raise ArgumentError("an option that is ours to set")
        driver.connections.Connection(**keywords, defer_connect=True)
    else:
        if not 0 <= keywords.get("timeout", 0.0) <= _LONGEST_TIMEOUT:
            raise ArgumentError("no number of seconds")
        driver.connect(":memory:", **keywords).close()
