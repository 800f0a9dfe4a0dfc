"""Leases due rows of a leasable table under a fencing token: the one piece of leasing SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, select

from claimnotify.model.states import DeliveryStatus, Reason

__all__ = ["Leased", "Leases"]

PRIORITIES = (0, 1, 2)
_MAX_CRASHES = 3


@dataclass(frozen=True, slots=True)
class Leased:
    """Rows leased together; `poisoned` are those that killed a worker once too often."""

    rows: Sequence[Row[Any]]
    poisoned: Sequence[Row[Any]]
    solo: bool
    more: bool


class Leases:
    """Leasing for one table that has the leasable columns.

    A due row is one whose `due_at` has come: waiting rows by their time, leased rows when their
    lease ends (`due_at` is `lease_until` then). One query per priority walks the index
    `(queue, priority, due_at)` and stops at the limit, however many rows are due.

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
        alone: bool,
    ) -> Leased | None:
        """Lease up to `limit` rows, or one suspect if `alone`; None if nothing is due.

        The rows are returned as they were before the lease.
        """
        fresh: list[Row[Any]] = []
        suspects: list[Row[Any]] = []
        more = False
        for priority in PRIORITIES:
            wanted = limit - len(fresh)
            if wanted <= 0:
                more = True
                break
            found = connection.execute(self._due(queue, priority, now, wanted)).all()
            more = more or len(found) == wanted
            for row in found:
                (suspects if row.status == DeliveryStatus.SENDING else fresh).append(row)
        solo = bool(suspects) and (alone or not fresh)
        chosen = suspects[:1] if solo else fresh
        if not chosen:
            return None
        crashes = chosen[0].crashes + bool(chosen[0].solo) if solo else 0
        poisoned = chosen if crashes >= _MAX_CRASHES else []
        columns = self._table.c
        until = now + duration
        connection.execute(
            self._table.update()
            .where(columns.id.in_([row.id for row in chosen]))
            .values(
                status=DeliveryStatus.SENDING,
                reason=Reason.LEASED,
                lease_token=token,
                lease_until=until,
                due_at=until,
                leases=columns.leases + 1,
                solo=solo,
                crashes=crashes if solo else columns.crashes,
            )
        )
        return Leased([] if poisoned else chosen, poisoned, solo, more or bool(suspects))

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
        until = now + duration
        connection.execute(
            self._table.update()
            .where(
                columns.id.in_(ids),
                columns.lease_token == token,
                columns.status == DeliveryStatus.SENDING,
            )
            .values(lease_until=until, due_at=until)
        )

    def still_held(
        self, connection: Connection, tokens: Collection[str], ids: Collection[str]
    ) -> dict[str, Row[Any]]:
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
        """Return the earliest `due_at` of the queue, leased rows included, or None."""
        columns = self._table.c
        earliest: list[datetime] = []
        for priority in PRIORITIES:
            query = (
                select(columns.due_at)
                .where(
                    columns.queue == queue,
                    columns.priority == priority,
                    columns.due_at.is_not(None),
                )
                .order_by(columns.due_at)
                .limit(1)
            )
            due = connection.execute(query).scalar()
            if due is not None:
                earliest.append(due)
        return min(earliest, default=None)

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
