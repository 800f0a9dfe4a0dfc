"""Leases deliveries with what sending them needs, within rate limits and in their order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row

from claimnotify.policy.rates import RateLimit, channel_limit
from claimnotify.ports import Lease, Work
from claimnotify.store.cancelling import end_called_back
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.leasing import Lapsed, Leases
from claimnotify.store.loading import works_of
from claimnotify.store.ordering import out_of_turn, park_out_of_turn
from claimnotify.store.rates import open_buckets
from claimnotify.store.tables import deliveries
from claimnotify.store.transactions import in_transaction, reading

__all__ = ["WorkLeases"]


class WorkLeases:
    """Leases of deliveries. See `claimnotify.ports.WorkQueue`, whose part of leasing this is.

    Args:
        engine: The database.
        lease_engine: For what may be forgotten if the server crashes.
        leases: The leasing of the table of deliveries.
        clock: The one clock.
        new_id: Makes ids that sort by time.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lease_engine: Engine,
        leases: Leases,
        clock: DatabaseClock,
        new_id: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._lease_engine = lease_engine
        self._leases = leases
        self._clock = clock
        self._new_id = new_id
        self._by_statement = engine.dialect.name == "postgresql"
        self._look_next: set[str] = set()

    def lease(
        self,
        queue: str,
        *,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int],
        rates: Mapping[str, RateLimit],
    ) -> Lease | None:
        """Lease due deliveries and load what sending them needs."""
        remembered = self._leases.knows_due(queue, self._clock.now(), room)
        if not remembered:
            if lease := self._first(queue, limit, duration, room, rates):
                return lease
            if not self._look(queue, room):
                return None
        lease = self._lease(queue, limit, duration, room, rates)
        if lease is None and remembered and self._look(queue, room):
            # What was remembered others have taken meanwhile; but there is something else.
            lease = self._lease(queue, limit, duration, room, rates)
        return lease

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> Lease | None:
        """Lease deliveries whose lease ran out."""
        with reading(self._engine) as connection:
            now = self._clock.now(connection)
            if not self._leases.has_lapsed(connection, queue, now, duration):
                return None
        token = self._new_id()

        def leased(connection: Connection) -> Lapsed:
            return self._leases.lease_lapsed(
                connection,
                queue=queue,
                token=token,
                now=self._clock.now(connection),
                limit=limit,
                duration=duration,
                alone=alone,
            )

        lapsed = in_transaction(self._lease_engine, leased)
        # Its worker may have died before it had parked what was not in turn.
        works = self._to_send(lapsed.rows, token)
        return Lease(
            token=token,
            works=works,
            poisoned=lapsed.poisoned and bool(works),
            alone=lapsed.alone and bool(works),
            alone_wait=lapsed.alone_wait,
        )

    def _first(
        self,
        queue: str,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int],
        rates: Mapping[str, RateLimit],
    ) -> Lease | None:
        """Lease from the first lane with some due, without a look: when little is due it is the only one.

        Whether others wait is found out by a look that comes next.
        """
        most = min([limit, *room.values()])  # whichever kind the lane is of
        idle = self._by_statement and not rates and self._leases.is_idle(queue, self._clock.now())
        if queue in self._look_next or not idle or most < 1:
            return None
        token = self._new_id()
        with reading(self._lease_engine) as connection:
            rows = self._leases.lease_first(
                connection,
                deliveries.c.notification_id,
                queue=queue,
                token=token,
                now=self._clock.now(connection),
                limit=most,
                duration=duration,
            )
            if not rows:
                return None
            self._look_next.add(queue)
            works, late = self._works(connection, rows)
        return Lease(token=token, works=works + self._after_all(late, token), more=None)

    def _lease(
        self,
        queue: str,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int],
        rates: Mapping[str, RateLimit],
    ) -> Lease | None:
        token = self._new_id()

        def leased(connection: Connection) -> Sequence[Row[Any]]:
            return self._lease_rows(connection, queue, token, limit, duration, room, rates)

        rows: Sequence[Row[Any]] = ()
        at_once = self._by_statement and not rates
        if not at_once:
            rows = in_transaction(self._lease_engine, leased)
        with reading(self._lease_engine) as connection:
            if at_once:
                # Each statement is a lease by itself, so that going to and fro is all it costs.
                rows = leased(connection)
            if not rows:
                return None
            # After the commit, so that nobody waits meanwhile for the locks.
            works, late = self._works(connection, rows)
        works += self._after_all(late, token)
        more = self._leases.knows_due(queue, self._clock.now(), room)
        return Lease(token=token, works=works, more=more, taken=_taken(rows, rates))

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
        limits = {channel_limit(channel): rate for channel, rate in rates.items()}
        buckets = open_buckets(connection, "", limits, now)
        left = dict(room)
        for channel in rates:
            bucket = buckets[channel_limit(channel)]
            left[channel] = min(bucket.allowed, room.get(channel, limit))
            if not bucket.allowed:
                self._leases.rest(queue, channel, now, bucket.next_at - now)
        rows = self._leases.lease(
            connection,
            queue=queue,
            token=token,
            now=now,
            limit=limit,
            duration=duration,
            room=left,
        )
        for channel, count in _taken(rows, rates).items():
            buckets[channel_limit(channel)].take(connection, count)
        return rows

    def _to_send(self, rows: Sequence[Row[Any]], token: str) -> list[Work]:
        """Return what is to be sent of rows just leased."""
        if not rows:
            return []
        with reading(self._lease_engine) as connection:
            works, late = self._works(connection, rows)
        return works + self._after_all(late, token)

    def _works(
        self, connection: Connection, rows: Sequence[Row[Any]]
    ) -> tuple[list[Work], Mapping[str, Row[Any]]]:
        """Return what is to be sent of rows just leased, and by id what seems to be out of turn."""
        back: set[str] = set()
        if any(row.cancel_requested for row in rows):
            back = in_transaction(
                self._lease_engine,
                lambda own: end_called_back(own, rows, self._clock.now(own)),
            )
        left = [row for row in rows if row.id not in back]
        late = out_of_turn(connection, [row for row in left if row.order_key is not None])
        return works_of(connection, [row for row in left if row.id not in late]), late

    def _look(self, queue: str, room: Mapping[str, int]) -> bool:
        """Return whether there is something to lease; on SQLite that spares the write lock."""
        self._look_next.discard(queue)
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


def _taken(rows: Sequence[Row[Any]], rates: Mapping[str, RateLimit]) -> Mapping[str, int]:
    """Return by channel how many of the rows are under its rate limit."""
    return Counter(row.channel for row in rows if row.channel in rates)
