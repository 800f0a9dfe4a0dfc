"""Brings the schema up to date, or says that it is not. SQLite migrates itself; a server is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import ProgrammingError

from claimnotify.errors import ConfigurationError, SchemaMissing, StoreUnavailable
from claimnotify.model.ids import IdSource
from claimnotify.store.forking import using
from claimnotify.store.migrations import HEAD, VERSION_TABLE
from claimnotify.store.servers import check_server, commits_each_change
from claimnotify.store.tables import meta, metadata, notifications
from claimnotify.store.transactions import reachable, reading, writing

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["STORE_ID", "ensure", "revision", "store_id", "upgrade"]

STORE_ID = "store_id"
"""The row of the meta table that tells one database from another."""

_ADVISORY_LOCK = 0x636C_6169_6D6E


def revision(connection: Connection) -> str | None:
    """Return the revision the database is at, or None if it has none of our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(
        text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  # a constant of ours
    ).scalar()
    return found


def store_id(connection: Connection) -> str | None:
    """Return what identifies the store in this database, or None if there is none."""
    if not inspect(connection).has_table(meta.name):
        return None
    found: str | None = connection.execute(
        select(meta.c.value).where(meta.c.name == STORE_ID)
    ).scalar()
    return found


def ensure(engine: Engine) -> None:
    """Make sure the schema is current: migrate SQLite, refuse an outdated server.

    Raises:
        ConfigurationError: The server is too old, or set up so that leases cannot work on it.
        SchemaMissing: The server's schema is missing or of another version, or does not say of
            which it is.
        StoreUnavailable: The database cannot be reached.
    """
    with reading(engine) as connection:
        check_server(connection)
        if revision(connection) == HEAD:
            return
        embedded = engine.dialect.name == "sqlite"
        found = None if embedded else _known_revision(connection)
    if embedded:
        upgrade(engine)
        return
    if found == HEAD:  # by now
        return
    if found is None:
        _check_schema_usable(engine)
    state = (
        "has none of our tables" if found is None else f"is at {found}, this version needs {HEAD}"
    )
    raise SchemaMissing(
        "database_url",
        f"the database {state}",
        "Run: claimnotify db upgrade (or notifier.upgrade())",
    )


def _check_schema_usable(engine: Engine) -> None:
    """Make sure that tables are missing, and not the right to see them.

    Raises:
        StoreUnavailable: A user of PostgreSQL may use none of the schemas of its search path.
    """
    if engine.dialect.name != "postgresql":
        return
    with reading(engine) as connection:
        if connection.execute(text("SELECT current_schema()")).scalar() is None:
            raise StoreUnavailable(
                "database_url",
                "its user may use none of the schemas in the search path",
                "Grant USAGE on the schema that has the tables.",
            )


def upgrade(engine: Engine) -> None:
    """Create or migrate our tables. Any number of processes may do so at once: one does the work.

    Where it was broken off it goes on. Give a patient engine: a large table takes long to change.

    Raises:
        ConfigurationError: The server is too old, or set up so that leases cannot work on it, or
            it refuses a change of the tables.
        SchemaMissing: The database was made by a newer version of this package, or has our tables
            and has lost the revision that they are at.
        StoreUnavailable: The database cannot be reached.
    """
    if engine.dialect.name == "sqlite":
        _write_ahead_log(engine)
    with writing(engine) as connection, _only_one(connection):
        check_server(connection)
        if revision(connection) == HEAD and store_id(connection) is not None:
            return
        _known_revision(connection)
        _migrate(connection)
        if store_id(connection) is None:
            connection.execute(meta.insert().values(name=STORE_ID, value=IdSource()()))


def _known_revision(connection: Connection) -> str | None:
    """Return the revision the database is at, or None if there is nothing to migrate from.

    Raises:
        SchemaMissing: This version does not know the revision, or it was lost.
    """
    from alembic.script import ScriptDirectory

    tables = _has_tables(connection)  # looked at first: another process may be making them
    found = revision(connection)
    if found is None and tables:
        raise SchemaMissing(
            "database_url",
            f"the database has our tables, and the table {VERSION_TABLE} does not say of which version",
            f"Restore that table from a backup; the row of this version is {HEAD!r}.",
        )
    scripts = ScriptDirectory.from_config(_config(connection))
    if found is not None and found not in {each.revision for each in scripts.walk_revisions()}:
        raise SchemaMissing(
            "database_url",
            f"the database is at {found}, which this version does not know: it needs {HEAD}",
            "Upgrade the claimnotify package.",
        )
    return found


def _has_tables(connection: Connection) -> bool:
    """Return whether there are tables of ours that no migration in progress can have left.

    MariaDB keeps what the first migration made before it was broken off, without a revision. The
    second one, which begins with a column, comes after the first one's revision.
    """
    found = inspect(connection)
    if not commits_each_change(connection):
        return any(found.has_table(name) for name in metadata.tables)
    if not found.has_table(notifications.name):
        return False
    columns = found.get_columns(notifications.name)
    return any(each["name"] == notifications.c.ordering_key.name for each in columns)


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(_config(connection), "head")
    except CommandError as error:
        raise SchemaMissing(
            "database_url",
            f"the table {VERSION_TABLE} is not one that this version can go on from",
            "Restore that table from a backup.",
        ) from error
    except ProgrammingError as error:
        lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        raise ConfigurationError(
            "database_url",
            f"the database refuses a change of the tables: {lines[0]}",
            "Check the user's rights, and that no tables of others have our names.",
        ) from error


@contextmanager
def _only_one(connection: Connection) -> Iterator[None]:
    """Let others who want to migrate wait. SQLite's write lock, which we have, does so by itself."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    if dialect not in ("mysql", "mariadb"):
        yield
        return
    # MariaDB commits at each change of a table, so the lock is of the connection. Its name is the
    # server's, and has the database's in it.
    database = connection.execute(text("SELECT sha1(database())")).scalar_one()
    name = {"name": f"claimnotify-{database}"[:64]}
    if not connection.execute(text("SELECT GET_LOCK(:name, 60)"), name).scalar():
        raise StoreUnavailable(
            "database_url", "another process has been migrating the database for a minute"
        )
    try:
        yield
    finally:
        # With a connection that broke the server has let go of the lock.
        if not connection.invalidated:
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), name)


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _write_ahead_log(engine: Engine) -> None:
    """Switch the file to WAL, which stays; outside any transaction, as SQLite asks."""
    with reachable(), using(engine):
        raw = engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("PRAGMA journal_mode")
            if cursor.fetchone() != ("wal",):
                _switch(cursor)
        finally:
            raw.close()


def _switch(cursor: object) -> None:
    import sqlite3

    try:
        cursor.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]  # a DB-API cursor
    except sqlite3.OperationalError as error:
        # Another process switches at this moment; what it writes next, we wait for as usual.
        if "locked" not in str(error):
            raise StoreUnavailable(
                "database_url", f"the database cannot be used: {error}"
            ) from error
