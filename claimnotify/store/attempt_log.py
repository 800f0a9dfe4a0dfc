"""Reads the log of an endpoint's attempts: along the index of its deliveries, from the newest back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from claimnotify.model.replays import AttemptRecord
from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.store.rows import attempt_of
from claimnotify.store.tables import attempts, deliveries, notifications

__all__ = ["attempts_to"]

_AT_ONCE = 200
"""Of how many deliveries attempts are read together."""
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
    return list(islice(_records(connection, wanted, tries), limit))


def _records(
    connection: Connection,
    wanted: Sequence[ColumnElement[bool]],
    tries: Sequence[ColumnElement[bool]],
) -> Iterator[AttemptRecord]:
    """Yield records as far as they are asked for."""
    columns = deliveries.c
    query: Select[Any] = (
        select(
            columns.id,
            columns.notification_id,
            columns.status,
            columns.reason,
            columns.replay_of,
            _event_type.label("event_type"),
        )
        .where(*wanted)
        .order_by(columns.id.desc())
        .limit(_AT_ONCE)
    )
    further: list[ColumnElement[bool]] = []
    while True:
        rows = connection.execute(query.where(*further)).all()
        found = {row.id: row for row in rows}
        yield from _of(connection, found, tries)
        if len(rows) < _AT_ONCE:
            return
        further = [columns.id < rows[-1].id]


def _of(
    connection: Connection, found: Mapping[str, Row[Any]], tries: Sequence[ColumnElement[bool]]
) -> Iterator[AttemptRecord]:
    if not found:
        return
    columns = attempts.c
    query = (
        select(attempts)
        .where(columns.delivery_id.in_(list(found)), *tries)
        .order_by(columns.delivery_id.desc(), columns.number.desc(), columns.id.desc())
    )
    for row in connection.execute(query):
        delivery = found[row.delivery_id]
        yield AttemptRecord(
            id=row.id,
            delivery_id=delivery.id,
            notification_id=delivery.notification_id,
            event_type=delivery.event_type,
            status=DeliveryStatus(delivery.status),
            reason=delivery.reason,
            replay_of=delivery.replay_of,
            attempt=attempt_of(row),
        )


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
