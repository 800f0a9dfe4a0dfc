"""The stacks that are put under fault: a database and a queue of the suite's own on each."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis, RedisError
from sqlalchemy import Engine, create_engine, inspect, make_url, text
from sqlalchemy.exc import OperationalError

from claimnotify import Notifier
from tests.ports import free_port
from tests.waiting import pause, until

__all__ = ["STACKS", "Missing", "OwnRedis", "Stack", "open_stack"]

STACKS = ("sqlite", "postgresql", "mariadb")

_SERVERS = {
    "postgresql": (
        "CLAIMNOTIFY_TEST_POSTGRES_URL",
        "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    ),
    "mariadb": ("CLAIMNOTIFY_TEST_MARIADB_URL", "mysql+pymysql://root@127.0.0.1:3306/mysql"),
}
_MIGRATIONS = ("claimnotify_alembic_version",)
_DATABASE, _TEMPLATE = "claimnotify.db", "template.sqlite"
_OTHERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mariadb": "SELECT id FROM information_schema.processlist"
    " WHERE db = database() AND id <> connection_id()",
}
_WRITING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND state IN ('active', 'idle in transaction')",
    "mariadb": "SELECT count(*) FROM information_schema.innodb_trx t"
    " JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
    " WHERE p.db = database() AND p.id <> connection_id()",
}
_REFRESHED = 0.15
"""InnoDB tells anew what transactions there are when nobody has asked for a tenth of a second."""
_END = {"postgresql": "SELECT pg_terminate_backend({:d})", "mariadb": "KILL {:d}"}
_KEY = "a-key-for-the-fault-suite-of-32-characters"


class Missing(Exception):
    """A service that the stack needs cannot be reached."""


class OwnRedis:
    """A Redis server that nobody else uses, so that it may be emptied and killed."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise Missing("redis-server is not installed")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._command += ["--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, if it is not running; it begins empty."""
        if self._process is not None and self._process.poll() is None:
            return
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=quiet)
        until(self._answers, "Redis answers", seconds=10.0)

    def kill(self) -> None:
        """End it at once, with all it knows."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def flush(self) -> None:
        """Make it forget everything."""
        with Redis.from_url(self.url) as client:
            client.flushall()

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One place to run in.

    Args:
        name: One of `STACKS`.
        folder: Where its files are.
        url: The database.
        queue_url: The queue.
        redis: The server of the queue, if it is Redis.
        engine: A way into the database that no fault touches, to observe with: one connection.
    """

    name: str
    folder: Path
    url: str
    queue_url: str
    redis: OwnRedis | None
    engine: Engine

    @property
    def settings(self) -> dict[str, str]:
        """What a notifier needs to be on this stack."""
        return {"database_url": self.url, "queue_url": self.queue_url, "secret_keys": _KEY}

    def count(self, condition: str) -> int:
        """Return how many deliveries meet an SQL condition."""
        return int(
            self.rows(f"SELECT count(*) FROM claimnotify_deliveries WHERE {condition}")[0][0]
        )

    def rows(self, query: str) -> list[Any]:
        """Return what a query finds."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(query)).all())

    def in_transaction(self) -> bool:
        """Return whether somebody is in the middle of writing."""
        if self.name == "mariadb":
            pause(_REFRESHED)
        if self.name != "sqlite":
            return bool(self.rows(_WRITING[self.name])[0][0])
        with closing(sqlite3.connect(self.folder / _DATABASE, timeout=0.05)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.rollback()
            return False

    def drop_connections(self) -> int:
        """End every connection to the database but the observer's; return how many there were."""
        with self.engine.connect() as connection:
            others = connection.execute(text(_OTHERS[self.name])).scalars().all()
            for number in others:
                try:
                    connection.execute(text(_END[self.name].format(number)))
                except OperationalError as error:
                    if "Unknown thread id" not in str(error):  # else it has ended by itself
                        raise
        return len(others)

    def reset(self) -> None:
        """Begin anew: no row, no ring, nobody connected."""
        if self.redis is None:
            self.engine.dispose()
            for each in self.folder.glob("*.db*"):
                each.unlink()
            shutil.copy(self.folder / _TEMPLATE, self.folder / _DATABASE)
            return
        self.redis.start()
        self.redis.flush()
        self.drop_connections()
        tables = [
            name for name in inspect(self.engine).get_table_names() if name not in _MIGRATIONS
        ]
        with self.engine.connect() as connection:
            connection.execute(text("DELETE FROM claimnotify_meta WHERE name <> 'store_id'"))
            tables.remove("claimnotify_meta")
            if self.name == "postgresql":
                connection.execute(text(f"TRUNCATE {', '.join(tables)}"))
                return
            connection.execute(text("SET foreign_key_checks = 0"))
            for name in tables:
                connection.execute(text(f"DELETE FROM {name}"))
            connection.execute(text("SET foreign_key_checks = 1"))


@contextmanager
def open_stack(name: str, folder: Path) -> Iterator[Stack]:
    """Make what the stack `name` needs, with its tables, and take it away at the end.

    Args:
        name: One of `STACKS`.
        folder: An empty folder.

    Raises:
        Missing: A server cannot be reached.
    """
    with ExitStack() as cleanup:
        if name == "sqlite":
            redis = None
            url, queue = f"sqlite:///{folder / _DATABASE}", f"sqlite:///{folder / 'queue.db'}"
            _migrate(f"sqlite:///{folder / _TEMPLATE}")
        else:
            redis = OwnRedis(folder)
            cleanup.callback(redis.kill)
            url, queue = cleanup.enter_context(_own_database(name)), redis.url
            _migrate(url)
        engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0)
        cleanup.callback(engine.dispose)
        stack = Stack(
            name=name, folder=folder, url=url, queue_url=queue, redis=redis, engine=engine
        )
        yield stack


def _migrate(url: str) -> None:
    with Notifier.from_settings(
        database_url=url, queue_url="memory://", secret_keys=_KEY
    ) as notifier:
        notifier.upgrade()


@contextmanager
def _own_database(name: str) -> Iterator[str]:
    variable, default = _SERVERS[name]
    server = make_url(os.environ.get(variable, default))
    engine = create_engine(
        server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5}
    )
    own = f"claimnotify_faults_{secrets.token_hex(6)}"
    drop = f"DROP DATABASE {own}" + (" WITH (FORCE)" if name == "postgresql" else "")
    try:
        try:
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {own}"))
        except OperationalError as error:
            raise Missing(f"{name} cannot be reached: {error.orig}") from error
        yield server.set(database=own).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(text(drop))
    finally:
        engine.dispose()
