"""Keeps deliveries under one ordering key in order: takes numbers at accept, lets the next one go.

Every unfinished delivery under a key holds its place in it, by `order_key` and `order_seq`; the one
with the lowest number is the next. Those that a worker leases before their turn are parked. One
that ends, or fails without being strict, gives up its place, and the next then is let go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from claimnotify.model.notifications import Delivery
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import PARKED_FOR_AT_MOST
from claimnotify.ports import NewNotification
from claimnotify.store.lanes import lane_name
from claimnotify.store.tables import deliveries, streams
from claimnotify.store.writing import insert_or_ignore

__all__ = [
    "let_next_go",
    "order_of",
    "orders_of",
    "out_of_turn",
    "park_out_of_turn",
    "stream_of",
    "take_numbers",
]

_WHOLE_ENDPOINT = ""
"""In place of a key, for endpoints that get everything one after the other; no key is empty."""


def stream_of(delivery: Delivery, ordering_key: str) -> str:
    """Return what identifies the order a delivery is in: its key at its endpoint or address."""
    where = delivery.endpoint_id or delivery.address
    parts = (delivery.tenant, delivery.channel, where, ordering_key)
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


def orders_of(new: NewNotification) -> dict[str, tuple[str, bool]]:
    """Return, for those of its deliveries that are in an order, its stream and whether it is strict.

    The order of an endpoint that gets one after the other comprises that of any key.
    """
    key, ordered = new.notification.ordering_key, new.ordered or {}
    if key is None and not ordered:
        return {}
    found: dict[str, tuple[str, bool]] = {}
    for delivery in new.notification.deliveries:
        strict = key is not None and new.ordering_strict
        order = order_of(delivery, key, strict=strict, endpoint_is_strict=ordered.get(delivery.id))
        if order is not None and delivery.due_at is not None:
            found[delivery.id] = order
    return found


def order_of(
    delivery: Delivery, key: str | None, *, strict: bool, endpoint_is_strict: bool | None
) -> tuple[str, bool] | None:
    """Return the stream a delivery is in and whether it is strict, or None if it is in no order.

    Args:
        delivery: The delivery.
        key: Its ordering key, or None.
        strict: Whether the order of the key is.
        endpoint_is_strict: Whether its endpoint's own order is; None if that has none.
    """
    if endpoint_is_strict is not None:
        return stream_of(delivery, _WHOLE_ENDPOINT), strict or endpoint_is_strict
    return None if key is None else (stream_of(delivery, key), strict)


def take_numbers(
    connection: Connection, tenant: str, wanted: Mapping[str, int], now: datetime
) -> dict[str, int]:
    """Return for each stream the first of as many numbers in a row as are wanted.

    The row of a stream stays locked until the transaction ends, so that the order of the numbers is
    the order of the commits. Streams are locked in one order, so that two callers do not deadlock.
    """
    taken: dict[str, int] = {}
    floor = int(now.timestamp() * 1_000_000)
    for stream in sorted(wanted):
        last = _locked(connection, stream, tenant)
        # Never lower than the time, so that numbers go on when a stream that was forgotten returns.
        first = max(last + 1, floor)
        last_seq = first + wanted[stream] - 1
        connection.execute(streams.update().where(streams.c.id == stream).values(last_seq=last_seq))
        taken[stream] = first
    return taken


def _locked(connection: Connection, stream: str, tenant: str) -> int:
    """Lock the row of a stream, making it if need be, and return its last number."""
    query = select(streams.c.last_seq).where(streams.c.id == stream).with_for_update()
    while (last := connection.execute(query).scalar()) is None:
        connection.execute(
            insert_or_ignore(streams, connection), {"id": stream, "tenant": tenant, "last_seq": 0}
        )
    return int(last)


def out_of_turn(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, Row[Any]]:
    """Return by id those of the rows that seem not to be the next of their stream."""
    if not rows:
        return {}
    columns, others = deliveries.c, deliveries.alias("others")
    first = (
        select(others.c.id)
        .where(others.c.order_key == columns.order_key)
        .order_by(others.c.order_seq)
        .limit(1)
        .scalar_subquery()
    )
    query = select(columns.id, first.label("first")).where(columns.id.in_([row.id for row in rows]))
    late = {row.id for row in connection.execute(query) if row.first != row.id}
    return {row.id: row for row in rows if row.id in late}


def park_out_of_turn(
    connection: Connection, rows: Sequence[Row[Any]], token: str, now: datetime
) -> set[str]:
    """Park those of the leased rows that are not the next of their stream; return their ids.

    Call it in a transaction of its own for the rows of one stream: it waits for the delivery whose
    turn it is, and must hold no other lock meanwhile.
    """
    columns = deliveries.c
    mine = {row.id: row for row in rows}
    query = (
        select(columns.id)
        .where(columns.order_key == rows[0].order_key)
        .order_by(columns.order_seq)
        .limit(1)
        .with_for_update()
    )
    first = connection.execute(query).scalar()
    late = [row for row in rows if row.id != first]
    if not late:
        return set()
    latest = now + PARKED_FOR_AT_MOST
    for row in late:
        connection.execute(
            deliveries.update()
            .where(columns.id == row.id, columns.lease_token == token)
            .values(
                status=DeliveryStatus.PARKED,
                reason=Reason.OUT_OF_TURN,
                lane=lane_name(row.queue, row.priority, row.channel, row.tenant),
                due_at=min(row.expires_at or latest, latest),
                lease_token=None,
                lease_until=None,
            )
        )
    return mine.keys() - {first}


def let_next_go(connection: Connection, streams_left: Collection[str], now: datetime) -> set[str]:
    """Make the next delivery of each stream due, if it was parked for its turn.

    Returns the queues of those that are due now.

    Call it after the rows that left the streams were changed, in the same transaction.
    """
    columns = deliveries.c
    queues: set[str] = set()
    for stream in sorted(streams_left):
        query = (
            select(columns.id, columns.status, columns.reason, columns.queue)
            .where(columns.order_key == stream)
            .order_by(columns.order_seq)
            .limit(1)
            .with_for_update()
        )
        row = connection.execute(query).first()
        if row is None:
            _forget(connection, stream)
        elif (row.status, row.reason) == (DeliveryStatus.PARKED, Reason.OUT_OF_TURN):
            connection.execute(
                deliveries.update()
                .where(columns.id == row.id)
                .values(status=DeliveryStatus.PENDING, reason=Reason.RELEASED, due_at=now)
            )
            queues.add(row.queue)
    return queues


def _forget(connection: Connection, stream: str) -> None:
    """Remove the row of a stream that nothing is in, unless a caller is just joining it."""
    query = select(streams.c.id).where(streams.c.id == stream).with_for_update(skip_locked=True)
    if connection.execute(query).first() is None:
        return
    # With the row locked nobody takes a number, and who took one before has committed.
    columns = deliveries.c
    left = select(columns.id).where(columns.order_key == stream).limit(1)
    if connection.execute(left).first() is None:
        connection.execute(streams.delete().where(streams.c.id == stream))
