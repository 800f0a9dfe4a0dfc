"""Finds the services that tests can use: skipped where absent, failed where they are required.

`CLAIMNOTIFY_REQUIRE_SERVICES=1` turns a missing service into a failure. Where a service is looked
for is said by `CLAIMNOTIFY_TEST_POSTGRES_URL`, `CLAIMNOTIFY_TEST_MARIADB_URL` and
`CLAIMNOTIFY_TEST_REDIS_URL`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from psycopg import Connection
    from redis import Redis

pytest_plugins = ("tests.running",)

# Tests talk to loopback only: names are not looked up when endpoints are registered, unless a test says so.
os.environ.setdefault("CLAIMNOTIFY_WEBHOOK_CHECK_DNS", "false")

_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
_MARIADB = "mysql+pymysql://root@127.0.0.1:3306/mysql"
_REDIS = "redis://127.0.0.1:6379"
_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"
_REDIS_DATABASES = range(1, 16)
_REDIS_OWNER = "claimnotify-test-session"


def _missing(service: str, error: Exception) -> NoReturn:
    """End the test: as failed where services are required, else as skipped."""
    text = f"{service} cannot be reached: {error}"
    if os.environ.get("CLAIMNOTIFY_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{text} (CLAIMNOTIFY_REQUIRE_SERVICES=1)", pytrace=False)
    pytest.skip(text)


@contextmanager
def _own_postgres() -> Iterator[str]:
    """Make a PostgreSQL database, and drop it at the end."""
    import psycopg
    from sqlalchemy import URL, make_url

    server = make_url(os.environ.get("CLAIMNOTIFY_TEST_POSTGRES_URL", _POSTGRES))
    name = f"claimnotify_test_{secrets.token_hex(6)}"

    def connect(url: URL) -> psycopg.Connection:
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(dsn, autocommit=True, connect_timeout=5)

    try:
        connection = connect(server)
    except psycopg.OperationalError as error:
        _missing("PostgreSQL", error)
    with connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    yield server.set(drivername="postgresql+psycopg", database=name).render_as_string(
        hide_password=False
    )
    with connect(server) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextmanager
def _alone_in_postgres(database: str) -> Iterator[Connection]:
    """Connect to a database from which everybody else is disconnected."""
    import psycopg

    dsn = database.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        yield connection


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """The URL of a PostgreSQL database made for this session and dropped after it."""
    with _own_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_database: str) -> str:
    """The URL of an empty PostgreSQL database (`postgresql+psycopg://…`); nobody is connected."""
    with _alone_in_postgres(postgres_database) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_database


@pytest.fixture(scope="session")
def postgres_database_with_tables() -> Iterator[str]:
    """As `postgres_database`, and another one."""
    with _own_postgres() as url:
        yield url


@pytest.fixture
def postgres_ready_url(postgres_database_with_tables: str) -> str:
    """The URL of a PostgreSQL database that has our tables, without a row; nobody is connected."""
    from tests import tables

    with _alone_in_postgres(postgres_database_with_tables) as connection:
        made = tables.empty_postgres(connection)
    if not made:
        tables.make(postgres_database_with_tables)
    return postgres_database_with_tables


@pytest.fixture(scope="session")
def mariadb_database() -> Iterator[str]:
    """The URL of a MariaDB database made for this session and dropped after it."""
    import pymysql
    from sqlalchemy import make_url

    server = make_url(os.environ.get("CLAIMNOTIFY_TEST_MARIADB_URL", _MARIADB))
    name = f"claimnotify_test_{secrets.token_hex(6)}"

    def execute(statement: str) -> None:
        connection = pymysql.connect(
            host=server.host,
            port=server.port or 3306,
            user=server.username,
            password=server.password or "",
            autocommit=True,
            connect_timeout=5,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    try:
        # Ours must not depend on the character set that a database happens to have.
        execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
    except pymysql.err.OperationalError as error:
        _missing("MariaDB", error)
    yield server.set(drivername="mysql+pymysql", database=name).render_as_string(
        hide_password=False
    )
    execute(f"DROP DATABASE {name}")


@pytest.fixture
def mariadb_url(mariadb_database: str) -> str:
    """The URL of a MariaDB database (`mysql+pymysql://…`) without a row; nobody is connected.

    Making the tables takes MariaDB over a second, so those of an earlier test are kept.
    """
    from sqlalchemy import create_engine, inspect, text

    engine = create_engine(mariadb_database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        others = connection.execute(
            text(
                "SELECT id FROM information_schema.processlist"
                " WHERE db = database() AND id <> connection_id()"
            )
        )
        for (number,) in others.all():
            connection.execute(text(f"KILL {number:d}"))
        connection.execute(text("SET foreign_key_checks = 0"))
        for name in inspect(connection).get_table_names():
            if name not in ("claimnotify_meta", "claimnotify_alembic_version"):
                connection.execute(text(f"DELETE FROM `{name}`"))
            elif name == "claimnotify_meta":
                connection.execute(text(f"DELETE FROM `{name}` WHERE name <> 'store_id'"))
    engine.dispose()
    return mariadb_database


@pytest.fixture
def mariadb_empty_url(mariadb_url: str) -> str:
    """The URL of a MariaDB database without a table."""
    from sqlalchemy import create_engine, make_url, text

    engine = create_engine(mariadb_url, isolation_level="AUTOCOMMIT")
    name = make_url(mariadb_url).database
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE `{name}`"))
        connection.execute(text(f"CREATE DATABASE `{name}` CHARACTER SET latin1"))
    engine.dispose()
    return mariadb_url


@pytest.fixture(scope="session")
def redis_database() -> Iterator[str]:
    """The URL of a Redis database that was empty and is ours for this session.

    A database that somebody keeps data in is never taken, unless a session of ours that has died
    left the data there.
    """
    import redis

    server = os.environ.get("CLAIMNOTIFY_TEST_REDIS_URL", _REDIS).rstrip("/")
    try:
        redis.Redis.from_url(server, socket_connect_timeout=5).ping()
    except redis.RedisError as error:
        _missing("Redis", error)
    for number in _REDIS_DATABASES:
        url = f"{server}/{number}"
        with redis.Redis.from_url(url) as client:
            _reclaim(client)
            if client.dbsize() == 0 and client.set(_REDIS_OWNER, os.getpid(), nx=True):
                yield url
                client.flushdb()
                return
    _missing("Redis", RuntimeError("none of its databases 1 to 15 is empty"))


def _reclaim(client: Redis) -> None:
    """Empty the database if the session that owned it is no more."""
    owner = client.get(_REDIS_OWNER)
    if owner is None:
        return
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        client.flushdb()
    except PermissionError:
        pass  # alive, and somebody else's


@pytest.fixture
def redis_url(redis_database: str) -> str:
    """The URL of a Redis database (`redis://…/n`) that is empty but for a mark of ownership."""
    import redis

    with redis.Redis.from_url(redis_database) as client, client.pipeline() as pipeline:
        pipeline.flushdb()
        pipeline.set(_REDIS_OWNER, os.getpid())
        pipeline.execute()
    return redis_database


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """The URL of a RabbitMQ virtual host; who uses it deletes its queues. Never required."""
    from kombu import Connection
    from kombu.exceptions import OperationalError

    url = os.environ.get("CLAIMNOTIFY_TEST_RABBITMQ_URL", _RABBITMQ)
    try:
        with Connection(url, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=0)
    except OperationalError as error:
        pytest.skip(f"RabbitMQ cannot be reached: {error}")
    return url


@pytest.fixture
def verdicts_in_javascript() -> Callable[..., Any]:
    """Asks the libraries from npm about deliveries. See `tests.javascript`."""
    from tests.javascript import NoJavaScript, verdicts

    def ask(*arguments: Any) -> Any:
        try:
            return verdicts(*arguments)
        except NoJavaScript as error:
            _missing("npm's webhook libraries", error)

    return ask


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'claimnotify.db'}"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that has our tables; it is copied and not opened again."""
    from tests import tables

    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    tables.make(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_ready_url(sqlite_url: str, sqlite_template: Path) -> str:
    """The URL of a SQLite file that has our tables, without a row."""
    from tests import tables

    tables.copy_sqlite(sqlite_template, Path(sqlite_url.removeprefix("sqlite:///")))
    return sqlite_url


_DATABASES = {
    "sqlite": "sqlite_ready_url",
    "postgresql": "postgres_ready_url",
    "mariadb": "mariadb_url",
}


@pytest.fixture(params=list(_DATABASES))
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without a row: SQLite, PostgreSQL, MariaDB.

    It may have our tables: making them for each test would take longer than most tests do.
    """
    return request.getfixturevalue(_DATABASES[request.param])


@pytest.fixture(scope="session")
def data_homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder under which each test gets a data folder of its own."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, data_homes: Path) -> None:
    """Keep a developer's own settings and data out of every test."""
    conventional = ("SMTP_", "TWILIO_", "NOTIFICATIONS_")
    kept = ("CLAIMNOTIFY_REQUIRE_", "CLAIMNOTIFY_TEST_")
    for name in tuple(os.environ):
        if name.startswith(("CLAIMNOTIFY_", *conventional)) and not name.startswith(kept):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(data_homes / secrets.token_hex(8)))
