"""Huey's storages, each adapted to rings: nothing is opened early, nothing waits for long."""

from __future__ import annotations

import re
from typing import Any

from huey.storage import MemoryStorage, PostgresStorage, RedisStorage

from claimnotify.dispatch.location import QueueLocation
from claimnotify.dispatch.sqlite_rings import SqliteBackend
from claimnotify.dispatch.storages import READ_SECONDS, Backend, CountedRings, RingStorage
from claimnotify.errors import ConfigurationError

__all__ = ["backend_for"]

_RING_ONCE = """
if redis.call("llen", KEYS[1]) == 0 then redis.call("lpush", KEYS[1], ARGV[1]) end
"""
_TABLE_PREFIX = "claimnotify_queue"
_SCHEMA_SECONDS = 5
_SCHEMA_LOCK = 0x636C61696D  # an arbitrary number of ours among PostgreSQL's advisory locks


def backend_for(location: QueueLocation, *, ring_timeout: float) -> Backend:
    """Return the backend at `location`. Nothing is opened.

    Args:
        location: Where the rings are.
        ring_timeout: Seconds a ring may wait for the store.

    Raises:
        ConfigurationError: If its driver is not installed, in which case it names the extra, or
            does not take an option of the URL.
    """
    match location.backend:
        case "sqlite":
            return SqliteBackend(location.target, ring_timeout=ring_timeout)
        case "redis":
            return _Redis(location.target, ring_timeout)
        case "postgresql":
            return _Postgres(location, ring_timeout)
        case "memory":
            return _Memory()


class _RedisRings(RedisStorage):  # type: ignore[misc]  # huey ships no type information
    def prepare(self) -> None:
        """Redis needs nothing."""

    def ring_once(self, data: bytes) -> None:
        """Add a message unless one waits already, in one round trip."""
        self.conn.eval(_RING_ONCE, 1, self.queue_key, data)

    def dequeue(self) -> bytes | None:
        """Take a ring; unlike Huey's, this does not take a frozen server for an empty queue."""
        found = self.conn.brpop(self.queue_key, timeout=self.read_timeout)
        return None if found is None else found[1]

    def close(self) -> None:
        self.pool.disconnect()


class _Redis:
    def __init__(self, url: str, ring_timeout: float) -> None:
        try:
            import redis  # noqa: F401  # the driver is asked for here, where the setting is known
        except ModuleNotFoundError as error:
            raise _missing("redis", "redis") from error
        _check_redis_options(url)
        self._url = url
        self._ring_timeout = ring_timeout

    def ringing(self, name: str) -> RingStorage:
        return self._storage(name, connect=self._ring_timeout, read=self._ring_timeout)

    def listening(self, name: str) -> RingStorage:
        return self._storage(name, connect=READ_SECONDS, read=2 * READ_SECONDS)

    def _storage(self, name: str, *, connect: float, read: float) -> RingStorage:
        from redis import ConnectionPool
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        pool = ConnectionPool.from_url(
            self._url,
            socket_connect_timeout=connect,
            socket_timeout=read,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),  # the driver's own retries would multiply the time-out
        )
        storage: RingStorage = _RedisRings(name, connection_pool=pool, read_timeout=READ_SECONDS)
        return storage


def _check_redis_options(url: str) -> None:
    """Make a connection without connecting it: the driver looks at a URL's options only then."""
    from redis import ConnectionPool, RedisError

    try:
        ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError, RedisError) as error:
        # The driver names an option that it does not know, in quotes, and never its value.
        named = re.search(r"'(\w+)'", str(error))
        option = f" {named[1]!r}" if named is not None else ""
        raise ConfigurationError(
            "queue_url",
            f"has an option{option} that the Redis driver does not take",
            "Correct what follows the question mark, or leave it out.",
        ) from None


class _PostgresRings(PostgresStorage, CountedRings):  # type: ignore[misc]  # huey ships no type information
    def prepare(self) -> None:
        self.initialize_schema()

    def initialize_schema(self) -> None:
        """Create the tables once, however many processes start at the same moment.

        PostgreSQL's own `IF NOT EXISTS` fails under that race, and asks for the right to create
        tables even where they exist.
        """
        if self._has_tables():
            return
        with self.db(commit=True) as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{_SCHEMA_SECONDS}s'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            cursor.execute("SELECT to_regclass(%s)", (self.table_task,))
            if cursor.fetchone()[0] is None:
                for statement in self.ddl:
                    cursor.execute(statement)

    def _has_tables(self) -> bool:
        ((found,),) = self.sql("SELECT to_regclass(%s)", (self.table_task,), results=True)
        return found is not None


class _Postgres:
    def __init__(self, location: QueueLocation, ring_timeout: float) -> None:
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as error:
            raise _missing("psycopg", "postgres") from error
        try:
            conninfo_to_dict(location.target)
        except ProgrammingError:
            raise ConfigurationError(
                "queue_url", "is not a PostgreSQL URL", "Give postgresql://user@host:port/name."
            ) from None
        self._dsn = location.target
        self._ring_timeout = ring_timeout

    def ringing(self, name: str) -> RingStorage:
        return self._storage(name, self._ring_timeout)

    def listening(self, name: str) -> RingStorage:
        return self._storage(name, READ_SECONDS)

    def _storage(self, name: str, statement_timeout: float) -> RingStorage:
        def connect() -> Any:
            import psycopg

            connection = psycopg.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=2,  # the least that libpq knows
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=5000,
            )
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false)",
                (f"{round(statement_timeout * 1000)}ms",),
            )
            return connection

        storage: RingStorage = _PostgresRings(
            name,
            connection=connect,
            read_timeout=READ_SECONDS,
            table_prefix=_TABLE_PREFIX,
            create_tables=False,
        )
        return storage


class _MemoryRings(MemoryStorage, CountedRings):  # type: ignore[misc]  # huey ships no type information
    def prepare(self) -> None:
        """Memory needs nothing."""


class _Memory:
    def __init__(self) -> None:
        self._storages: dict[str, RingStorage] = {}

    def ringing(self, name: str) -> RingStorage:
        return self._storages.setdefault(name, _MemoryRings(name))

    listening = ringing


def _missing(module: str, extra: str) -> ConfigurationError:
    return ConfigurationError(
        "queue_url", f"its driver {module} is not installed", f"Install claimnotify[{extra}]."
    )
