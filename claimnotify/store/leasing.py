"""Leases due rows of a leasable table under a fencing token: the one piece of leasing SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, or_, select

from claimnotify.model.states import DeliveryStatus, Reason

__all__ = ["MAX_CRASHES", "Leases", "Suspect"]

PRIORITIES = (0, 1, 2)
MAX_CRASHES = 3
"""How often a row may kill its worker, alone in hand, before it counts as poison."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row leased alone, as it was before."""

    row: Row[Any]
    poisoned: bool


class Leases:
    """Leasing for one table that has the leasable columns.

    A waiting row has `due_at`, a leased row `lease_until`, a row at its end neither. One query per
    priority walks the index `(queue, priority, due_at)` and stops at the limit, however many rows
    are due; leases that ran out are found by the index `(queue, lease_until)`, which holds no more
    than what is in hand.

    A row whose lease ran out is suspected of having killed its worker: it is leased alone, and
    only if it was alone does a further crash count against it.

    Args:
        table: The leasable table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def lease(
        self,
        connection: Connection,
        *,
        queue: str,
        token: str,
        now: datetime,
        limit: int,
        duration: timedelta,
    ) -> Sequence[Row[Any]]:
        """Lease up to `limit` waiting rows and return them as they were before."""
        chosen: list[Row[Any]] = []
        for priority in PRIORITIES:
            wanted = limit - len(chosen)
            if wanted <= 0:
                break
            chosen += connection.execute(self._due(queue, priority, now, wanted)).all()
        if chosen:
            ids = [row.id for row in chosen]
            self._take(connection, ids, token, now + duration, {"solo": False})
        return chosen

    def lease_suspect(
        self,
        connection: Connection,
        *,
        queue: str,
        token: str,
        now: datetime,
        duration: timedelta,
    ) -> Suspect | None:
        """Lease one row whose lease ran out, or return None if there is none."""
        columns = self._table.c
        # A lease that ends later than any could was given by a clock that has since gone back.
        over = or_(columns.lease_until <= now, columns.lease_until > now + max(duration * 2, _DAY))
        query = (
            select(self._table)
            .where(columns.queue == queue, columns.lease_until.is_not(None), over)
            .order_by(columns.lease_until)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        crashes = row.crashes + bool(row.solo)
        values = {"solo": True, "crashes": crashes}
        self._take(connection, [row.id], token, now + duration, values)
        return Suspect(row, poisoned=crashes >= MAX_CRASHES)

    def has_suspect(self, connection: Connection, queue: str, now: datetime) -> bool:
        """Return whether the queue has a row whose lease ran out."""
        columns = self._table.c
        query = (
            select(columns.id)
            .where(columns.queue == queue, columns.lease_until.is_not(None))
            .where(columns.lease_until <= now)
            .limit(1)
        )
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

    def still_held(
        self, connection: Connection, tokens: Collection[str], ids: Collection[str]
    ) -> Mapping[str, Any]:
        """Lock and return, by id, those rows that still carry one of the tokens."""
        columns = self._table.c
        query = (
            select(columns.id, columns.lease_token, columns.cancel_requested, columns.attempts)
            .where(columns.id.in_(ids), columns.lease_token.in_(tokens))
            .order_by(columns.id)
            .with_for_update()
        )
        return {row.id: row for row in connection.execute(query)}

    def next_due(self, connection: Connection, queue: str) -> datetime | None:
        """Return when there is next something to lease in the queue, or None."""
        columns = self._table.c
        waiting = [
            select(columns.due_at)
            .where(columns.queue == queue, columns.priority == priority)
            .where(columns.due_at.is_not(None))
            .order_by(columns.due_at)
            .limit(1)
            for priority in PRIORITIES
        ]
        leased = (
            select(columns.lease_until)
            .where(columns.queue == queue, columns.lease_until.is_not(None))
            .order_by(columns.lease_until)
            .limit(1)
        )
        moments = [connection.execute(query).scalar() for query in (*waiting, leased)]
        return min((moment for moment in moments if moment is not None), default=None)

    def _take(
        self,
        connection: Connection,
        ids: Collection[str],
        token: str,
        until: datetime,
        values: Mapping[str, Any],
    ) -> None:
        columns = self._table.c
        connection.execute(
            self._table.update()
            .where(columns.id.in_(ids))
            .values(
                status=DeliveryStatus.SENDING,
                reason=Reason.LEASED,
                due_at=None,
                lease_token=token,
                lease_until=until,
                leases=columns.leases + 1,
                **values,
            )
        )

    def _due(self, queue: str, priority: int, now: datetime, limit: int) -> Select[Any]:
        columns = self._table.c
        return (
            select(self._table)
            .where(
                columns.queue == queue,
                columns.priority == priority,
                columns.due_at.is_not(None),
                columns.due_at <= now,
            )
            .order_by(columns.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
