"""The work queue: leases deliveries with what sending needs, and records what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, or_, select

from claimnotify.policy.breaker import BreakerPolicy, Trouble
from claimnotify.policy.rates import RateLimit
from claimnotify.ports import Lease, Outcome, Recorded, Work
from claimnotify.store.breakers import Breakers
from claimnotify.store.cancelling import end_called_back
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.leasing import Leases
from claimnotify.store.loading import works_of
from claimnotify.store.ordering import out_of_turn, park_out_of_turn
from claimnotify.store.rates import open_buckets
from claimnotify.store.recording import Recorder
from claimnotify.store.tables import deliveries
from claimnotify.store.transactions import in_transaction, reading

__all__ = ["SqlWorkQueue"]


class SqlWorkQueue:
    """Leases and outcomes of deliveries. See `claimnotify.ports.WorkQueue`.

    Args:
        engine: The database.
        lease_engine: For what may be forgotten if the server crashes; the same unless given.
        clock: The one clock.
        new_id: Makes ids that sort by time.
        breaker: When to stop sending to what keeps failing.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lease_engine: Engine | None = None,
        clock: DatabaseClock,
        new_id: Callable[[], str],
        breaker: BreakerPolicy | None = None,
    ) -> None:
        self._engine = engine
        self._lease_engine = lease_engine or engine
        self._clock = clock
        self._new_id = new_id
        self._leases = Leases(deliveries)
        self.breakers = Breakers(breaker or BreakerPolicy())
        self._recorder = Recorder(self.breakers, new_id=new_id)

    def lease(
        self,
        queue: str,
        *,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int] | None = None,
        rates: Mapping[str, RateLimit] | None = None,
    ) -> Lease | None:
        """Lease due deliveries in one transaction and load what sending them needs."""
        room = room or {}
        now = self._clock.now()
        remembered = self._leases.knows_due(queue, now, room)
        if not remembered and not self._look(queue, room):
            return None
        lease = self._lease(queue, limit, duration, room, rates or {})
        if lease is None and remembered and self._look(queue, room):
            # What was remembered others have taken meanwhile; but there is something else.
            lease = self._lease(queue, limit, duration, room, rates or {})
        return lease

    def _lease(
        self,
        queue: str,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int],
        rates: Mapping[str, RateLimit],
    ) -> Lease | None:
        token = self._new_id()

        def leased(connection: Connection) -> tuple[list[Work], Mapping[str, Row[Any]]] | None:
            rows = self._lease_rows(connection, queue, token, limit, duration, room, rates)
            if not rows:
                return None
            back = end_called_back(connection, rows, self._clock.now(connection))
            rows = [row for row in rows if row.id not in back]
            late = out_of_turn(connection, [row for row in rows if row.order_key is not None])
            return works_of(connection, [row for row in rows if row.id not in late]), late

        found = in_transaction(self._lease_engine, leased)
        if found is None:
            return None
        works, late = found
        works += self._after_all(late, token)
        more = self._leases.knows_due(queue, self._clock.now(), room)
        return Lease(token=token, works=works, more=more)

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> Lease | None:
        """Lease deliveries whose lease ran out."""
        with reading(self._engine) as connection:
            now = self._clock.now(connection)
            if not self._leases.has_lapsed(connection, queue, now, duration):
                return None
        token = self._new_id()

        def leased(connection: Connection) -> Lease:
            now = self._clock.now(connection)
            lapsed = self._leases.lease_lapsed(
                connection,
                queue=queue,
                token=token,
                now=now,
                limit=limit,
                duration=duration,
                alone=alone,
            )
            back = end_called_back(connection, lapsed.rows, now)
            rows = [row for row in lapsed.rows if row.id not in back]
            return Lease(
                token=token,
                works=works_of(connection, rows),
                poisoned=lapsed.poisoned and bool(rows),
                alone=lapsed.alone and bool(rows),
                alone_wait=lapsed.alone_wait,
            )

        return in_transaction(self._lease_engine, leased)

    def _lease_rows(
        self,
        connection: Connection,
        queue: str,
        token: str,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int],
        rates: Mapping[str, RateLimit],
    ) -> Sequence[Row[Any]]:
        """Lease as many as there is room for and rates allow, and take those from the rates."""
        now = self._clock.now(connection)
        limits = {f"channel:{channel}": rate for channel, rate in rates.items()}
        buckets = {
            name.partition(":")[2]: bucket
            for name, bucket in open_buckets(connection, "", limits, now).items()
        }
        left = dict(room)
        for channel, bucket in buckets.items():
            left[channel] = min(bucket.allowed, room.get(channel, limit))
            if not bucket.allowed:
                self._leases.rest(queue, channel, bucket.next_at)
        rows = self._leases.lease(
            connection,
            queue=queue,
            token=token,
            now=now,
            limit=limit,
            duration=duration,
            room=left,
        )
        for channel, bucket in buckets.items():
            bucket.take(connection, sum(row.channel == channel for row in rows))
        return rows

    def _look(self, queue: str, room: Mapping[str, int]) -> bool:
        """Return whether there is something to lease; on SQLite that spares the write lock."""
        with reading(self._engine) as connection:
            return self._leases.look(connection, queue, self._clock.now(connection), room)

    def _after_all(self, late: Mapping[str, Row[Any]], token: str) -> list[Work]:
        """Park what was leased before its turn; return what turns out to be in turn by now."""
        streams: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in late.values():
            streams[row.order_key].append(row)
        works: list[Work] = []
        for rows in streams.values():

            def in_turn(connection: Connection, rows: Sequence[Row[Any]] = rows) -> list[Work]:
                parked = park_out_of_turn(connection, rows, token, self._clock.now(connection))
                return works_of(connection, [row for row in rows if row.id not in parked])

            works += in_transaction(self._engine, in_turn)
        return works

    def renew(self, token: str, delivery_ids: Collection[str], *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""

        def renewed(connection: Connection) -> None:
            self._leases.renew(
                connection,
                token=token,
                ids=delivery_ids,
                now=self._clock.now(connection),
                duration=duration,
            )

        in_transaction(self._lease_engine, renewed)

    def keep_content(self, token: str, contents: Mapping[str, str]) -> None:
        """Keep rendered content by delivery id, on rows that still carry `token`."""
        if not contents:
            return
        statement = (
            deliveries.update()
            .where(deliveries.c.id == bindparam("row_id"), deliveries.c.lease_token == token)
            .values(content=bindparam("new_content"))
        )
        rows = [{"row_id": key, "new_content": text} for key, text in contents.items()]
        in_transaction(self._engine, lambda connection: connection.execute(statement, rows))

    def record(self, outcomes: Sequence[Outcome]) -> Recorded:
        """Write outcomes of rows still held and attempts of all, in one transaction."""
        return in_transaction(
            self._engine,
            lambda connection: self._recorder.record(
                connection, outcomes, self._clock.now(connection)
            ),
        )

    def troubles(self) -> Mapping[str, Trouble]:
        """Return what has failed of late, by the breaker's name."""
        if self.breakers.stale:
            with reading(self._engine) as connection:
                self.breakers.read(connection)
        return self.breakers.known

    def release(self) -> int:
        """Let parked deliveries go whose breaker has closed, or of which one is to be tried."""
        if not self.troubles():
            return 0
        return in_transaction(
            self._engine,
            lambda connection: self.breakers.release(connection, self._clock.now(connection)),
        )

    def take(self, tenant: str, wanted: Mapping[str, tuple[RateLimit, int]]) -> Mapping[str, int]:
        """Take sends from rate limits; return by name how many are allowed now."""
        limits = {name: limit for name, (limit, _) in wanted.items()}

        def taken(connection: Connection) -> dict[str, int]:
            buckets = open_buckets(connection, tenant, limits, self._clock.now(connection))
            granted = {name: min(wanted[name][1], each.allowed) for name, each in buckets.items()}
            for name, bucket in buckets.items():
                bucket.take(connection, granted[name])
            return granted

        return in_transaction(self._engine, taken)

    def next_due(self, queue: str, *, room: Mapping[str, int] | None = None) -> datetime | None:
        """Return when the next delivery of `queue` is to be looked at, or None."""
        with reading(self._engine) as connection:
            return self._leases.next_due(connection, queue, room or {})

    def counts(self, tenant: str | None = None) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished deliveries there are by (queue, status, reason)."""
        columns = deliveries.c
        query = (
            select(columns.queue, columns.status, columns.reason, func.count())
            .where(or_(columns.lane.is_not(None), columns.lease_until.is_not(None)))
            .group_by(columns.queue, columns.status, columns.reason)
        )
        if tenant is not None:
            query = query.where(columns.tenant == tenant)
        with reading(self._engine) as connection:
            return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}
