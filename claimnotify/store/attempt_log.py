"""Reads the log of an endpoint's attempts: along the index of its deliveries, from the newest back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from claimnotify.model.replays import AttemptRecord
from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.store.rows import attempt_of
from claimnotify.store.tables import attempts, deliveries, notifications

__all__ = ["attempts_to"]

_AT_FIRST, _AT_MOST = 200, 5_000
"""Of how many deliveries attempts are looked for together: more each time, if there are few."""
_FASTER = 4
_GOOD = (AttemptOutcome.SENT, AttemptOutcome.DELIVERED)

_event_type = (
    select(notifications.c.event_type)
    .where(notifications.c.id == deliveries.c.notification_id)
    .scalar_subquery()
)


def attempts_to(
    connection: Connection,
    tenant: str,
    endpoint_id: str,
    *,
    status: DeliveryStatus | None,
    succeeded: bool | None,
    event_type: str | None,
    limit: int,
    before: str | None,
) -> Sequence[AttemptRecord]:
    """Return attempts to reach an endpoint. See `claimnotify.ports.Journal`."""
    columns = deliveries.c
    wanted = [columns.tenant == tenant, columns.endpoint_id == endpoint_id, columns.leases > 0]
    if status is not None:
        wanted.append(columns.status == status)
    if event_type is not None:
        wanted.append(_event_type == event_type)
    tries: list[ColumnElement[bool]] = []
    if succeeded is not None:
        good = attempts.c.outcome.in_(_GOOD)
        tries.append(good if succeeded else ~good)
    if before is not None:
        mark = _mark(connection, tenant, before)
        if mark is None:
            return []
        wanted.append(columns.id <= mark.delivery_id)
        tries.append(_after(mark))
    found: list[AttemptRecord] = []
    for first, last in _pages(connection, wanted):
        among = [*wanted, columns.id <= first, columns.id >= last, *tries]
        found += _records(connection, among, limit - len(found))
        if len(found) == limit:
            break
    return found


def _pages(
    connection: Connection, wanted: Sequence[ColumnElement[bool]]
) -> Iterator[tuple[str, str]]:
    """Yield the ids between which deliveries are, newest first, as far as they are asked for."""
    columns = deliveries.c
    query = select(columns.id).where(*wanted).order_by(columns.id.desc())
    size = _AT_FIRST
    ids = connection.execute(query.limit(size)).scalars().all()
    while ids:
        yield ids[0], ids[-1]
        if len(ids) < size:
            return
        size = min(_AT_MOST, size * _FASTER)
        further = query.where(columns.id < ids[-1]).limit(size)
        ids = connection.execute(further).scalars().all()


def _records(
    connection: Connection, among: Sequence[ColumnElement[bool]], limit: int
) -> Sequence[AttemptRecord]:
    """Return the first of the attempts at some deliveries; no more are fetched, whatever they hold."""
    columns, of = attempts.c, deliveries.c
    query = (
        select(
            attempts,
            of.notification_id,
            of.status.label("delivery_status"),
            of.reason,
            of.replay_of,
            _event_type.label("event_type"),
        )
        .join(deliveries, of.id == columns.delivery_id)
        .where(*among)
        .order_by(of.id.desc(), columns.number.desc(), columns.id.desc())
        .limit(limit)
    )
    return [
        AttemptRecord(
            id=row.id,
            delivery_id=row.delivery_id,
            notification_id=row.notification_id,
            event_type=row.event_type,
            status=DeliveryStatus(row.delivery_status),
            reason=row.reason,
            replay_of=row.replay_of,
            attempt=attempt_of(row),
        )
        for row in connection.execute(query)
    ]


def _mark(connection: Connection, tenant: str, attempt_id: str) -> Row[Any] | None:
    columns = attempts.c
    query: Select[Any] = select(columns.id, columns.delivery_id, columns.number).where(
        columns.tenant == tenant, columns.id == attempt_id
    )
    return connection.execute(query).first()


def _after(mark: Row[Any]) -> ColumnElement[bool]:
    """Return the condition that an attempt follows after `mark` in the log."""
    columns = attempts.c
    earlier = or_(
        columns.number < mark.number, and_(columns.number == mark.number, columns.id < mark.id)
    )
    return or_(columns.delivery_id < mark.delivery_id, earlier)
