"""Says whether a server, and a caller's connection to it, will do, and what its errors ask for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.model.messages import Attachment

__all__ = [
    "check_attachments",
    "check_caller",
    "check_server",
    "commits_each_change",
    "lacks_right",
    "remedy_of",
]

_MARIADB = (10, 6)
_MYSQL = (8, 0, 17)
"""The first to skip locked rows, as leases need; and of MySQL, to compare texts byte by byte."""

_RIGHTS = "Check the user, the password and the rights: SELECT, INSERT, UPDATE and DELETE, on PostgreSQL also USAGE of the schema; for an upgrade also CREATE, ALTER, INDEX and REFERENCES."
_REFUSED_STATES = {
    "42501": _RIGHTS,
    "25006": "Give the URL of the server that may be written to, or let the user write.",
}
"""PostgreSQL: insufficient_privilege, read_only_sql_transaction."""
_NO_RIGHT = frozenset({1044, 1142, 1143})
"""MariaDB: no right on the database, on the table, on the column."""
_REMEDIES = {
    1044: _RIGHTS,
    1045: _RIGHTS,
    1049: "Create the database, then run: claimnotify db upgrade",
    1142: _RIGHTS,
    1143: _RIGHTS,
    1153: "Send less at once, or raise max_allowed_packet on the server.",
    1698: _RIGHTS,
}

_SURELY_TAKEN = 256 * 1024
_STATEMENT = 16 * 1024


def remedy_of(cause: BaseException) -> str | None:
    """Return what to do about a driver's error, or None if its number says nothing special."""
    state = getattr(cause, "sqlstate", None)
    if state in _REFUSED_STATES:
        return _REFUSED_STATES[state]
    number = cause.args[0] if cause.args else None
    return _REMEDIES.get(number) if isinstance(number, int) else None


def lacks_right(cause: BaseException | None) -> bool:
    """Return whether a driver's error says that the user may not read or write a table of ours."""
    if getattr(cause, "sqlstate", None) in _REFUSED_STATES:
        return True
    return cause is not None and bool(cause.args) and cause.args[0] in _NO_RIGHT


def commits_each_change(connection: Connection) -> bool:
    """Return whether the database commits at each change of a table, so that half may be left."""
    return connection.dialect.name in ("mysql", "mariadb")


def check_server(connection: Connection) -> None:
    """Make sure that the server can do what leases need.

    Raises:
        ConfigurationError: It is older than MariaDB 10.6 or MySQL 8.0.17, or it logs statements
            for replicas where READ COMMITTED needs rows.
    """
    dialect = connection.dialect
    if dialect.name not in ("mysql", "mariadb"):
        return
    mariadb = bool(getattr(dialect, "is_mariadb", False))
    name, least = ("MariaDB", _MARIADB) if mariadb else ("MySQL", _MYSQL)
    version = tuple(dialect.server_version_info or ())
    if version and version[: len(least)] < least:
        raise ConfigurationError(
            "database_url",
            f"the server is {name} {_dotted(version)}",
            f"Use {name} {_dotted(least)} or newer.",
        )
    logs, how = connection.execute(text("SELECT @@log_bin, @@binlog_format")).one()
    if logs and how == "STATEMENT":
        raise ConfigurationError(
            "database_url",
            "the server's binary log is of statements, which READ COMMITTED cannot be written to",
            "Set binlog_format to ROW or MIXED on the server.",
        )


def check_caller(connection: Connection) -> None:
    """Make sure that a caller's connection neither cuts texts off nor garbles them.

    Raises:
        ConfigurationError: Its SQL mode is not strict, or its character set is not utf8mb4.
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        return
    mode, charset = connection.execute(text("SELECT @@sql_mode, @@character_set_client")).one()
    if "STRICT_" not in mode:
        raise ConfigurationError(
            "session",
            "its SQL mode is not strict: a text that is too long would be cut off",
            "Add STRICT_TRANS_TABLES to sql_mode, of the server or of your connections.",
        )
    if charset != "utf8mb4":
        raise ConfigurationError(
            "session",
            f"its connection has the character set {charset}, which lacks characters",
            "Add ?charset=utf8mb4 to the URL of your engine.",
        )


def check_attachments(connection: Connection, files: Sequence[Attachment]) -> None:
    """Make sure that each of `files` fits into a packet; a server that gets more just hangs up.

    Raises:
        InvalidInput: One is too large for the server.
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        return
    size = max((len(each.content) for each in files), default=0)
    if size <= _SURELY_TAKEN:
        return
    most = int(connection.execute(text("SELECT @@max_allowed_packet")).scalar_one())
    # PyMySQL writes two hexadecimal digits for a byte.
    if 2 * size + _STATEMENT > most:
        raise InvalidInput(
            "attachments",
            f"one has {size} bytes, and the database server takes {(most - _STATEMENT) // 2}",
            "Raise max_allowed_packet on the server, or send a link.",
        )


def _dotted(version: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in version)
