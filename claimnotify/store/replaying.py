"""Writes replays: new deliveries that share queue, priority and content with what they repeat."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from claimnotify.model.endpoints import Endpoint, Ordering
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.recipients import Recipient
from claimnotify.policy.replays import WEBHOOK, is_lost, missed
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.expunging import expunge
from claimnotify.store.holding import fresh, hold
from claimnotify.store.journal import notifications_by_id
from claimnotify.store.new_rows import replay_row
from claimnotify.store.ordering import order_of, take_numbers
from claimnotify.store.rows import delivery_of, endpoint_of, recipient_of
from claimnotify.store.tables import deliveries, endpoints, notifications
from claimnotify.store.writing import insert_rows

__all__ = ["SqlReplayTransaction", "with_replay"]

_columns = deliveries.c


class SqlReplayTransaction:
    """One open transaction. See `claimnotify.ports.ReplayTransaction`.

    Args:
        connection: What it is open on.
        clock: The one clock.
        ring: Keeps what is to be rung after the commit.
        ours: Whether it is our own, under READ COMMITTED, and not a caller's.
    """

    def __init__(
        self,
        connection: Connection,
        clock: DatabaseClock,
        ring: Callable[[str], object],
        *,
        ours: bool,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._ring_later = ring
        self._ours = ours

    def now(self) -> datetime:
        """Return the clock's time."""
        return self._clock.now(self._connection)

    def hold_of(self, tenant: str, delivery_id: str) -> Notification | None:
        """Hold the notification that a delivery belongs to, and return it with its deliveries."""
        query = select(_columns.notification_id).where(
            _columns.tenant == tenant, _columns.id == delivery_id
        )
        # Not a locking one if it can be helped: notifications are locked before deliveries.
        found = self._connection.execute(query).scalar()
        if found is None:
            found = self._connection.execute(self._fresh(query)).scalar()
        if found is None:
            return None
        hold(self._connection, [found])
        return notifications_by_id(self._connection, [found])[found]

    def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint, or None if this tenant has none of that id."""
        return self._endpoint(_endpoint_query(tenant, endpoint_id))

    def hold_endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint and lock its row."""
        return self._endpoint(_endpoint_query(tenant, endpoint_id).with_for_update())

    def still_lost(self, tenant: str, delivery_ids: Collection[str]) -> Sequence[Delivery]:
        """Hold the notifications; return those that were lost and have no replay."""
        mine = (_columns.tenant == tenant, _columns.id.in_(delivery_ids))
        held = self._connection.execute(select(_columns.notification_id).where(*mine).distinct())
        hold(self._connection, held.scalars().all())
        query = _with_note().where(*mine).order_by(_columns.id)
        lost = [row for row in self._connection.execute(query) if is_lost(row)]
        replayed = with_replay(self._connection, lost)
        return [_delivery(row) for row in lost if row.id not in replayed]

    def still_missed(
        self, endpoint: Endpoint, notification_ids: Collection[str]
    ) -> Sequence[Delivery]:
        """Hold the notifications; return of each that the endpoint missed what is to be repeated."""
        hold(self._connection, notification_ids)
        query = _with_note().where(
            _columns.tenant == endpoint.tenant,
            _columns.notification_id.in_(notification_ids),
            _columns.channel == WEBHOOK,
        )
        rows = self._connection.execute(
            query.order_by(_columns.notification_id, _columns.position)
        ).all()
        each = (list(of) for _, of in groupby(rows, key=lambda row: row.notification_id))
        found = (missed(endpoint.id, of) for of in each)
        return [_delivery(row) for row in found if row is not None]

    def add(self, replays: Sequence[Delivery], *, ordering: Ordering = "none") -> None:
        """Write new deliveries like those that they repeat."""
        like = self._like([str(each.replay_of) for each in replays])
        last = self._positions({each.notification_id for each in replays})
        rows: list[dict[str, Any]] = []
        for each in replays:
            last[each.notification_id] += 1
            row = like[str(each.replay_of)]
            rows.append(replay_row(each, row, last[each.notification_id]))
            self._ring_later(row.queue)
        self._put_in_order(replays, rows, like, ordering)
        insert_rows(self._connection, deliveries, rows)

    def expunge(self, tenant: str, notification_id: str) -> None:
        """Remove the payload wherever it was kept."""
        for queue in expunge(self._connection, tenant, notification_id, self.now()):
            self._ring_later(queue)

    def _fresh(self, query: Select[Any]) -> Select[Any]:
        # Our own transactions see what is new anyway, and had better wait for nobody's outcome.
        return query if self._ours else fresh(self._connection, query)

    def _endpoint(self, query: Select[Any]) -> Endpoint | None:
        row = self._connection.execute(query).one_or_none()
        return None if row is None else endpoint_of(row)

    def _like(self, ids: Collection[str]) -> Mapping[str, Row[Any]]:
        query = (
            select(
                _columns.id,
                _columns.queue,
                _columns.priority,
                _columns.content,
                _columns.order_strict,
                notifications.c.ordering_key,
            )
            .join(notifications, notifications.c.id == _columns.notification_id)
            .where(_columns.id.in_(ids))
        )
        return {row.id: row for row in self._connection.execute(self._fresh(query))}

    def _positions(self, notification_ids: Collection[str]) -> dict[str, int]:
        """Return by notification the position of its last delivery."""
        query = select(_columns.notification_id, _columns.position).where(
            _columns.notification_id.in_(notification_ids)
        )
        last: dict[str, int] = defaultdict(int)
        for row in self._connection.execute(self._fresh(query)):
            last[row.notification_id] = max(last[row.notification_id], row.position)
        return last

    def _put_in_order(
        self,
        replays: Sequence[Delivery],
        rows: Sequence[dict[str, Any]],
        like: Mapping[str, Row[Any]],
        ordering: Ordering,
    ) -> None:
        """Give those that are in an order the last place in it."""
        endpoint_is_strict = None if ordering == "none" else ordering == "strict"
        orders: dict[str, tuple[str, bool]] = {}
        for each in replays:
            old = like[str(each.replay_of)]
            order = order_of(
                each,
                old.ordering_key,
                strict=bool(old.order_strict),
                endpoint_is_strict=endpoint_is_strict,
            )
            if order is not None:
                orders[each.id] = order
        if not orders:
            return
        wanted = Counter(stream for stream, _ in orders.values())
        numbers = take_numbers(self._connection, replays[0].tenant, wanted, self.now())
        for row in rows:
            if row["id"] in orders:
                stream, strict = orders[row["id"]]
                row |= {
                    "order_key": stream,
                    "order_seq": numbers[stream],
                    "order_strict": strict,
                }
                numbers[stream] += 1


def with_replay(connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
    """Return the ids of those of the rows, of which each has an endpoint, that were replayed."""
    if not rows:
        return set()
    endpoint = {row.id: row.endpoint_id for row in rows}
    query = select(_columns.replay_of, _columns.endpoint_id).where(
        _columns.replay_of.in_(list(endpoint))
    )
    # What another endpoint got because it had missed it may name the same delivery.
    return {
        row.replay_of
        for row in connection.execute(query)
        if row.endpoint_id == endpoint[row.replay_of]
    }


def _endpoint_query(tenant: str, endpoint_id: str) -> Select[Any]:
    return select(endpoints).where(endpoints.c.tenant == tenant, endpoints.c.id == endpoint_id)


def _with_note() -> Select[Any]:
    """Return what finds deliveries whose payload is there, with what else a `Delivery` tells."""
    notes = notifications.c
    query = select(deliveries, notes.event_type, notes.recipient)
    return query.join(notifications, notes.id == _columns.notification_id).where(
        notes.expunged_at.is_(None)
    )


def _delivery(row: Row[Any]) -> Delivery:
    recipient: Recipient | None = recipient_of(row)
    return delivery_of(row, event_type=row.event_type, recipient=recipient)
