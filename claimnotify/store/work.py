"""The work queue: leases deliveries with what sending needs, and records what became of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, bindparam, func, or_, select

from claimnotify.model.notices import EndpointNotice
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import Reason
from claimnotify.policy.breaker import BreakerPolicy, Trouble
from claimnotify.policy.rates import RateLimit
from claimnotify.policy.streaks import StreakPolicy
from claimnotify.ports import Lease, Outcome, Recorded
from claimnotify.store.breakers import Breakers
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.failing import FailingEndpoints, notices
from claimnotify.store.leasing import Leases
from claimnotify.store.rates import open_buckets
from claimnotify.store.recalling import recall
from claimnotify.store.recording import Recorder
from claimnotify.store.recording_few import are_few, record_few
from claimnotify.store.releasing import release
from claimnotify.store.tables import deliveries
from claimnotify.store.taking import WorkLeases
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
        streaks: When an endpoint that keeps failing is told of and disabled.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lease_engine: Engine | None = None,
        clock: DatabaseClock,
        new_id: Callable[[], str],
        breaker: BreakerPolicy | None = None,
        streaks: StreakPolicy | None = None,
    ) -> None:
        self._engine = engine
        self._lease_engine = lease_engine or engine
        self._clock = clock
        self._by_statement = engine.dialect.name == "postgresql"
        self._leases = Leases(deliveries)
        self._taking = WorkLeases(
            engine,
            lease_engine=self._lease_engine,
            leases=self._leases,
            clock=clock,
            new_id=new_id,
        )
        streaks = streaks or StreakPolicy()
        self.breakers = Breakers(breaker or BreakerPolicy(), streaks)
        failing = FailingEndpoints(self.breakers, streaks, new_id=new_id)
        self._recorder = Recorder(self.breakers, failing, new_id=new_id)

    def lease(
        self,
        queue: str,
        *,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int] | None = None,
        rates: Mapping[str, RateLimit] | None = None,
    ) -> Lease | None:
        """Lease due deliveries and load what sending them needs."""
        return self._taking.lease(
            queue, limit=limit, duration=duration, room=room or {}, rates=rates or {}
        )

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> Lease | None:
        """Lease deliveries whose lease ran out."""
        return self._taking.lease_lapsed(queue, limit=limit, duration=duration, alone=alone)

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
            .where(deliveries.c.reason != Reason.EXPUNGED)
            .values(content=bindparam("new_content"))
        )
        rows = [{"row_id": key, "new_content": text} for key, text in contents.items()]
        in_transaction(self._engine, lambda connection: connection.execute(statement, rows))

    def record(self, outcomes: Sequence[Outcome]) -> Recorded:
        """Write outcomes of rows still held and attempts of all, in one transaction."""
        # A success that nobody was known to wait for would end no streak of failures. This is read
        # once a second in any case.
        self.troubles()
        left = outcomes
        if self._by_statement and are_few(outcomes) and self.breakers.are_still(outcomes):
            with reading(self._engine) as connection:
                now = self._clock.now(connection)
                left = record_few(connection, outcomes, now)
            if not left:
                return Recorded()
        made = self._recorder.attempts_of(left)
        return in_transaction(
            self._engine,
            lambda connection: self._recorder.record(
                connection, left, made, self._clock.now(connection)
            ),
        )

    def troubles(self) -> Mapping[str, Trouble]:
        """Return what has failed of late, by the breaker's name."""
        if self.breakers.known.stale:
            with reading(self._engine) as connection:
                self.breakers.known.read(connection)
        return self.breakers.known.troubles

    def trouble(self, tenant: str, endpoint_id: str) -> Trouble:
        """Return what is known of one endpoint's failures, as it is now."""
        with reading(self._engine) as connection:
            return self.breakers.read_one(connection, tenant, endpoint_id)

    def notices(self, *, limit: int, after: str = "") -> Sequence[EndpointNotice]:
        """Return what is still to be told of endpoints, oldest first."""
        with reading(self._engine) as connection:
            return notices(connection, limit=limit, after=after)

    def release(self) -> int:
        """Let parked deliveries go whose breaker has closed, or of which one is to be tried."""
        if not self.troubles():
            return 0
        if self.breakers.forgets:
            in_transaction(
                self._engine,
                lambda connection: self.breakers.forget(connection, self._clock.now(connection)),
            )
        return in_transaction(
            self._engine,
            lambda connection: release(connection, self._clock.now(connection)),
        )

    def recall(self, queue: str, delivery: Delivery, *, limit: int) -> int:
        """Make some of `queue` due that wait as the endpoint was busy: it answers promptly now."""
        return in_transaction(
            self._engine,
            lambda connection: recall(
                connection, queue, delivery, limit=limit, now=self._clock.now(connection)
            ),
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

    def put_back(self, tenant: str, unused: Mapping[str, tuple[RateLimit, int]]) -> None:
        """Put back what was taken from rate limits and is not sent."""
        limits = {name: limit for name, (limit, _) in unused.items()}

        def put(connection: Connection) -> None:
            buckets = open_buckets(connection, tenant, limits, self._clock.now(connection))
            for name, bucket in buckets.items():
                bucket.take(connection, -unused[name][1])

        in_transaction(self._engine, put)

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
