"""Places of a benchmark's own: a temporary folder, databases of PostgreSQL, MariaDB and Redis.

Each is taken away at the end, also after Ctrl-C. Where the servers are is said by
CLAIMNOTIFY_TEST_POSTGRES_URL, …_MARIADB_URL and …_REDIS_URL, as for the tests.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import OperationalError

_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
_MARIADB = "mysql+pymysql://root@127.0.0.1:3306/test"
_REDIS = "redis://127.0.0.1:6379"
_OWNER = "claimnotify-benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a pipeline is deployed.

    Args:
        database: `sqlite` or `postgresql`.
        folder: For database files and logs.
        endpoints: URLs of webhook endpoints; each belongs to an owner of its own.
    """

    database: str
    folder: Path
    endpoints: Sequence[str]


class Unreachable(RuntimeError):
    """A server that a figure needs cannot be reached."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for databases, logs and sockets."""
    folder = Path(tempfile.mkdtemp(prefix="claimnotify-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_database() -> Iterator[str]:
    """Make a PostgreSQL database and give its URL (`postgresql+psycopg://…`).

    Raises:
        Unreachable: There is no server.
    """
    server = make_url(os.environ.get("CLAIMNOTIFY_TEST_POSTGRES_URL", _POSTGRES))
    name = f"claimnotify_bench_{secrets.token_hex(6)}"
    try:
        _administer(server, f'CREATE DATABASE "{name}"')
        url = server.set(drivername="postgresql+psycopg", database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        _administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def mariadb_database() -> Iterator[str]:
    """Make a MariaDB database and give its URL (`mysql+pymysql://…`).

    Raises:
        Unreachable: There is no server.
    """
    server = make_url(os.environ.get("CLAIMNOTIFY_TEST_MARIADB_URL", _MARIADB))
    name = f"claimnotify_bench_{secrets.token_hex(6)}"

    def execute(statement: str) -> None:
        engine = create_engine(server.set(drivername="mysql+pymysql"))
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(statement)
        except OperationalError as error:
            raise Unreachable(f"MariaDB: {error.orig}") from error
        finally:
            engine.dispose()

    execute(f"CREATE DATABASE {name}")
    try:
        url = server.set(drivername="mysql+pymysql", database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        execute(f"DROP DATABASE IF EXISTS {name}")


@contextmanager
def redis_database() -> Iterator[str]:
    """Claim a Redis database (1 to 15) that is empty, give its URL, and empty it at the end.

    Raises:
        Unreachable: There is no server, or it has no empty database.
    """
    server = os.environ.get("CLAIMNOTIFY_TEST_REDIS_URL", _REDIS).rstrip("/")
    for number in range(15, 0, -1):
        url = f"{server}/{number}"
        with redis.Redis.from_url(url, socket_connect_timeout=5) as client:
            if not _claimed(client):
                continue
            try:
                yield url
            finally:
                client.flushdb()  # all of it is ours: it was empty when it was claimed
            return
    raise Unreachable("none of the Redis databases 1 to 15 is empty")


def _claimed(client: redis.Redis) -> bool:
    """Take the database unless somebody keeps data in it, or a benchmark that still runs has it."""
    try:
        owner = client.get(_OWNER)
        if owner is not None and not Path("/proc", str(int(owner))).exists():
            client.flushdb()  # its benchmark was killed
        return client.dbsize() == 0 and bool(client.set(_OWNER, os.getpid(), nx=True))
    except redis.RedisError as error:
        raise Unreachable(f"Redis cannot be reached: {error}") from error


def _administer(server: URL, statement: str) -> None:
    dsn = server.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())
    except psycopg.OperationalError as error:
        raise Unreachable(f"PostgreSQL cannot be reached: {error}") from error
