"""Leases due rows of a leasable table under a fencing token: the one piece of leasing SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Table, or_, select

from claimnotify.model.locks import ProcessLock
from claimnotify.model.states import DeliveryStatus
from claimnotify.store.lanes import LaneRota
from claimnotify.store.lease_statements import lease_of_first_due_lane, lease_of_lane, leased_values
from claimnotify.store.taken_over import TakenOver

__all__ = ["ALONE_FROM", "POISON_FROM", "Lapsed", "Leases"]

ALONE_FROM = 2
"""How many leases of a row must have run out, one after the other, for it to be leased alone."""
POISON_FROM = 5
"""How many must have run out, the last ones alone in hand, for it to count as poison."""

_DAY = timedelta(days=1)
_SQLITE_LONGEST = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Rows whose leases ran out, leased anew; as they were before.

    Args:
        rows: The rows; a single one if it has to be alone.
        poisoned: Whether that one killed its worker too often.
        alone: Whether it is such a one.
        alone_wait: Whether there are others that have to be alone.
    """

    rows: Sequence[Row[Any]]
    poisoned: bool = False
    alone: bool = False
    alone_wait: bool = False


class Leases:
    """Leasing for one table that has the leasable columns.

    A waiting row has `lane` and `due_at`, a leased row `lease_until`, a row at its end neither. A
    lease walks the index `(lane, due_at)` from the lane's beginning and stops at its share,
    however many rows are due; leases that ran out are found by the index `(queue, lease_until)`,
    which holds no more than what is in hand.

    A row whose lease ran out may have killed its worker. Once is no proof, as workers are killed by
    others as well: it is leased again, with others that share its fate. When that fails too, it is
    leased alone, and if its worker dies over it three times more it is poison.

    Args:
        table: The leasable table.
        leased: The state of a leased row.
    """

    def __init__(self, table: Table, *, leased: str = DeliveryStatus.SENDING) -> None:
        self._table = table
        self._leased = leased
        self._rotas: dict[str, LaneRota] = {}
        self._taken_over = TakenOver()
        self._lock = ProcessLock()

    def lease(
        self,
        connection: Connection,
        *,
        queue: str,
        token: str,
        now: datetime,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int],
    ) -> Sequence[Row[Any]]:
        """Lease up to `limit` waiting rows, of each kind no more than its room; as they were before."""
        chosen: list[Row[Any]] = []
        until = now + duration
        at_once = connection.dialect.name == "postgresql"
        left = dict(room)
        served: set[str] = set()
        with self._lock:
            rota = self._rota(queue)
            while len(chosen) < limit and (lanes := rota.turn(now, left, served)):
                share = -(-(limit - len(chosen)) // len(lanes))
                for lane in lanes:
                    served.add(lane.name)
                    most = min(share, limit - len(chosen), left.get(lane.kind, limit))
                    if most <= 0:
                        continue
                    if at_once:
                        statement, values = lease_of_lane(
                            self._table,
                            self._leased,
                            lane=lane.name,
                            now=now,
                            limit=most,
                            token=token,
                            until=until,
                        )
                        rows = connection.execute(statement, values).all()
                    else:
                        rows = connection.execute(self._due(lane.name, now, most)).all()
                    rota.served(lane)
                    if len(rows) < most:
                        rota.emptied(lane)
                    if lane.kind in left:
                        left[lane.kind] -= len(rows)
                    chosen += rows
        if chosen and not at_once:
            self._take(connection, [row.id for row in chosen], token, until)
        return chosen

    def lease_first(
        self,
        connection: Connection,
        key: Column[Any],
        *,
        queue: str,
        token: str,
        now: datetime,
        limit: int,
        duration: timedelta,
    ) -> Sequence[Row[Any]]:
        """Lease rows of the queue's first lane in which some are due; PostgreSQL alone can.

        Each is followed by the row of the other table that its `key` leads to.
        """
        statement, values = lease_of_first_due_lane(
            self._table,
            self._leased,
            key,
            queue=queue,
            now=now,
            limit=limit,
            token=token,
            until=now + duration,
        )
        return connection.execute(statement, values).all()

    def is_idle(self, queue: str, now: datetime) -> bool:
        """Return whether a look not long ago, and what was leased since, have left nothing due."""
        with self._lock:
            return self._rota(queue).is_idle(now)

    def rest(self, queue: str, kind: str, now: datetime, wait: timedelta) -> None:
        """Let rows of `kind` wait, whatever their own time: its rate is used up."""
        with self._lock:
            self._rota(queue).rest(kind, now, wait)

    def knows_due(self, queue: str, now: datetime, room: Mapping[str, int]) -> bool:
        """Return whether the last look, if it was a moment ago, found something to lease."""
        with self._lock:
            rota = self._rota(queue)
            return rota.fresh and bool(rota.has_due(now, room))

    def look(
        self, connection: Connection, queue: str, now: datetime, room: Mapping[str, int]
    ) -> bool:
        """Read which lanes there are; return whether there is something to lease."""
        with self._lock:
            rota = self._rota(queue)
            rota.look(connection)
            return rota.has_due(now, room)

    def lease_lapsed(
        self,
        connection: Connection,
        *,
        queue: str,
        token: str,
        now: datetime,
        limit: int,
        duration: timedelta,
        alone: bool,
    ) -> Lapsed:
        """Lease rows whose lease ran out: those that may be together, or else one that may not.

        Args:
            alone: Whether the caller has nothing else in hand, so that it may take such a one.
        """
        query = (
            select(self._table)
            .where(*self._lapsed(connection, queue, now, duration))
            .order_by(self._table.c.lease_until)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = connection.execute(query).all()
        together = [row for row in rows if row.crashes + 1 < ALONE_FROM]
        apart = [row for row in rows if row.crashes + 1 >= ALONE_FROM]
        if together:
            self._take(
                connection, [row.id for row in together], token, now + duration, crashed=True
            )
            return Lapsed(together, alone_wait=bool(apart))
        if not apart or not alone:
            return Lapsed((), alone_wait=bool(apart))
        first = apart[0]
        self._take(connection, [first.id], token, now + duration, crashed=True)
        poisoned = first.crashes + 1 >= POISON_FROM
        return Lapsed([first], poisoned, alone=True, alone_wait=len(apart) > 1)

    def has_lapsed(
        self, connection: Connection, queue: str, now: datetime, duration: timedelta
    ) -> bool:
        """Return whether the queue has a row whose lease ran out."""
        lapsed = self._lapsed(connection, queue, now, duration)
        query = select(self._table.c.id).where(*lapsed).limit(1)
        return connection.execute(query).first() is not None

    def renew(
        self,
        connection: Connection,
        *,
        token: str,
        ids: Collection[str],
        now: datetime,
        duration: timedelta,
    ) -> None:
        """Prolong the lease of those rows that still carry the token."""
        columns = self._table.c
        connection.execute(
            self._table.update()
            .where(columns.id.in_(ids), columns.lease_token == token)
            .values(lease_until=now + duration)
        )

    def next_due(
        self, connection: Connection, queue: str, room: Mapping[str, int]
    ) -> datetime | None:
        """Return when there is next something to lease in the queue, or None."""
        columns = self._table.c
        rota = self._rota(queue)
        with self._lock:
            if not rota.fresh:
                rota.look(connection)
            waiting = rota.next_due(room)
        leased = (
            select(columns.lease_until)
            .where(columns.queue == queue, columns.lease_until.is_not(None))
            .order_by(columns.lease_until)
            .limit(1)
        )
        moments = (waiting, connection.execute(leased).scalar())
        return min((moment for moment in moments if moment is not None), default=None)

    def _rota(self, queue: str) -> LaneRota:
        rota = self._rotas.get(queue)
        if rota is None:
            rota = self._rotas.setdefault(queue, LaneRota(self._table, queue))
        return rota

    def _lapsed(
        self, connection: Connection, queue: str, now: datetime, duration: timedelta
    ) -> tuple[Any, ...]:
        until = self._table.c.lease_until
        # A lease that ends later than any could was given by a clock that has since gone back. On a
        # server there is one clock, and other workers' leases may be longer; SQLite's workers each
        # go by the clock of their process, and are set up alike.
        longest = _SQLITE_LONGEST if connection.dialect.name == "sqlite" else _DAY
        over = or_(until <= now, until > now + max(duration * 2, longest))
        others = self._taken_over.others(self._table.c.id, now, duration)
        return self._table.c.queue == queue, until.is_not(None), over, *others

    def _take(
        self,
        connection: Connection,
        ids: Collection[str],
        token: str,
        until: datetime,
        *,
        crashed: bool = False,
    ) -> None:
        columns = self._table.c
        values: dict[str, Any] = {"crashes": columns.crashes + 1} if crashed else {}
        if crashed:
            self._taken_over.add(ids, until)
        connection.execute(
            self._table.update()
            .where(columns.id.in_(ids))
            .values(leased_values(self._table, self._leased, token, until) | values)
        )

    def _due(self, lane: str, now: datetime, limit: int) -> Select[Any]:
        columns = self._table.c
        return (
            select(self._table)
            .where(columns.lane == lane, columns.due_at <= now)
            .order_by(columns.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
