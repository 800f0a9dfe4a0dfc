"""The one clock: the database's time plus an offset that only tests set, in the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, func, literal, select

from claimnotify.store.tables import meta
from claimnotify.store.transactions import reading, writing
from claimnotify.store.types import UtcDateTime

__all__ = ["OFFSET", "DatabaseClock"]

OFFSET = "clock_offset_us"
"""The row of the meta table with the tests' offset in microseconds."""


class DatabaseClock:
    """Reads the database's time once a second and counts on with the monotonic clock between.

    So every process agrees, a step of the host's clock changes nothing, and asking is cheap. On
    SQLite, which has no time of its own, the host's clock is what is read.

    Args:
        engine: The database.
        monotonic: Seconds that never go back.
        host: The host's time, aware; used for SQLite.
        max_age: Seconds for which a reading is counted on.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        host: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_age: float = 1.0,
    ) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._host = host
        self._max_age = max_age
        self._last: tuple[float, datetime] | None = None

    def now(self, connection: Connection | None = None) -> datetime:
        """Return the time, aware, in UTC.

        Args:
            connection: A connection in hand, to read the database's time over.

        Raises:
            StoreUnavailable: The time had to be read and the database cannot be reached.
        """
        last = self._last
        if last is None or self._monotonic() - last[0] > self._max_age:
            last = self._read(connection)
        return last[1] + timedelta(seconds=self._monotonic() - last[0])

    def estimate(self) -> datetime:
        """Return the time counted on from the last reading, however old; no I/O, for event loops."""
        last = self._last
        if last is None:
            return self._host()
        return last[1] + timedelta(seconds=self._monotonic() - last[0])

    def ahead(self) -> timedelta:
        """Return how far it is ahead of the host's clock, which ids are made by; below zero: behind."""
        return self.now() - self._host()

    def shift(self, by: timedelta) -> None:
        """Move the clock of every process on this database; for tests."""
        with writing(self._engine) as connection:
            row = connection.execute(select(meta.c.value).where(meta.c.name == OFFSET)).scalar()
            total = int(row or 0) + by // timedelta(microseconds=1)
            if row is None:
                connection.execute(meta.insert().values(name=OFFSET, value=str(total)))
            else:
                connection.execute(
                    meta.update().where(meta.c.name == OFFSET).values(value=str(total))
                )
        self._read(None)

    def _read(self, connection: Connection | None) -> tuple[float, datetime]:
        if connection is not None:
            fetched = self._fetch(connection)
        else:
            with reading(self._engine) as own:
                fetched = self._fetch(own)
        self._last = (self._monotonic(), fetched)
        return self._last

    def _fetch(self, connection: Connection) -> datetime:
        offset = select(meta.c.value).where(meta.c.name == OFFSET).scalar_subquery()
        if connection.dialect.name == "sqlite":
            value = connection.execute(select(offset)).scalar()
            base = self._host()
        else:
            now = func.clock_timestamp(type_=UtcDateTime) if connection.dialect.name == "postgresql" else func.utc_timestamp(literal(6), type_=UtcDateTime)  # fmt: skip
            base, value = connection.execute(select(now, offset)).one()
        return base + timedelta(microseconds=int(value or 0))
